"""Only another version of the models forces what is kept to be computed anew.

`int_customer_days` is all that is kept. That no other setting and no other program can leave
stale days in it is shown here too: without that, the models' hash alone would not do.
"""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from support.raw_shop import Shop
from support.shop import run_dbt

from dagster_project.models import dbt_project
from dagster_project.models.version import (
    forget_built,
    models_have_changed,
    note_built,
    note_models,
    other_than,
)
from dagster_project.paths import SourcePaths
from dagster_project.release.identity import CodeVersion
from dagster_project.warehouse import connect

CODE = CodeVersion("0.1.0", "py", "sql")


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path, "shop")


def test_another_program_keeps_what_was_computed_and_other_models_do_not(paths):
    assert models_have_changed(paths, CODE)
    # Asking is not building.
    assert models_have_changed(paths, CODE)
    note_models(paths, CODE)
    assert not models_have_changed(paths, CODE)
    assert not models_have_changed(paths, replace(CODE, program="other", package="0.2.0"))
    assert models_have_changed(paths, replace(CODE, models="other"))
    note_models(paths, replace(CODE, models="other"))
    assert models_have_changed(paths, CODE)


def test_a_table_is_of_a_release_only_if_all_before_it_are(paths):
    with connect(paths):
        pass  # A warehouse in which nothing was ever noted.
    assert other_than(paths, ["marts/a"], "today") == ["marts/a"]
    for tables, made_from, release in (
        (["int/a", "int/b"], [], "monday"),
        (["marts/a"], ["int/a", "int/b"], "monday"),
        # One of two tables of another day: neither it nor what is made from it is of a release.
        (["int/a"], [], "tuesday"),
        (["marts/a"], ["int/a", "int/b"], "tuesday"),
    ):
        forget_built(paths, tables)
        note_built(paths, tables, made_from, release)
    tables = ["int/a", "int/b", "marts/a"]
    assert other_than(paths, tables, "monday") == ["int/a", "marts/a"]
    assert other_than(paths, tables, "tuesday") == ["int/b", "marts/a"]
    for built, made_from in ((["int/b"], []), (["marts/a"], ["int/a", "int/b"])):
        forget_built(paths, built)
        note_built(paths, built, made_from, "tuesday")
    assert other_than(paths, tables, "tuesday") == []
    # A build that broke off leaves its tables of no release.
    forget_built(paths, ["int/a"])
    assert other_than(paths, tables, "tuesday") == ["int/a"]


def test_a_warehouse_of_an_older_program_is_computed_anew_once(paths):
    paths.warehouse_dir.mkdir(parents=True)
    with duckdb.connect(str(paths.warehouse)) as connection:
        connection.execute("create schema audit")
        connection.execute("create table audit.models as select '0.1.0+abc' as code_version")
    assert models_have_changed(paths, CODE)
    note_models(paths, CODE)
    assert not models_have_changed(paths, CODE)


# --- what is kept -----------------------------------------------------------------------------


def test_only_customer_days_are_kept_from_one_build_to_the_next():
    nodes = dbt_project.manifest()["nodes"].values()
    kept = [node["name"] for node in nodes if node["config"]["materialized"] == "incremental"]
    assert kept == ["int_customer_days"]


def test_every_variable_that_days_are_computed_with_is_in_their_revision():
    manifest = dbt_project.manifest()
    days = manifest["nodes"]["model.winback.int_customer_days"]
    read, macros, to_read = set(), set(), [days]
    while to_read:
        node = to_read.pop()
        read |= variables(node["raw_code"])
        macros |= set(node["depends_on"]["macros"])
        above = node["depends_on"]["nodes"]
        to_read += [manifest["nodes"][name] for name in above if name in manifest["nodes"]]
    while macros:
        macro = manifest["macros"][macros.pop()]
        if macro["package_name"] == "winback":
            read |= variables(macro["macro_sql"])
            macros |= set(macro["depends_on"]["macros"])
    revisions = manifest["nodes"]["model.winback.int_day_revisions"]["raw_code"]
    assert read == variables(revisions) == {"margin_rate"}


def variables(sql: str) -> set[str]:
    return set(re.findall(r"""var\(\s*["'](\w+)""", sql))


def test_days_are_computed_anew_when_the_margin_changes_and_kept_when_not(paths):
    with connect(paths) as connection:
        shop = Shop(paths.data_dir, connection)
        shop.put("a.csv", "customer,day,amount\na,2024-01-02,10.00\nb,2024-01-03,20.00\n")
        shop.load()
        settings = shop.source.model_settings() | {"as_of_date": "2024-12-31"}

    def margins(**changed: str) -> list[tuple]:
        run_dbt(
            paths.warehouse, "run", "--select", "+int_customer_days", variables=settings | changed
        )
        with connect(paths, read_only=True) as connection:
            return connection.execute(
                "select margin from intermediate.int_customer_days order by customer_id"
            ).fetchall()

    assert margins() == [(Decimal("3.00"),), (Decimal("6.00"),)]
    # A mark that only a day computed anew can lose.
    with connect(paths) as connection:
        connection.execute("update intermediate.int_customer_days set margin = -1")
    assert margins(alarm_gap_count="5") == [(Decimal("-1.00"),), (Decimal("-1.00"),)]
    assert margins(margin_rate="0.5") == [(Decimal("5.00"),), (Decimal("10.00"),)]
