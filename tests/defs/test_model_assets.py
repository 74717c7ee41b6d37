"""The dbt models as Dagster runs them: what is chosen, what is told of it, what fails."""

import dagster as dg
import duckdb
import pytest
from support.shop import SHOP, make_shop

from dagster_project.cli.failures import failure_of
from dagster_project.config.source import load_source
from dagster_project.defs.assets.common import NEXT_STEP
from dagster_project.defs.assets.models import model_assets
from dagster_project.defs.resources import SourceRun
from dagster_project.errors import WinbackError
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.models.version import models_have_changed
from dagster_project.paths import SourcePaths
from dagster_project.release.identity import code_version
from dagster_project.warehouse import connect

CHOSEN = [dg.AssetKey(["intermediate", name]) for name in ("int_months", "int_churn_definitions")]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> SourcePaths:
    paths = make_shop(tmp_path_factory.mktemp("models") / "data")
    source = load_source(paths)
    with connect(paths) as connection:
        prepare_raw(connection)
        for table in source.tables:
            load_table(connection, source, paths, table, batch_id="1")
    return paths


def run(paths: SourcePaths, selection: dg.AssetSelection) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            model_assets(),
            selection=selection,
            instance=instance,
            resources={"source_run": SourceRun(source_name=SHOP, data_dir=str(paths.data_dir))},
            raise_on_error=False,
        )


def test_chosen_models_alone_are_built_and_tested(paths: SourcePaths) -> None:
    result = run(paths, dg.AssetSelection.assets(*CHOSEN))
    assert result.success
    told = {
        event.asset_key: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert told.keys() == set(CHOSEN)
    months = told[CHOSEN[0]]
    assert months["dagster/row_count"].value == 3
    assert months["Execution Duration"].value > 0
    assert months["unique_id"].value == "model.winback.int_months"
    checks = result.get_asset_check_evaluations()
    assert {check.asset_key for check in checks} == set(CHOSEN)
    assert all(check.passed for check in checks)
    assert "well_formed" in checks[0].check_name
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        built = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'intermediate' order by 1"
        ).fetchall()
    assert built == [("int_churn_definitions",), ("int_months",)]
    # What was not built is still of another version, or of none.
    assert models_have_changed(paths, code_version())


def test_a_model_whose_tables_are_not_there_yet_says_what_to_do(paths: SourcePaths) -> None:
    result = run(paths, dg.AssetSelection.assets(dg.AssetKey(["marts", "customers"])))
    error = failure_of(result)
    assert type(error) is WinbackError
    assert str(error) == (
        "intermediate/int_buyers, intermediate/int_contact_intervals, "
        "intermediate/int_customer_records and 9 more: not built yet, and what was chosen is made "
        f"from them. {NEXT_STEP}"
    )
    # Noticed before dbt was started, and before what stands was taken for spoilt.
    assert result.get_asset_check_evaluations() == []


def test_a_failing_test_alone_fails_its_check_and_the_run(paths: SourcePaths) -> None:
    assert run(paths, dg.AssetSelection.assets(CHOSEN[0])).success
    with connect(paths) as connection:
        connection.execute("insert into intermediate.int_months from intermediate.int_months")
    checks = dg.AssetSelection.checks_for_assets(CHOSEN[0])
    result = run(paths, checks)
    assert not result.success
    assert result.get_asset_materialization_events() == []
    (check,) = result.get_asset_check_evaluations()
    assert (check.asset_key, check.passed) == (CHOSEN[0], False)
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert check.metadata["dagster_dbt/failed_row_count"].value == 3
    error = result.failure_data_for_node("models").error
    while error.cause:
        error = error.cause
    assert "well_formed_int_months" in error.message
    assert "failed (Got 3 results" in error.message
