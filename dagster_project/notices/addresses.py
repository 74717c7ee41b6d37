"""Sending: to all addresses at once, by a process of its own that ends within ten seconds.

A thread could not be ended where a name is looked up or an address swallows what is sent; and the
library and what it keeps never weigh on the process of a run. Addresses are secrets: they reach the
other process through its input alone, and no message names more of one than its place and kind.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from dagster_project.notices.deliver import NO_ANSWER
from dagster_project.paths import PROJECT_DIR, setting

NOTIFY_URLS = "WINBACK_NOTIFY_URLS"
# From start to end, the other process's start and end included.
SECONDS = 10.0
# What the other process has for sending; the rest is for its end.
RESERVE_SECONDS = 1.0
# An address that did not answer in time is left alone for a while, so that it delays a run once.
REST_SECONDS = 3600.0
# Addresses stand one after another, with spaces or commas between.
BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9]*://)")
KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*(?=://)")

# Addresses that did not answer, each with the time at which it is tried again.
_resting: dict[str, float] = {}


@dataclass(frozen=True)
class Notice:
    """What one message says; `kind` is published, blocked, failed, late, recovered or test."""

    kind: str
    title: str
    body: str


@dataclass(frozen=True)
class Delivery:
    """What became of notices at one address, which `name` tells without its secrets."""

    name: str
    fault: str | None


def addresses() -> list[str]:
    """Return the addresses that notices go to; none if the setting is absent or empty.

    An empty environment variable counts, so that one command can be kept silent.
    """
    given = os.environ.get(NOTIFY_URLS)
    text = setting(NOTIFY_URLS, "") if given is None else given
    return [address for address in BETWEEN.split(text.strip(" \t\r\n,")) if address]


def send(notices: Sequence[Notice], seconds: float = SECONDS) -> list[Delivery]:
    """Send notices to every address and return what became of them, in the order of the setting.

    Never raises, and returns within the given seconds.
    """
    ends = time.monotonic() + seconds
    everyone = addresses()
    awake = [a for a in everyone if _resting.get(a, 0.0) <= time.monotonic()]
    faults = _send_to(awake, notices, ends) if awake else {}
    for address, fault in faults.items():
        if fault == NO_ANSWER:
            _resting[address] = time.monotonic() + REST_SECONDS
        else:
            _resting.pop(address, None)
    not_tried = "not tried, as it did not answer a while ago"
    return [
        Delivery(_name(address, place), faults.get(address, not_tried))
        for place, address in enumerate(everyone, start=1)
    ]


def _send_to(to: Sequence[str], notices: Sequence[Notice], ends: float) -> dict[str, str | None]:
    """Return the fault of each address, None where it took every notice."""
    faults: dict[str, str | None] = dict.fromkeys(to, NO_ANSWER)
    work = {
        "addresses": list(to),
        "notices": [asdict(notice) for notice in notices],
        "seconds": max(0.1, ends - time.monotonic() - RESERVE_SECONDS),
    }
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster_project.notices.deliver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The library's own words may hold parts of an address.
            stderr=subprocess.DEVNULL,
            cwd=PROJECT_DIR,
            text=True,
        )
    except OSError as error:
        return dict.fromkeys(to, f"no process could be started ({error.strerror})")
    try:
        answer, _ = process.communicate(json.dumps(work), max(0.1, ends - time.monotonic() - 0.2))
    except subprocess.TimeoutExpired:
        process.kill()
        answer, _ = process.communicate()
    if process.returncode not in (0, -9):
        faults = dict.fromkeys(to, "the sending process failed; try `winback notify --test`")
    for line in answer.splitlines():
        if line.endswith("}"):
            told = json.loads(line)
            faults[to[told["place"]]] = told["fault"]
    return faults


def _name(address: str, place: int) -> str:
    kind = KIND.match(address)
    return f"address {place} ({kind[0].lower() if kind else 'not a URL'})"
