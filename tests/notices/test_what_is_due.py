"""Which notices are due: each event once, and again only after it was over."""

import json
import logging
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from support.gate_shop import gate_shop
from support.mailbox import SECRET, Mailbox, dead_end
from support.mailbox import box as box
from support.raw_shop import lines
from support.shop import make_shop, winback

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.loading.feed import Silence
from dagster_project.notices import addresses
from dagster_project.notices.tell import (
    Told,
    Trouble,
    Well,
    due,
    silences_of,
    tell,
    telling_failures,
)
from dagster_project.paths import SourcePaths

A, B = Well("a", "counts", is_new=True), Well("b", "counts", is_new=True)
NOTHING_NEW = Well("a", "counts", is_new=False)
BLOCKED, BLOCKED_TOO = Trouble("blocked", "1", "gate"), Trouble("blocked", "2", "gate")
FAILED = Trouble("failed", "1", "step")
DAY = date(2024, 3, 1)


def silence(
    last_day: date, days: int, closed_days: int = 0, table: str = "transactions"
) -> Silence:
    """Return a silence of a source that allows six days."""
    as_of = last_day + timedelta(days=days)
    return Silence(as_of, last_day, days, closed_days, limit=7, table=table)


ON_TIME = silence(DAY, 6)
LATE, LATER = silence(DAY, 7), silence(DAY, 8)
LATE_AGAIN = silence(DAY + timedelta(days=3), 7)
NEW_DATA = silence(DAY + timedelta(days=20), 0)
NO_VISITS, VISITS = silence(DAY, 7, table="interactions"), silence(DAY, 0, table="interactions")


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path, "shop")


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        ([A, A, B, B, A], ["published", "published", "published"]),
        ([A, NOTHING_NEW, NOTHING_NEW], ["published"]),
        # Nobody is told of a release that was there before the first notice.
        ([NOTHING_NEW, A], []),
        ([BLOCKED, BLOCKED, BLOCKED_TOO], ["blocked", "blocked"]),
        ([A, BLOCKED, FAILED, BLOCKED, A, A], ["published", "blocked", "failed", "recovered"]),
        ([BLOCKED, B, BLOCKED], ["blocked", "recovered", "blocked"]),
        ([FAILED, NOTHING_NEW, A], ["failed", "recovered"]),
        ([FAILED, None, None], ["failed"]),
        ([(A, ON_TIME), (B, LATE), (A, LATER)], ["published", "late", "published", "published"]),
        ([(None, LATE), (None, LATER), (None, LATE_AGAIN)], ["late", "late"]),
        # Late and blocked are over together, and once.
        (
            [(None, LATE), (BLOCKED, LATER), (BLOCKED, NEW_DATA), (B, NEW_DATA), (B, NEW_DATA)],
            ["late", "blocked", "recovered"],
        ),
        # What is published meanwhile does not end a silence, and an unreadable one neither.
        ([(None, LATE), (B, LATER), B, (A, NEW_DATA)], ["late", "published", "recovered"]),
        # Another table is another silence, and each ends for itself.
        ([(None, LATE), (None, LATER, NO_VISITS), (None, LATER, NO_VISITS)], ["late", "late"]),
        (
            [(None, LATE, NO_VISITS), (A, NEW_DATA, NO_VISITS), (B, NEW_DATA), (A, VISITS)],
            ["late", "late", "recovered", "published", "recovered"],
        ),
        ([(None, LATE), (None, LATE_AGAIN), (A, LATE_AGAIN)], ["late", "late", "published"]),
    ],
)
def test_an_event_is_told_once(events: list, kinds: list[str]) -> None:
    told, found = Told(), []
    for event in events:
        happened, *silences = event if isinstance(event, tuple) else (event,)
        notices, told = due(told, "shop", happened, silences)
        found += [notice.kind for notice in notices]
    assert found == kinds


def test_a_late_notice_says_since_when_and_what_is_usual() -> None:
    ((notice,), _) = due(Told(), "shop", None, [LATE])
    assert notice.title == "winback shop: late"
    assert notice.body.startswith(
        "Nothing new for too long: transactions: last data 2024-03-01; 7 days without any up to "
        "2024-03-08; no file came"
    )
    assert "Look whether its files of transactions still arrive in the landing" in notice.body
    assert "From 7 days on that is more than this source's pattern allows" in notice.body


def test_closed_days_are_no_days_of_a_silence() -> None:
    assert due(Told(), "shop", None, [silence(DAY, 9, closed_days=3)])[0] == []
    ((notice,), _) = due(Told(), "shop", None, [silence(DAY, 10, closed_days=3)])
    assert "10 days without any up to 2024-03-11, 3 of them closed" in notice.body


def test_a_silence_is_read_from_raw_for_live_sources_only(tmp_path: Path) -> None:
    with gate_shop(tmp_path, kind="live", more="closed_days: [2024-01-19]\n") as shop:
        shop.put("a.csv", lines("1,2024-01-02,5", "1,2024-01-03,5"))
        shop.load()
    live, now = shop.source, datetime(2024, 1, 21, 12, tzinfo=UTC)
    finished = live.model_copy(update={"kind": "finished"})
    assert silences_of(shop.paths, finished, now) == []
    (found,) = silences_of(shop.paths, live, now)
    assert (found.as_of, found.last_day) == (date(2024, 1, 20), date(2024, 1, 3))
    assert (found.days, found.open_days, found.limit) == (17, 16, 7)
    assert silences_of(SourcePaths(tmp_path, "absent"), live, now) == []


def test_it_is_kept_with_the_state_from_process_to_process(
    paths: SourcePaths, box: Mailbox
) -> None:
    for happened in (A, A, BLOCKED, BLOCKED, B):
        assert tell(paths, happened) == []
    assert box.kinds() == ["published", "blocked", "recovered"]
    assert [title for title, _ in box.mailed] == [title for title, _ in box.posted]
    assert paths.notices == paths.state.with_name("notices.json")
    assert json.loads(paths.notices.read_text()) == {
        "published": "b",
        "troubles": [],
        "late": {},
    }
    # One that was spoilt is begun anew: twice is better than not at all.
    paths.notices.write_text("{")
    tell(paths, B)
    assert box.kinds()[-1] == "published"


def test_without_an_address_nothing_is_kept_or_said(paths: SourcePaths) -> None:
    assert tell(paths, BLOCKED) == []
    assert not paths.notices.exists()


def test_what_reached_nobody_is_told_by_the_next_run(
    paths: SourcePaths,
    box: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WINBACK_NOTIFY_URLS", f"json://user:{SECRET}@127.0.0.1:9/{SECRET}")
    with caplog.at_level(logging.WARNING):
        (line,) = tell(paths, BLOCKED)
    assert line == "Notice (blocked) not delivered to address 1 (json): refused or not reachable."
    assert caplog.messages == [line]
    assert not paths.notices.exists()
    monkeypatch.setenv("WINBACK_NOTIFY_URLS", box.urls)
    tell(paths, BLOCKED)
    tell(paths, BLOCKED)
    assert box.kinds() == ["blocked"]


def test_no_fault_of_a_notice_harms_the_run(
    paths: SourcePaths, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.data_dir.joinpath("state").write_text("a file where a folder should be")
    (line,) = tell(paths, A)
    assert line in ("Notice not sent: FileExistsError.", "Notice not sent: NotADirectoryError.")
    assert box.posted == []


def test_a_configuration_is_quoted_and_other_errors_are_not(
    paths: SourcePaths, box: Mailbox
) -> None:
    errors = (ConfigurationError("shop.yml, line 3: no such key\nmore"), WinbackError("C17 paid"))
    for error in errors:
        for _ in range(2):
            with pytest.raises(type(error)), telling_failures(paths):
                raise error
    assert box.kinds() == ["failed", "failed"]
    first, second = (text for _, text in box.posted)
    assert "The configuration has a fault: shop.yml, line 3: no such key\nSee:" in first
    assert "C17" not in second


def test_a_typo_in_the_sources_file_is_told_by_the_command_line(
    tmp_path: Path, box: Mailbox
) -> None:
    paths = make_shop(tmp_path / "data")
    file = paths.data_dir / "sources" / "shop.yml"
    file.write_text(file.read_text().replace("currency:", "currncy:"))
    for _ in range(2):
        outcome = winback("run", "--source", "shop", data_dir=paths.data_dir, **notify(box))
        assert outcome.code == 2
    assert box.kinds() == ["failed"]
    assert "shop.yml, currency: is missing; add it\n" in box.posted[0][1]


def notify(box: Mailbox) -> dict[str, str]:
    return {"WINBACK_NOTIFY_URLS": box.urls}


def test_the_command_tries_every_address(
    tmp_path: Path, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "_resting", {})
    data_dir = make_shop(tmp_path / "data").data_dir
    test = ("notify", "--test", "--source", "shop")
    outcome = winback(*test, data_dir=data_dir, **notify(box))
    assert (outcome.code, outcome.output) == (
        0,
        "address 1 (json): taken\naddress 2 (mailto): taken\n",
    )
    assert box.kinds() == ["test"]
    with dead_end() as swallowing:
        urls = f"{box.urls} {swallowing}"
        outcome = winback(*test, data_dir=data_dir, WINBACK_NOTIFY_URLS=urls)
    assert outcome.code == 1
    assert outcome.seconds <= 10
    assert outcome.messages == "winback: 1 of 3 addresses did not take the notice.\n"
    assert outcome.output.splitlines()[2] == "address 3 (json): no answer in time"
    assert SECRET not in outcome.output
    outcome = winback(*test, data_dir=data_dir, WINBACK_NOTIFY_URLS="")
    assert outcome.code == 2
    assert "WINBACK_NOTIFY_URLS is not set" in outcome.messages
    assert winback("notify", data_dir=data_dir).code == 2
    assert os.environ["WINBACK_NOTIFY_URLS"] == box.urls
