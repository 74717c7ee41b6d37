"""Notices at their addresses: taken, refused, swallowed, and never a secret in a word of ours."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.mailbox import SECRET, Mailbox, dead_end
from support.mailbox import box as box

from dagster_project.notices import addresses as module
from dagster_project.notices.addresses import Notice, addresses, send

NOTICES = [Notice("late", "winback shop: late", "Nothing new for 9 days: <b> & 9.")]


@pytest.fixture(autouse=True)
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_resting", {})


def faults() -> list[str | None]:
    return [delivery.fault for delivery in send(NOTICES)]


def test_a_webhook_and_a_mail_server_take_a_notice(box: Mailbox) -> None:
    assert faults() == [None, None]
    assert box.posted == [(NOTICES[0].title, NOTICES[0].body)]
    assert [(title, text.strip()) for title, text in box.mailed] == box.posted


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", []),
        (" ,\n", []),
        ("json://a/b", ["json://a/b"]),
        ("mailto://u:p@h?to=a@b.org,c@d.org, slack://t", None),
        ("json://a\njson://b,json://c", ["json://a", "json://b", "json://c"]),
    ],
)
def test_addresses_stand_one_after_another(
    text: str, kinds: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINBACK_NOTIFY_URLS", text)
    wanted = ["mailto://u:p@h?to=a@b.org,c@d.org", "slack://t"] if kinds is None else kinds
    assert addresses() == wanted


@pytest.mark.parametrize(
    ("patience", "least"),
    [
        pytest.param("", 3, id="the library gives up by itself"),
        pytest.param("?rto=60&cto=60", 7, id="it would wait a minute"),
    ],
)
def test_a_swallowing_address_costs_ten_seconds_once_and_no_other_its_notice(
    patience: str, least: float, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dead_end() as swallowing:
        monkeypatch.setenv("WINBACK_NOTIFY_URLS", f"{swallowing}{patience} {box.urls}")
        started = time.monotonic()
        deliveries = send(NOTICES)
        assert least < time.monotonic() - started <= 10
        assert [d.fault for d in deliveries] == ["no answer in time", None, None]
        again = send(NOTICES)
    not_tried = "not tried, as it did not answer a while ago"
    assert [d.fault for d in again] == [not_tried, None, None]
    assert len(box.posted) == len(box.mailed) == 2
    assert SECRET not in repr(deliveries + again)
    assert deliveries[0].name == "address 1 (json)"


def test_a_sending_process_that_fails_or_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINBACK_NOTIFY_URLS", "json://127.0.0.1:9")
    monkeypatch.setattr(module.sys, "executable", "/bin/sh")
    assert faults() == ["the sending process failed; try `winback notify --test`"]
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(sleeper))
    started = time.monotonic()
    assert faults() == ["no answer in time"]
    assert time.monotonic() - started <= 10


def test_an_address_that_is_closed_wrong_or_no_url_is_said_without_its_secrets(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = f"json://user:{SECRET}@127.0.0.1:9 slakc://{SECRET} slack://{SECRET}"
    monkeypatch.setenv("WINBACK_NOTIFY_URLS", f"{SECRET} {wrong}")
    deliveries = send(NOTICES)
    not_understood = "not understood; see the URLs in docs/running.md"
    assert [(d.name, d.fault) for d in deliveries] == [
        ("address 1 (not a URL)", not_understood),
        ("address 2 (json)", "refused or not reachable"),
        ("address 3 (slakc)", not_understood),
        ("address 4 (slack)", not_understood),
    ]


def test_the_setting_is_read_from_the_env_file_unless_the_variable_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "setting", lambda name, default: "json://of-the-file")
    assert addresses() == []
    monkeypatch.delenv("WINBACK_NOTIFY_URLS")
    assert addresses() == ["json://of-the-file"]


@pytest.mark.parametrize(
    "kind", ["wecombot", "dingtalk", "feishu", "slack", "workflows", "mailtos"]
)
def test_the_documented_kinds_of_addresses_are_known(kind: str) -> None:
    import apprise

    assert kind in {
        scheme
        for plugin in apprise.Apprise().details()["schemas"]
        for scheme in (*(plugin["protocols"] or ()), *(plugin["secure_protocols"] or ()))
    }


def test_the_library_is_not_loaded_where_notices_are_sent_from() -> None:
    code = (
        "import sys, dagster_project.cli.main, dagster_project.runs.run_notices;"
        "from dagster_project.runs.event_log import EventLog;"
        "from dagster_project.notices.addresses import *;"
        "send([Notice('test', 'a', 'b')]); sys.exit('apprise' in sys.modules)"
    )
    environment = {**os.environ, "WINBACK_NOTIFY_URLS": "json://127.0.0.1:9"}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
