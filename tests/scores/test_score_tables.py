"""What scores read from the warehouse."""

from pathlib import Path

import duckdb
from support.made_up import drawn, write_warehouse

from dagster_project.scores import score_tables


def test_tiers_are_those_of_the_models_and_not_worked_out_again(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    write_warehouse(file, list(drawn(60, seed=5)))
    with duckdb.connect(str(file)) as connection:
        for table in ("int_score_tests", "int_purchase_histories"):
            connection.execute(
                f"update intermediate.{table} set value_tier = 'medium' "
                "where customer_id < 'C000030'"
            )
        sampled, _ = score_tables.read_sample(connection)
        snapshots = score_tables.read_snapshots(connection)
    # The other customers are high and low in turn, whatever they spent.
    expected = [1] * 30 + [2, 0] * 15
    assert sampled.value_tier.tolist() == expected
    (_, last) = snapshots[30, 1]
    assert set(last.value_tier.tolist()) == {0, 1, 2}
