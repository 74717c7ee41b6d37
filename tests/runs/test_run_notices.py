"""What people are told of Dagster's runs: the five events, once each, from the event log."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from support.mailbox import SECRET, Mailbox, dead_end
from support.mailbox import box as box
from support.shop import LIVE_YML, make_shop

from dagster_project.config.source import load_source
from dagster_project.defs.assets import common
from dagster_project.defs.schedules import morning_schedule
from dagster_project.defs.sensors import landing_sensor
from dagster_project.errors import ConfigurationError, GateBlockedError
from dagster_project.gates.outcomes import Outcome, blocked_message
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.notices import addresses
from dagster_project.paths import PROJECT_DIR, SourcePaths
from dagster_project.runs import bookkeeping, run_notices
from dagster_project.runs.bookkeeping import fail_dead_runs
from dagster_project.warehouse import connect

PERSON = "13912345678"
OUTCOME = Outcome(
    gate="raw",
    table_name="loads",
    expectation="rejected_share_within_limit",
    description="No file has too many rejected lines.",
    severity="critical",
    is_passed=False,
    observed_value=f"line 21: {PERSON}",
    threshold="at most 1.00%",
    evaluated_count=1000,
    unexpected_count=50,
    example_ids=(PERSON,),
    remedy="Correct the lines.",
)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourcePaths:
    """Return a live source's folders, with the Dagster instance that a run of it uses."""
    monkeypatch.setattr(addresses, "_resting", {})
    paths = make_shop(tmp_path / "data", config=LIVE_YML)
    paths.dagster_home.mkdir(parents=True)
    shutil.copy(PROJECT_DIR / "dagster.yaml", paths.dagster_home)
    monkeypatch.setenv("DAGSTER_HOME", str(paths.dagster_home))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    arrive(paths, days_ago=1)
    return paths


@pytest.fixture
def instance(paths: SourcePaths) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as instance:
        yield instance


def arrive(paths: SourcePaths, days_ago: int) -> None:
    """Let raw hold that day as its only one."""
    day = datetime.now(UTC).date() - timedelta(days=days_ago)
    with connect(paths) as connection:
        prepare_raw(connection)
        connection.execute("delete from raw.load_days")
        connection.execute(
            "insert into raw.load_days by name select 'a' as source_file, ?::date as ordered_on, "
            "1 as used_row_count",
            [day],
        )


def run(
    instance: dg.DagsterInstance,
    *,
    release: str = "a",
    is_blocked: bool = False,
    is_current: bool = True,
    error: Exception | None = None,
) -> str:
    """Run assets with the names of ours that do no work; return the run's id."""

    @dg.asset(key=common.TRANSACTIONS)
    def transactions() -> dg.MaterializeResult:
        if error:
            raise error
        counts = {"dagster/row_count": 1234, "files_read": 2, "rejected_lines": 3}
        return dg.MaterializeResult(metadata=counts)

    @dg.asset_check(asset=common.TRANSACTIONS, name="raw_gate_loads", blocking=True)
    def gate() -> dg.AssetCheckResult:
        message = blocked_message([OUTCOME]) if is_blocked else None
        return dg.AssetCheckResult(passed=not is_blocked, description=message)

    @dg.asset(key=common.CANDIDATE, deps=[common.TRANSACTIONS])
    def candidate() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"dagster/row_count": 56})

    @dg.asset(key=common.CURRENT, deps=[common.CANDIDATE])
    def current() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"release_id": release, "is_current": is_current})

    assets = [transactions, gate, candidate, current]
    return dg.materialize(assets, instance=instance, raise_on_error=False).run_id


def test_the_five_events_are_told_once_each(
    paths: SourcePaths, instance: dg.DagsterInstance, box: Mailbox
) -> None:
    published = run(instance)
    run(instance)
    run(instance, release="of a past day", is_current=False)
    blocked = run(instance, is_blocked=True)
    run(instance, is_blocked=True)
    failed = run(instance, error=ValueError(f"cannot convert {PERSON}"))
    run(instance, error=ValueError(f"cannot convert {PERSON}"))
    recovered = run(instance, release="b")
    arrive(paths, days_ago=30)
    run(instance, release="c", is_current=False)
    run(instance, release="c", is_current=False)
    assert box.kinds() == ["published", "blocked", "failed", "recovered", "late"]
    assert [title for title, _ in box.mailed] == [title for title, _ in box.posted]
    texts = dict(zip(box.kinds(), (text for _, text in box.posted), strict=True))
    for kind, run_id in (
        ("published", published),
        ("blocked", blocked),
        ("failed", failed),
        ("recovered", recovered),
    ):
        assert f"Run {run_id}; see its page in the Dagster UI" in texts[kind]
    assert texts["published"].splitlines()[:3] == [
        "Release a is current.",
        "56 customers",
        "1,234 transaction lines; 2 files read, 3 lines rejected",
    ]
    assert texts["blocked"].splitlines()[:5] == [
        "raw gate, loads: rejected_share_within_limit failed",
        "  expected:   No file has too many rejected lines.",
        "  unexpected: 50 of 1,000",
        "  remedy:     Correct the lines.",
        "Readers of shop have no release until a run publishes one.",
    ]
    assert str(paths.blocked / blocked) in texts["blocked"]
    assert texts["failed"].startswith("Step raw/transactions failed.\n")
    assert "; 29 days without any up to " in texts["late"]
    assert PERSON not in repr(box.posted + box.mailed)
    arrive(paths, days_ago=1)
    run(instance, release="d")
    assert box.kinds()[5:] == ["recovered"]


def test_the_same_verdict_on_other_inputs_is_told_again(
    paths: SourcePaths, instance: dg.DagsterInstance, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fingerprint in ("1", "1", "2", "2"):
        monkeypatch.setattr(run_notices, "judged_input", lambda *_, found=fingerprint: found)
        run(instance, is_blocked=True)
    assert box.kinds() == ["blocked", "blocked"]


@pytest.mark.parametrize(
    ("error", "kind", "beginning"),
    [
        (
            ConfigurationError("shop.yml, line 3: no such key"),
            "failed",
            "The configuration has a fault: shop.yml, line 3: no such key\n",
        ),
        (
            GateBlockedError(f"a is not published: observed {PERSON}"),
            "blocked",
            "A gate refused what would have been published.\n",
        ),
    ],
)
def test_known_errors_of_a_step_keep_their_kind(
    error: Exception, kind: str, beginning: str, instance: dg.DagsterInstance, box: Mailbox
) -> None:
    run(instance, error=error)
    assert box.kinds() == [kind]
    assert box.posted[0][1].startswith(beginning)


def test_a_killed_run_is_told_as_failed_when_it_is_noticed(
    paths: SourcePaths,
    instance: dg.DagsterInstance,
    box: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bookkeeping, "START_UP", timedelta(seconds=-1))
    killed = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED).run_id
    assert fail_dead_runs(paths, instance) == [killed]
    assert fail_dead_runs(paths, instance) == []
    assert box.kinds() == ["failed"]
    assert box.posted[0][1].startswith("The run's process ended without a word; run again.\n")
    assert killed in box.posted[0][1]
    run(instance)
    assert box.kinds() == ["failed", "recovered"]


def test_an_address_that_swallows_delays_a_run_by_ten_seconds_and_is_named_in_its_log(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    run(instance)
    silent_seconds = time.monotonic() - started
    with dead_end() as swallowing:
        monkeypatch.setenv("WINBACK_NOTIFY_URLS", f"{swallowing}?rto=60&cto=60")
        started = time.monotonic()
        run_id = run(instance, is_blocked=True)
        assert time.monotonic() - started < silent_seconds + 11
    texts = [entry.user_message for entry in instance.all_logs(run_id)]
    assert [text for text in texts if text.startswith("Notice")] == [
        "Notice (blocked) not delivered to address 1 (json): no answer in time."
    ]
    assert SECRET not in repr(instance.all_logs(run_id))
    assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE


def test_ticks_tell_what_never_becomes_a_run(
    paths: SourcePaths, instance: dg.DagsterInstance, box: Mailbox
) -> None:
    source = load_source(paths)
    sensor, schedule = landing_sensor(source, paths), morning_schedule(source, paths)

    def look() -> None:
        sensor.evaluate_tick(dg.build_sensor_context(instance=instance))

    arrive(paths, days_ago=30)
    look()
    look()
    assert box.kinds() == ["late"]
    file = paths.data_dir / "sources" / f"{paths.source}.yml"
    file.write_text(file.read_text().replace("currency:", "currncy:"))
    morning = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=datetime(2024, 4, 1, tzinfo=UTC)
    )
    schedule.evaluate_tick(morning)
    look()
    assert box.kinds() == ["late", "failed"]


def test_the_assets_that_are_read_are_ours() -> None:
    assert run_notices.CURRENT == common.CURRENT
    assert run_notices.CANDIDATE == common.CANDIDATE
    assert run_notices.TRANSACTIONS == common.TRANSACTIONS


def test_the_same_expectations_on_the_same_files_are_one_cause(tmp_path: Path) -> None:
    """A silence of one day more is no news, whatever the gate observes of it."""

    def cause(outcome: Outcome) -> str:
        check = SimpleNamespace(
            passed=False,
            severity=SimpleNamespace(value="ERROR"),
            check_name="raw_gate_load_days",
            description=blocked_message([outcome]),
        )
        event = SimpleNamespace(event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        event.asset_check_evaluation_data = check
        return run_notices.what_happened(SourcePaths(tmp_path, "shop"), "run", [event]).cause

    longer = replace(OUTCOME, observed_value="10 days", unexpected_count=10, evaluated_count=10)
    assert cause(OUTCOME) == cause(longer)
    assert cause(OUTCOME) != cause(replace(OUTCOME, expectation="lines_add_up"))
