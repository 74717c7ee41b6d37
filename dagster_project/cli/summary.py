"""What a run says at its end."""

from typing import Any

import duckdb

from dagster_project.config.churn_estimate import published_estimate
from dagster_project.config.churn_words import threshold_text
from dagster_project.config.source import Source
from dagster_project.config.versions import in_force
from dagster_project.paths import SourcePaths
from dagster_project.release.manifest import churn_backtest, read_manifest
from dagster_project.release.state import Release

STAGES = ("new", "evergreen", "vulnerable", "alarm", "lost", "prospect")
TOP_CANDIDATES = 5


def summarise(paths: SourcePaths, source: Source, release: Release) -> str:
    """Return a short summary of a kept release, read from its own file."""
    file = paths.release_file(release.release_id)
    with duckdb.connect(str(file), read_only=True) as connection:
        stages = dict(
            connection.execute(
                "select lifecycle_stage, count(*) from customers group by all"
            ).fetchall()
        )
        customer_count = sum(stages.values())
        lost_value, currency = connection.execute(
            "select coalesce(sum(value_at_stake) filter (lifecycle_stage = 'lost'), 0), "
            "max(currency) from customers"
        ).fetchone()
        top = connection.execute(
            "select rank, customer_id, rank_reason from winback_candidates "
            f"order by rank limit {TOP_CANDIDATES}"
        ).fetchall()
        backtest = churn_backtest(connection, "main")
        publishers = connection.execute(
            "select score, max(model) filter (is_chosen) from score_versions "
            "group by all order by all"
        ).fetchall()
        candidate_count = connection.execute("select count(*) from winback_candidates").fetchone()
        gates = connection.execute(
            "select gate, count(*) filter (is_passed), count(*) from gate_results "
            "where release_id = ? group by all order by all",
            [release.release_id],
        ).fetchall()
        warnings = connection.execute(
            "select gate, table_name, expectation, observed_value from gate_results "
            "where release_id = ? and not is_passed order by gate, table_name, expectation",
            [release.release_id],
        ).fetchall()
    lines = [
        f"Release {release.release_id} of {paths.source}, as of {release.as_of}"
        + ("" if release.is_current else " (kept, not current)"),
        "",
        *_reach_lines(read_manifest(file.parent)["feed"]),
        f"Customers  {customer_count:,}",
        *(
            f"  {stage:<11}{stages[stage]:>9,}  {stages[stage] / customer_count:6.1%}"
            for stage in STAGES
            if stage in stages
        ),
        f"Value lost {lost_value:,.2f} {currency} (the last active year of the lost)",
        f"Definition {_definition(paths, source, release)}",
        *_backtest_lines(backtest),
        "Scores     "
        + ", ".join(f"{score} by {model or 'none'}" for score, model in publishers)
        + " (see score_versions)",
        "",
        f"Win back first ({candidate_count[0]:,} candidates)",
        *(f"  {rank}. {customer}: {reason}" for rank, customer, reason in top),
        "",
        "Gates      "
        + ", ".join(f"{gate}: {passed} of {total} passed" for gate, passed, total in gates),
        *(
            f"  warning: {gate}, {table}, {expectation}: {observed}"
            for gate, table, expectation, observed in warnings
        ),
        f"File       {paths.published_file if release.is_current else file}",
        "Try        "
        "select customer_id, value_at_stake, rank_reason from winback_candidates limit 10",
    ]
    return "\n".join(lines)


def _reach_lines(feed: dict[str, dict[str, Any]]) -> list[str]:
    """Say how far the data of each watched table reach."""
    lines = []
    for table, facts in feed.items():
        days, closed = facts["days_without_data"], facts["closed_days_without_data"]
        without = f", {days} days without any up to the as-of date" if days else ""
        lines.append(
            f"{'' if lines else 'Data':<11}{table} up to {facts['last_day_with_data']}{without}"
            + (f" ({closed} of them closed)" if closed else "")
        )
    return lines


def _definition(paths: SourcePaths, source: Source, release: Release) -> str:
    versions = source.churn_definitions
    active = in_force(versions, release.as_of)
    release_dir = paths.release_file(release.release_id).parent
    return threshold_text(active, published_estimate(release_dir, versions, active))


def _backtest_lines(backtest: list[dict[str, Any]]) -> list[str]:
    if not backtest:
        return ["  back-test  not yet: it takes nine months of data"]
    return [
        f"  back-test  {entry['horizon_days']} days: of those called lost "
        f"{_percent(entry['false_lost_rate'])} came back, of those who stayed away "
        f"{_percent(entry['missed_rate'])} were missed; {_verdict(entry)}"
        for entry in backtest
    ]


def _percent(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:.1%}"


def _verdict(entry: dict[str, Any]) -> str:
    best = entry["best_definition_id"]
    if best is None:
        return "no definition qualifies, see churn_definition_summary"
    if best == "active":
        return "no definition did better"
    if entry["is_worse_than_best"]:
        return f"{best} does better beyond chance"
    return f"{best} does no better beyond chance"
