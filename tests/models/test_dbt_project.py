"""The parsed project: one for all sources and days, and only as long as it is true."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.models import dbt_project, dbt_runner
from dagster_project.paths import DBT_DIR

# As unlike the defaults as a source's settings can be where parsing may not look at them.
OTHERS = {
    "as_of_date": "2024-02-29",
    "first_day": "2020-01-01",
    "currency": "EUR",
    "time_zone": "Asia/Shanghai",
    "margin_rate": "1.00",
    "has_interactions": True,
    "has_discounts": False,
    "typical_gap_days": 7,
    "alarm_gap_count": 9,
    "new_customer_days": 9,
    "evergreen_purchase_days": 9,
    "client_purchase_days": 9,
    "decline_share": "0.10",
    "return_share_rise": "0.90",
    "minimum_alert_lift": "9",
    "maximum_false_lost_share": "0.10",
    "score_horizons": [7],
    "churn_definitions": [
        {
            "valid_from": valid_from,
            "method": method,
            "lost_days": 7,
            "gap_multiple": "2.00",
            "quantile": "0.90",
            "seasons": [],
            "description": "Another.",
            "description_zh": "另一个。",
        }
        for valid_from, method in (("0001-01-01", "cadence"), ("2023-01-01", "survival"))
    ],
    "value_tiers": [
        {
            "valid_from": "0001-01-01",
            "measure": "margin",
            "method": "cutoff",
            "high": "9",
            "medium": "1",
        },
        {
            "valid_from": "2023-01-01",
            "measure": "expected_value",
            "method": "share",
            "high": "0.10",
            "medium": "0.20",
        },
    ],
}


def nodes(target: Path) -> dict[str, Any]:
    manifest = json.loads((target / "manifest.json").read_text())
    kept = ("config", "alias", "schema", "columns", "raw_code")
    return {
        # The macros it names are only asked when states of a project are compared.
        name: {part: node.get(part) for part in kept}
        | {"reads": node.get("depends_on", {}).get("nodes")}
        for kind in ("nodes", "sources", "unit_tests")
        for name, node in manifest[kind].items()
    }


def parsed(target: Path, variables: dict[str, Any]) -> dict[str, Any]:
    dbt_runner.run_dbt(["parse"], target=target, variables=variables, environment={})
    return nodes(target)


def test_parsing_looks_at_no_other_variable(tmp_path: Path) -> None:
    defaults = dbt_project.default_variables()
    others = defaults | OTHERS
    same = {name for name, value in defaults.items() if others[name] == value}
    assert same == {"churn_basis"}
    assert dbt_project.parsed_project(others) == dbt_project.parsed_project(defaults)
    assert parsed(tmp_path, others) == nodes(dbt_project.manifest_path().parent)


def test_a_stored_silence_is_parsed_apart_and_once_for_all_who_store_it(tmp_path: Path) -> None:
    defaults = dbt_project.default_variables()
    season = defaults["churn_definitions"][0] | {"method": "season"}
    by_season = defaults | {"churn_definitions": [season]}
    by_interaction = defaults | OTHERS | {"churn_basis": "interaction"}
    by_both = defaults | {"churn_basis": "both", "churn_definitions": [season]}
    apart = {dbt_project.parsed_project(given) for given in (by_season, by_interaction, by_both)}
    assert len(apart) == 1
    assert apart != {dbt_project.parsed_project(defaults)}
    found = parsed(tmp_path / "interaction", by_interaction)
    assert found == parsed(tmp_path / "both", by_both)
    silences = "model.winback.int_silences"
    assert found[silences]["config"]["materialized"] == "table"
    assert nodes(dbt_project.manifest_path().parent)[silences]["config"]["materialized"] == "view"


def test_a_parsed_project_older_than_a_model_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbt_project, "MANIFEST", tmp_path / "manifest.json")
    defaults = dbt_project.default_variables()
    file = dbt_project.parsed_project(defaults)
    file.touch()
    assert dbt_project.parsed_project(defaults).exists()
    model = (DBT_DIR / "models" / "marts" / "customers" / "customers.sql").stat().st_mtime
    os.utime(file, (model - 1, model - 1))
    assert not dbt_project.parsed_project(defaults).exists()


def test_dbt_goes_on_after_a_table_larger_than_memory(tmp_path: Path) -> None:
    """DuckDB refuses to be told its spill folder once it has used it, and dbt opens it anew."""
    (tmp_path / "models").mkdir()
    (tmp_path / "dbt_project.yml").write_text(
        "{name: spilling, profile: winback, models: {spilling: {+materialized: table}}}"
    )
    (tmp_path / "models" / "large.sql").write_text(
        "select range as id, repeat('x', 20) || hash(range) as text from range(6000000) "
        "order by hash(range)"
    )
    (tmp_path / "models" / "count.sql").write_text(
        "select count(*) as row_count from {{ ref('large') }}"
    )
    warehouse = tmp_path / "warehouse.duckdb"
    command = [Path(sys.executable).with_name("dbt"), "run", "--project-dir", tmp_path]
    environment = os.environ | {
        "WINBACK_WAREHOUSE": str(warehouse),
        "WINBACK_MEMORY_LIMIT": "250MB",
        "WINBACK_SPILL": str(tmp_path / "spill"),
    }
    result = subprocess.run(
        [*map(str, command), "--profiles-dir", str(DBT_DIR)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 0, result.stdout
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        assert connection.execute("from count").fetchall() == [(6_000_000,)]
