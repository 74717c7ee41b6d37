"""What a release is made from: every input, setting and file of code counts, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from support.releases import identity

from dagster_project.paths import PROJECT_DIR
from dagster_project.release.identity import (
    CodeVersion,
    NamedInput,
    ReleaseIdentity,
    code_version,
    raw_input,
    release_identity,
)

CODE = CodeVersion("0.1.0", "py", "sql")
RAW, STATE = NamedInput("raw", "one"), NamedInput("state", "two")


@pytest.mark.parametrize(
    "change",
    [
        {"as_of": date(2024, 2, 1)},
        {"inputs": (NamedInput("raw", "other"),)},
        {"settings_fingerprint": "other"},
        {"code": replace(CODE, package="0.2.0")},
        {"code": replace(CODE, program="other")},
        {"code": replace(CODE, models="other")},
    ],
)
def test_release_id_follows_everything_that_decides_the_content(change):
    base = identity("a")
    assert base.release_id == identity("a").release_id
    assert replace(base, **change).release_id != base.release_id
    assert base.release_id.startswith("2024-01-31-")
    assert len(base.release_id) == len("2024-01-31-") + 10


# --- inputs -----------------------------------------------------------------------------------


def made_from(*inputs: NamedInput) -> ReleaseIdentity:
    source = SimpleNamespace(name="shop", settings_fingerprint=lambda: "settings")
    return release_identity(source, date(2024, 1, 31), CODE, inputs)


def test_the_order_of_inputs_is_nothing():
    assert made_from(RAW, STATE) == made_from(STATE, RAW)
    assert made_from(RAW, STATE).release_id == made_from(STATE, RAW).release_id
    assert made_from(STATE, RAW).raw_fingerprint == "one"


@pytest.mark.parametrize(
    "other",
    [
        (RAW,),
        (RAW, NamedInput("state", "three")),
        (RAW, NamedInput("campaigns", "two")),
        (NamedInput("raw", "two"), NamedInput("state", "one")),
        (RAW, STATE, NamedInput("campaigns", "three")),
    ],
)
def test_every_input_counts_with_its_name(other):
    base = made_from(RAW, STATE)
    assert made_from(*other).input_fingerprint != base.input_fingerprint
    assert made_from(*other).release_id != base.release_id


def test_two_inputs_of_one_name_are_refused():
    with pytest.raises(ValueError, match="twice: state"):
        made_from(RAW, STATE, NamedInput("state", "three"))
    with pytest.raises(ValueError, match="twice: raw"):
        made_from(RAW, RAW)


def raw_of(connection: duckdb.DuckDBPyConnection, loads: list, days: list) -> NamedInput:
    connection.execute(
        "drop schema if exists raw cascade; create schema raw; "
        "create table raw.loads (table_name varchar, source_file varchar, load_key varchar, "
        "row_count bigint); create table raw.load_days "
        "(source_file varchar, ordered_on date, row_count bigint, amount decimal(18, 2), "
        "used_amount decimal(18, 2))"
    )
    for row in loads:
        connection.execute("insert into raw.loads values (?, ?, ?, ?)", row)
    for row in days:
        connection.execute("insert into raw.load_days values (?, ?, ?, ?, ?)", row)
    return raw_input(connection)


def test_raw_is_what_its_files_hold_in_any_order():
    loads = [("transactions", "a.csv", "key-a", 3), ("customers", "b.csv", "key-b", 2)]
    days = [("a.csv", "2024-01-01", 1, "1.00", "1.00"), ("a.csv", "2024-01-02", 2, "5.00", "4.00")]
    with duckdb.connect() as connection:
        base = raw_of(connection, loads, days)
        assert base.name == "raw"
        assert raw_of(connection, loads[::-1], days[::-1]) == base
        other_content = [("transactions", "a.csv", "key-c", 3), loads[1]]
        assert raw_of(connection, other_content, days) != base
        other_amount = [days[0], ("a.csv", "2024-01-02", 2, "5.00", "5.00")]
        assert raw_of(connection, loads, other_amount) != base
        assert raw_of(connection, loads, days[:1]) != base


# --- code -------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a small project with a file of each kind."""
    for name in (
        "dagster.yaml",
        "dagster_project/cli/main.py",
        "dagster_project/report/page.html",
        "dbt/dbt_project.yml",
        "dbt/macros/dates.sql",
        "dbt/models/marts/customers.sql",
        "dbt/models/marts/_marts__models.yml",
        "dbt/profiles.yml",
        "dbt/seeds/stage_rules.csv",
        "dbt/tests/tiers_reconcile.sql",
        "expectations/release/customers.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    return tmp_path


def write(name: str) -> Callable[[Path], None]:
    def change(project: Path) -> None:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("after")

    return change


def rename(name: str, other: str) -> Callable[[Path], None]:
    return lambda project: (project / name).rename(project / other)


def delete(name: str) -> Callable[[Path], None]:
    return lambda project: (project / name).unlink()


@pytest.mark.parametrize(
    "change",
    [
        write("dagster_project/cli/main.py"),
        write("dagster_project/report/page.html"),
        write("dagster_project/report/new/card.html"),
        write("dagster_project/scores/table"),
        rename("dagster_project/cli/main.py", "dagster_project/cli/start.py"),
        delete("dagster_project/report/page.html"),
        write("expectations/release/customers.json"),
        write("dbt/tests/tiers_reconcile.sql"),
        write("dbt/profiles.yml"),
        write("dagster.yaml"),
    ],
)
def test_files_of_the_program_change_the_program_and_not_the_models(project, change):
    before = code_version(project)
    change(project)
    after = code_version(project)
    assert after.program != before.program
    assert after.models == before.models
    assert after.text != before.text


@pytest.mark.parametrize(
    "change",
    [
        write("dbt/models/marts/customers.sql"),
        write("dbt/models/marts/_marts__models.yml"),
        write("dbt/models/marts/new/alerts.sql"),
        write("dbt/macros/dates.sql"),
        write("dbt/seeds/stage_rules.csv"),
        write("dbt/seeds/more.parquet"),
        write("dbt/dbt_project.yml"),
        write("dbt/snapshots/stages.sql"),
        rename("dbt/models/marts/customers.sql", "dbt/models/marts/buyers.sql"),
        delete("dbt/seeds/stage_rules.csv"),
    ],
)
def test_files_of_the_models_change_the_models_and_not_the_program(project, change):
    before = code_version(project)
    change(project)
    after = code_version(project)
    assert after.models != before.models
    assert after.program == before.program
    assert after.text != before.text


@pytest.mark.parametrize(
    "name",
    [
        "dagster_project/cli/main.py~",
        "dagster_project/cli/.main.py.swp",
        "dagster_project/cli/main.py.swp",
        "dagster_project/cli/#main.py#",
        "dagster_project/cli/__pycache__/main.cpython-311.pyc",
        "dagster_project/.ipynb_checkpoints/main.py",
        "dbt/models/marts/.customers.sql.swp",
        "dbt/models/marts/customers.sql~",
        "dbt/seeds/.hidden/stage_rules.csv",
        "dbt/.user.yml",
        "dbt/target/manifest.json",
        "dbt/logs/dbt.log",
        "data/landing/shop/sales.csv",
        "README.md",
    ],
)
def test_what_python_dbt_and_editors_leave_changes_nothing(project, name):
    before = code_version(project)
    write(name)(project)
    assert code_version(project) == before


def test_without_a_change_the_version_stays(project, tmp_path_factory):
    before = code_version(project)
    assert code_version(project) == before
    assert before.text.startswith("0.1.0+")
    assert len(before.text) == len("0.1.0+") + 10
    # Where the project stands is nothing of it.
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "project"
    project.rename(elsewhere)
    assert code_version(elsewhere) == before


def test_the_project_itself_has_a_version():
    version = code_version()
    assert version == code_version(PROJECT_DIR)
    assert version.program != version.models
