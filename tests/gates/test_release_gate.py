"""The release gate on every published table; the faults of each are shown in its subject's file."""

from pathlib import Path

import pytest
import yaml
from support.gate_cases import RELEASE_SUBJECTS, contract, failed, judge_release, make
from support.small_release import PUBLISHED, RELEASE
from support.small_warehouse import LINES, WAREHOUSE

from dagster_project.gates import suites
from dagster_project.paths import DBT_DIR


@pytest.mark.parametrize("rows", ["with rows", "empty"])
@pytest.mark.parametrize("table", suites.suite_tables("release"))
def test_good_release_tables_pass(table: str, rows: str, tmp_path: Path) -> None:
    filled = rows == "with rows"
    warehouse = make(tmp_path / "warehouse.duckdb", WAREHOUSE + LINES * filled)
    release = make(tmp_path / "winback.duckdb", RELEASE + PUBLISHED * filled)
    assert failed(judge_release(table, release, warehouse)) == {}


@pytest.mark.parametrize("table", suites.suite_tables("release"))
def test_added_or_missing_column_is_named(table: str, release: Path, warehouse: Path) -> None:
    make(release, f"alter table {table} add email varchar default 'x'")
    faults = failed(judge_release(table, release, warehouse))
    assert list(faults) == ["columns_match_contract"]
    assert faults["columns_match_contract"].observed_value == "email VARCHAR"


@pytest.mark.parametrize(
    "table",
    [one for one in suites.suite_tables("release") if "currency" in contract("release", one)],
)
def test_foreign_currency_is_named(table: str, release: Path, warehouse: Path) -> None:
    make(release, f"update {table} set currency = 'EUR'")
    faults = failed(judge_release(table, release, warehouse))
    assert list(faults) == ["currency_as_declared"]
    outcome = faults["currency_as_declared"]
    assert outcome.unexpected_count == outcome.evaluated_count > 0


def test_release_suites_know_the_published_columns() -> None:
    columns = {
        model["name"]: {one["name"]: one["data_type"] for one in model["columns"]}
        for file in (DBT_DIR / "models" / "marts").rglob("_*__models.yml")
        for model in yaml.safe_load(file.read_text())["models"]
    }
    seeds = yaml.safe_load((DBT_DIR / "seeds" / "_seeds.yml").read_text())
    columns |= {seed["name"]: seed["config"]["column_types"] for seed in seeds["seeds"]}
    assert {table: contract("release", table) for table in suites.suite_tables("release")} == {
        table: {name: type_.replace(", ", ",").upper() for name, type_ in types.items()}
        for table, types in columns.items()
    }


def test_every_published_table_has_a_file_of_faults() -> None:
    tables = [table for tables in RELEASE_SUBJECTS.values() for table in tables]
    assert sorted(tables) == suites.suite_tables("release")
    files = {file.stem for file in Path(__file__).parent.glob("test_release_gate_*.py")}
    assert files == {f"test_release_gate_{subject}" for subject in RELEASE_SUBJECTS}
