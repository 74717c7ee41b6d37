"""`python -m benchmarks.truth`: how right each churn definition is, against the simulated truth.

No real data set can tell this: there nobody knows who is gone and who is only silent.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

import duckdb

from benchmarks.measuring import Measured, data_directory, markdown_table, winback
from dagster_project.config.source import load_source
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import literal

COLUMNS = (
    "definition",
    "first-time",
    "repeat",
    "called lost",
    "recall",
    "precision",
    "alive, yet called lost",
    "median delay, days",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.truth",
        description="Simulates a business, runs it and prints for each churn definition: of those "
        "really gone by the as-of date, the share called lost (recall); of those called lost, the "
        "share really gone (precision); of those not gone, the share called lost; and the median "
        "days from the real drop-out to being called lost.",
    )
    parser.add_argument("--lines", type=int, metavar="N", default=1_000_000)
    parser.add_argument("--seed", type=int, metavar="N", default=1)
    parser.add_argument(
        "--source",
        metavar="NAME",
        default="simulated",
        help="simulated (default), or a copy of its file with another industry",
    )
    parser.add_argument("--memory-limit", default="12GB", help="DuckDB's (default: %(default)s)")
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="keep everything there (default: a temporary folder)",
    )
    parsed = parser.parse_args()
    with data_directory(parsed.data_dir) as data_dir:
        paths = SourcePaths(data_dir, parsed.source)
        limits = {"memory_limit": parsed.memory_limit, "data_dir": data_dir}
        size = ("--lines", parsed.lines, "--seed", parsed.seed)
        _check(winback("simulate", "--source", parsed.source, *size, **limits))
        _check(winback("run", "--source", parsed.source, **limits))
        print(table(paths, load_source(paths).last_day))


def table(paths: SourcePaths, as_of: date) -> str:
    """Return the Markdown table of a source that has been simulated and run."""
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        return markdown_table([COLUMNS, *(_shown(row) for row in judge(connection, paths, as_of))])


def judge(connection: duckdb.DuckDBPyConnection, paths: SourcePaths, as_of: date) -> list[tuple]:
    """Return a row a definition: its thresholds, customers, shares and days; see `COLUMNS`.

    A definition's versions each judge the silences that began in their time. A silence that began
    before the real drop-out can be called lost before it too: then the delay is negative.
    """
    return connection.execute(
        f"""
        with thresholds as (
            from intermediate.int_churn_thresholds where cutoff_on = $as_of
        ),

        -- Every customer's silence that is still open: whoever has bought has one.
        silences as (
            from intermediate.int_silences where ended_on is null
        ),

        truth as (
            select customer_id, dropped_out_on
            from read_parquet({literal(paths.simulated_truth)})
            where acquired_on <= $as_of
        ),

        judged as (
            select
                definition_id,
                definition_order,
                dropped_out_on,
                coalesce(dropped_out_on <= $as_of, false) as is_gone,
                case method
                    when 'nobody_lost' then null
                    -- From the first day of the silence on.
                    when 'everybody_lost' then started_on
                    when 'season' then season_passed_on
                    when 'cadence' then started_on + 1 + least(
                        greatest(
                            gap_hundredths * expected_gap_days_total
                                // (100 * expected_gap_count),
                            minimum_days
                        ),
                        maximum_days
                    )::integer
                    else started_on + 1
                        + case when purchase_day_count = 1 then first_time_days else repeat_days end
                end as lost_on
            from truth
            inner join silences using (customer_id)
            inner join thresholds
                on started_on >= valid_from and started_on < valid_before
        ),

        called as (
            select *, coalesce(lost_on <= $as_of, false) as is_called_lost from judged
        ),

        resolved as (
            select
                definition_id,
                arg_max(method, valid_from) as method,
                arg_max(first_time_days, valid_from) as first_time_days,
                arg_max(repeat_days, valid_from) as repeat_days
            from thresholds
            group by definition_id
        )

        select
            definition_id,
            case when method <> 'everybody_lost' then first_time_days end,
            case when method <> 'everybody_lost' then repeat_days end,
            avg(is_called_lost::integer),
            avg(is_called_lost::integer) filter (is_gone),
            avg(is_gone::integer) filter (is_called_lost),
            avg(is_called_lost::integer) filter (not is_gone),
            -- Of everybody lost by decree the day says nothing.
            median(lost_on - dropped_out_on) filter (
                is_gone and is_called_lost and method <> 'everybody_lost'
            )
        from called inner join resolved using (definition_id)
        group by all
        order by min(definition_order)
        """,
        {"as_of": as_of},
    ).fetchall()


def _shown(row: tuple) -> list[str]:
    definition, first_time, repeat, *shares, delay = row
    days = ["–" if value is None else f"{value:,.0f}" for value in (first_time, repeat, delay)]
    return [
        definition,
        *days[:2],
        *("–" if share is None else f"{share:.1%}" for share in shares),
        days[2],
    ]


def _check(measured: Measured) -> None:
    if measured.code:
        sys.exit(f"failed with exit code {measured.code}:\n{measured.messages[-3000:]}")


if __name__ == "__main__":
    main()
