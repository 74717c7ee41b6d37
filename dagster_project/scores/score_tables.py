"""The warehouse's schema `scores`, and what the scores are made from.

Belongs here: the tables that are written and the queries that read; no figure is worked out.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.scores.horizons import expected_purchase_days, horizons
from dagster_project.scores.snapshot import TIERS, Snapshot

BATCH_ROWS = 50_000
HISTORIES = """
    select
        customer_id, repeat_count, days_to_last, days_observed, group_number,
        greatest(cast(repeat_net_revenue as double), 0) / greatest(repeat_count, 1) as mean_value,
        value_tier, lifecycle_stage, cast(acquisition_month as varchar) as acquisition_month
    from intermediate.int_purchase_histories"""
TABLES = {
    "customer_scores": """
        customer_id varchar, probability_alive double, repurchase_probability_90d double,
        {expected_purchase_days}, days_to_next_purchase double, expected_order_value double,
        clv_365d double, clv_365d_low double,
        clv_365d_high double, note varchar""",
    "value_forecasts": """
        segment varchar, segment_value varchar, customer_count bigint,
        clv_365d double, clv_365d_low double,
        clv_365d_high double""",
    "score_versions": """
        score varchar, model varchar, is_chosen boolean, reason varchar, parameters varchar,
        log_likelihood double, log_likelihood_gain double, customer_count bigint,
        repeat_customer_count bigint, data_from date, data_to date""",
    "model_quality": """
        horizon_days integer, cutoff_on date, purpose varchar, model varchar,
        customer_count bigint, actual_count bigint, predicted_count double, bias double,
        mae double, rmse double, correlation double, repurchased_count bigint,
        predicted_repurchased_count double, brier double, auc double, top_decile_lift double,
        brier_difference double, brier_difference_low double, brier_difference_high double,
        rmse_difference double, rmse_difference_low double, rmse_difference_high double,
        parameters varchar, log_likelihood double, log_likelihood_gain double, note varchar""",
    "model_calibration": """
        horizon_days integer, cutoff_on date, model varchar, decile integer,
        customer_count bigint, predicted_rate double, actual_rate double""",
}
"""Tables of the schema `scores` and their columns; the marts say what they mean.

`expected_purchase_days` stands for a column a horizon.
"""


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of schema `scores` anew, empty."""
    counts = ", ".join(f"{expected_purchase_days(days)} double" for days in horizons())
    connection.execute("create schema if not exists scores")
    for table, columns in TABLES.items():
        all_columns = columns.format(expected_purchase_days=counts)
        connection.execute(f"create or replace table scores.{table} ({all_columns})")


def read_snapshots(
    connection: duckdb.DuckDBPyConnection,
) -> dict[tuple[int, int], tuple[date, Snapshot]]:
    """Return the sampled customers as of each cutoff, by horizon in days and step."""
    table = connection.sql(
        "select * from intermediate.int_score_tests order by horizon_days, step, customer_id"
    ).to_arrow_table()
    snapshots = {}
    for horizon, step in sorted(
        set(zip(table["horizon_days"].to_pylist(), table["step"].to_pylist(), strict=True))
    ):
        rows = table.filter((pc.field("horizon_days") == horizon) & (pc.field("step") == step))
        snapshots[horizon, step] = rows["cutoff_on"][0].as_py(), snapshot(rows)
    return snapshots


def snapshot(rows: pa.Table | pa.RecordBatch) -> Snapshot:
    """Return rows of either table of histories as arrays, value tiers as their places."""
    columns = {
        name: rows[name] for name in Snapshot.__dataclass_fields__ if name in rows.schema.names
    }
    columns["value_tier"] = pc.index_in(columns["value_tier"], value_set=pa.array(TIERS))
    return Snapshot(
        **{name: column.to_numpy(zero_copy_only=False) for name, column in columns.items()}
    )


def read_sample(connection: duckdb.DuckDBPyConnection) -> tuple[Snapshot, np.ndarray]:
    """Return the sampled customers of today, and the mean value of their later purchase days."""
    rows = connection.sql(
        f"{HISTORIES} where group_number is not null order by customer_id"
    ).to_arrow_table()
    return snapshot(rows), rows["mean_value"].to_numpy()


def read_margin_rate(connection: duckdb.DuckDBPyConnection, as_of: date) -> float:
    """Return the margin for each unit of the net revenue of purchase days, of all customers."""
    # What is returned on other days lowers the margin of all.
    margin, revenue = connection.execute(
        "select sum(margin), sum(net_revenue) filter (sale_line_count > 0) "
        "from intermediate.int_customer_days where ordered_on <= ?",
        [as_of],
    ).fetchone()
    return float(margin / revenue) if revenue else 0.0


def batches(connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """Yield all buyers in order, in batches of a fixed size whatever the engine reads at once."""
    reader = connection.sql(f"{HISTORIES} order by customer_id").to_arrow_reader(BATCH_ROWS)
    waiting = reader.schema.empty_table()
    for read in reader:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([read])])
        while len(waiting) >= BATCH_ROWS:
            yield waiting.slice(0, BATCH_ROWS)
            waiting = waiting.slice(BATCH_ROWS)
    if len(waiting):
        yield waiting


def insert(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[dict[str, Any]]
) -> None:
    """Append rows to a table of scores; what a row does not name is null."""
    rows = list(rows)
    if rows:
        names = dict.fromkeys(name for row in rows for name in row)
        append(connection, table, pa.table({n: [row.get(n) for row in rows] for n in names}))


def append(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Append rows to a table of scores, by the names of their columns."""
    connection.register("new_rows", rows)
    connection.execute(f"insert into scores.{table} by name select * from new_rows")
    connection.unregister("new_rows")
