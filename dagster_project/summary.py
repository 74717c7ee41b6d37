"""What a run says at its end."""

import duckdb

from dagster_project.paths import SourcePaths
from dagster_project.releases import Release

STAGES = ("new", "evergreen", "vulnerable", "alarm", "lost", "prospect")
TOP_CANDIDATES = 5


def summarise(paths: SourcePaths, release: Release) -> str:
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
        candidate_count = connection.execute("select count(*) from winback_candidates").fetchone()
        gates = connection.execute(
            "select gate, count(*) filter (is_passed), count(*) from gate_results "
            "where release_id = ? group by all order by all",
            [release.release_id],
        ).fetchall()
    lines = [
        f"Release {release.release_id} of {paths.source}, as of {release.as_of}"
        + ("" if release.is_current else " (kept, not current)"),
        "",
        f"Customers  {customer_count:,}",
        *(
            f"  {stage:<11}{stages[stage]:>9,}  {stages[stage] / customer_count:6.1%}"
            for stage in STAGES
            if stage in stages
        ),
        f"Value lost {lost_value:,.2f} {currency} (the last active year of the lost)",
        "",
        f"Win back first ({candidate_count[0]:,} candidates)",
        *(f"  {rank}. {customer}: {reason}" for rank, customer, reason in top),
        "",
        "Gates      "
        + ", ".join(f"{gate}: {passed} of {total} passed" for gate, passed, total in gates),
        f"File       {paths.published_file if release.is_current else file}",
        "Try        "
        "select customer_id, value_at_stake, rank_reason from winback_candidates limit 10",
    ]
    return "\n".join(lines)
