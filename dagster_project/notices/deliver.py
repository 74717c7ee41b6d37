"""The process that brings notices to their addresses; see `addresses`, which starts it.

Reads addresses and notices as JSON from its input; answers one line of JSON an address, as soon as
that address has taken them or refused.
"""

import json
import os
import sys
import threading
import time
from typing import Any

NO_ANSWER = "no answer in time"
REFUSED = "refused or not reachable"
# A failure after so long is one of waiting; the library gives up by itself after some seconds.
SLOW_SECONDS = 2.0
NOT_UNDERSTOOD = "not understood; see the URLs in docs/running.md"
# The library's words for how good or bad news are.
TONES = {
    "published": "success",
    "recovered": "success",
    "blocked": "failure",
    "failed": "failure",
    "late": "warning",
}


def main() -> None:
    """Send everything at once and end in time, whatever still waits."""
    work = json.load(sys.stdin)
    ends = time.monotonic() + work["seconds"]
    threads = [
        threading.Thread(target=_deliver, args=(place, address, work["notices"]), daemon=True)
        for place, address in enumerate(work["addresses"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    sys.stdout.flush()
    # Threads that wait for an address would be waited for by libraries' own ends.
    os._exit(0)


def _deliver(place: int, address: str, notices: list[dict[str, Any]]) -> None:
    import apprise

    started = time.monotonic()
    try:
        service = apprise.Apprise.instantiate(address)
        fault = None if service else NOT_UNDERSTOOD
        for notice in notices if service else ():
            is_taken = service.notify(
                title=notice["title"],
                body=notice["body"],
                notify_type=apprise.NotifyType(TONES.get(notice["kind"], "info")),
                body_format=apprise.NotifyFormat.TEXT,
            )
            fault = fault if is_taken else REFUSED
    except Exception:
        # Whatever a service raises may quote its address.
        fault = REFUSED
    if fault == REFUSED and time.monotonic() - started > SLOW_SECONDS:
        fault = NO_ANSWER
    # In one piece: several threads answer.
    sys.stdout.write(json.dumps({"place": place, "fault": fault}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
