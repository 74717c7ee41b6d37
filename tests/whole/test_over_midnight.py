"""A run over midnight whose configuration is edited meanwhile: one answer in every step."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.shop import LIVE_YML, SHOP, make_shop, winback

from dagster_project.cli import run as cli_run
from dagster_project.config.source import load_source
from dagster_project.defs.assets import raw
from dagster_project.runs import bookkeeping

# Ten seconds before midnight in Berlin; the day that is then over is the 19th.
BEFORE_MIDNIGHT = datetime(2024, 3, 20, 22, 59, 50, tzinfo=UTC)
AS_OF = date(2024, 3, 19)


def clock(start: datetime) -> type[datetime]:
    """Return a `datetime` whose every look at the clock is a minute later than the last."""
    looks = iter(range(10**6))

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return (start + timedelta(minutes=next(looks))).astimezone(tz)

    return Clock


def test_over_midnight_and_an_edit_every_step_has_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_shop(tmp_path / "data", until=date(2024, 3, 20), config=LIVE_YML)
    config = tmp_path / "data" / "sources" / f"{SHOP}.yml"
    as_started = load_source(paths).settings_fingerprint()
    # A minute passes between any two looks, so the second one sees the day after.
    passing = clock(BEFORE_MIDNIGHT)
    for module in (cli_run, bookkeeping, raw):
        monkeypatch.setattr(module, "datetime", passing)
    load = raw.load_table

    def edit_and_load(*arguments: Any, **options: Any) -> Any:
        config.write_text(LIVE_YML.replace("EUR", "USD").replace("restaurant", "dentist"))
        return load(*arguments, **options)

    monkeypatch.setattr(raw, "load_table", edit_and_load)
    outcome = winback("run", "--source", SHOP, data_dir=paths.data_dir)
    assert outcome.code == 0, outcome.messages
    assert load_source(paths).settings_fingerprint() != as_started

    manifest = json.loads((paths.current / "manifest.json").read_text())
    assert manifest["as_of"] == str(AS_OF)
    assert manifest["currency"] == "EUR"
    assert manifest["settings_fingerprint"] == as_started
    # What the day that has begun brought already is no answer to how far the data reach.
    assert manifest["feed"] == {
        "transactions": {
            "last_day_with_data": str(AS_OF),
            "days_without_data": 0,
            "closed_days_without_data": 0,
        }
    }
    assert f"Data       transactions up to {AS_OF}\n" in outcome.output
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        connection.execute(f"attach '{paths.published_file}' as published (read_only)")
        dates = {
            "load": "select max(ordered_on) - 1 from raw.load_days",
            "limits": "select as_of_date from audit.limits",
            "today": "select today - 1 from audit.limits",
            "models": "select distinct last_purchase_on + cast(hiatus_days as integer) "
            "from marts.customers where hiatus_days is not null",
            "scores": "select distinct data_to from scores.score_versions",
            "release": "select as_of_date from published.releases",
        }
        found = {name: connection.execute(query).fetchall() for name, query in dates.items()}
        thresholds = connection.execute(
            "select distinct repeat_lost_days from published.churn_definitions where is_in_force"
        ).fetchall()
    assert found == {name: [(AS_OF,)] for name in dates}
    # A restaurant's, not a dentist's.
    assert thresholds == [(30,)]
