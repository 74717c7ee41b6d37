"""What is written beside the models: unit tests, contracts, descriptions, and portable SQL.

dbt's unit tests run here, not in production builds, and every label must be reached by one of them.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import pytest
import yaml
from jinja2 import Template
from reference.seeds import RULES, SEEDS, seed
from support.random_shop import rows_of
from support.shop import run_dbt

from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import DBT_DIR, SourcePaths
from dagster_project.scores import score_tables
from dagster_project.warehouse import connect

MODELS = DBT_DIR / "models"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> SourcePaths:
    """A source without data: every relation is there, which dbt's unit tests need."""
    paths = SourcePaths(tmp_path_factory.mktemp("empty"), "empty")
    with connect(paths) as connection:
        prepare_raw(connection)
        score_tables.create_tables(connection)
    run_dbt(paths.warehouse, "build", "--empty", "--exclude-resource-type", "test", "unit_test")
    return paths


def test_unit_tests_pass(empty: SourcePaths) -> None:
    run_dbt(empty.warehouse, "test", "--select", "test_type:unit")


def test_marts_accept_no_value_that_is_not_listed(empty: SourcePaths) -> None:
    """DuckDB holds the checks of the tables it has built, and so refuses other values."""
    listed = {
        (model["name"], column["name"]): constraint["expression"].split(" in ")[1]
        for path in (MODELS / "marts").rglob("_*__models.yml")
        for model in yaml.safe_load(path.read_text())["models"]
        for column in model["columns"]
        for constraint in column.get("constraints", [])
        if constraint["type"] == "check"
    }
    assert len(listed) == 29
    held = rows_of(
        empty,
        "select table_name, constraint_column_names[1], expression from duckdb_constraints() "
        "where schema_name = 'marts' and constraint_type = 'CHECK'",
    )
    assert {(table, column): re.findall(r"\w+", text)[2:] for table, column, text in held} == {
        key: re.findall(r"\w+", values) for key, values in listed.items()
    }
    with connect(empty) as connection, pytest.raises(duckdb.ConstraintException, match="to_tier"):
        connection.execute(
            "insert into marts.value_tier_movements "
            "values (date '2024-01-01', 'none', 'golden', 1, 0, 'EUR', true)"
        )


def test_every_column_is_described(empty: SourcePaths) -> None:
    described = set()
    described_in = [("models", path) for path in MODELS.rglob("_*__models.yml")]
    for kind, path in [*described_in, ("seeds", SEEDS / "_seeds.yml")]:
        for table in yaml.safe_load(path.read_text())[kind]:
            assert table["description"]
            described |= {
                (table["name"], column["name"])
                for column in table["columns"]
                if column["description"]
            }
    columns = rows_of(
        empty,
        "select table_name, column_name from information_schema.columns "
        "where table_schema in ('staging', 'intermediate', 'marts')",
    )
    assert set(columns) == described
    assert {path.stem for path in SEEDS.glob("*.csv")} <= {table for table, _ in columns}


@pytest.mark.parametrize("model", sorted(MODELS.rglob("*.sql")), ids=lambda path: path.stem)
def test_models_would_mean_the_same_on_spark(model: Path) -> None:
    sql = re.sub(r"--.*", "", model.read_text())
    unlike = r"::|/|\b(?:exclude|generate_series|asof|current_date)\b|\b(?:avg|concat|now)\("
    assert not re.findall(unlike, sql)
    for order in re.findall(r"order by (.*?)(?=[)\"]|\brows\b|\brange\b|$)", sql, re.DOTALL):
        assert all(item.rstrip().endswith("nulls last") for item in order.split(",")), order


@pytest.mark.parametrize(
    ("rows", "key", "not_null", "failing"),
    [
        ("(1, 1, 'a'), (1, 2, null)", ["x", "y"], ["x", "y"], 0),
        ("(1, 1, 'a'), (1, 1, 'b'), (2, 1, 'c')", ["x", "y"], ["x", "y"], 1),
        ("(1, 1, 'a'), (1, null, 'b')", ["x", "y"], ["x", "y"], 1),
        ("(1, 1, 'a'), (1, 1, 'a')", [], ["x", "y"], 0),
        ("(1, null, 'a'), (null, 2, 'a')", [], ["x", "y"], 2),
        ("(1, 1, null), (1, 1, null), (2, null, 'a')", ["x", "y"], [], 1),
    ],
)
def test_well_formed_finds_nulls_and_repeated_keys(
    rows: str, key: list[str], not_null: list[str], failing: int
) -> None:
    text = (DBT_DIR / "tests" / "generic" / "well_formed.sql").read_text()
    body = re.sub(r"{% (test .*|endtest) %}", "", text)
    sql = Template(body).render(model="t", key=key, not_null=not_null)
    with duckdb.connect() as connection:
        connection.execute(f"create table t as from (values {rows}) as v (x, y, z)")
        assert len(connection.execute(sql).fetchall()) == failing


def labels_given_by(sql: str) -> set[str]:
    cases = set(re.findall(r"\b(?:then|else)\s+'(\w+)'", sql))
    return cases | set(re.findall(r"'(\w+)' as rule_id\b", sql))


def labels_of_models() -> dict[str, set[str]]:
    """Return the labels the cases of each model can give, those of its macros included."""
    macros = {
        name: labels_given_by(body)
        for path in (DBT_DIR / "macros").rglob("*.sql")
        for name, body in re.findall(r"macro (\w+)\((.*?)endmacro", path.read_text(), re.DOTALL)
    }
    labels = {}
    for path in MODELS.rglob("*.sql"):
        sql = path.read_text()
        called = [macros[name] for name in macros if re.search(rf"\b{name}\(", sql)]
        labels[path.stem] = labels_given_by(sql).union(*called)
    return {model: found for model, found in labels.items() if found}


def test_every_label_is_reached_by_a_unit_test() -> None:
    expected = defaultdict(set)
    for path in MODELS.rglob("_*__unit_tests.yml"):
        for test in yaml.safe_load(path.read_text())["unit_tests"]:
            for row in test["expect"]["rows"]:
                expected[test["model"]] |= {str(value) for value in row.values()}
    labels = labels_of_models()
    assert labels["customers"] == {"high", "medium", "low"}
    assert labels["alerts"] == {"open", "lost", "recovered"}
    assert len(labels["int_silences_judged"]) == 3 + 3 + 2
    assert len(labels["int_loyalty_intervals"]) == 7
    assert len(labels["int_contact_intervals"]) == 4
    missing = {model: found - expected[model] for model, found in labels.items()}
    assert not any(missing.values()), missing


def test_every_rule_is_in_the_seed_and_every_rule_of_the_seed_is_given() -> None:
    labels = labels_of_models()
    tiers = {"high", "medium", "low"}
    assert RULES.keys() == set().union(
        labels["int_lifecycle_intervals"],
        labels["int_silences_judged"] - tiers,
        labels["int_loyalty_intervals"],
        labels["int_contact_intervals"],
    )
    stages = Counter(
        row["axis"] for row in {(r["axis"], r["stage"]): r for r in seed("stage_rules")}.values()
    )
    assert stages == {"lifecycle_stage": 6, "loyalty_stage": 6, "contact_stage": 4}
    for axis in stages:
        orders = [int(row["rule_order"]) for row in seed("stage_rules") if row["axis"] == axis]
        assert orders == list(range(1, len(orders) + 1))
