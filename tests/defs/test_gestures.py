"""What a person materialises in the UI: one model, a selection, a day; green where it should be."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from support.shop import SHOP, add_sales, copy_data, make_shop, shop_paths

from dagster_project.cli.failures import failure_of
from dagster_project.config.source import load_source
from dagster_project.definitions import build_definitions
from dagster_project.defs import checks
from dagster_project.defs.assets.common import CANDIDATE, CURRENT, TRANSACTIONS, raw_key
from dagster_project.defs.assets.raw import business_days, raw_assets
from dagster_project.defs.jobs import DAILY, request, run_config
from dagster_project.defs.resources import SourceRun
from dagster_project.errors import GateBlockedError, WinbackError
from dagster_project.files import file_hash
from dagster_project.paths import SourcePaths
from dagster_project.release.state import current_release
from dagster_project.runs.planning import plan_load

CUSTOMERS = dg.AssetKey(["marts", "customers"])


@pytest.fixture(scope="module")
def paths(published_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> SourcePaths:
    return shop_paths(copy_data(published_shop, tmp_path_factory.mktemp("gestures") / "data"))


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def materialize(
    paths: SourcePaths, instance: dg.DagsterInstance, *keys: dg.AssetKey, **settings: Any
) -> dg.ExecuteInProcessResult:
    """Do what "Materialize" does: run the assets with their checks, in one run."""
    definitions = build_definitions(load_source(paths), paths)
    return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=list(keys),
        instance=instance,
        run_config=run_config(**settings) if settings else None,
        raise_on_error=False,
    )


def test_one_model_then_the_release_of_what_is_built(
    paths: SourcePaths, instance: dg.DagsterInstance
) -> None:
    published = current_release(paths).release_id
    before = file_hash(paths.published_file)

    one = materialize(paths, instance, CUSTOMERS)
    assert one.success, failure_of(one)
    told = one.get_asset_check_evaluations()
    # The tests that need nothing but the model and what it is made from; no unit test.
    assert {check.asset_key for check in told} == {CUSTOMERS}
    assert {check.check_name for check in told} >= {"well_formed_customers_customer_id"}

    # As of another day than the tables it is made from: its own tests see it, the cause and what to
    # do are told, and it is of no release.
    other_day = failure_of(materialize(paths, instance, CUSTOMERS, as_of="2024-03-30"))
    assert "customers" in str(other_day) and "failed (Got " in str(other_day)
    assert (
        "\nThe likely cause: intermediate/int_buyers, intermediate/int_contact_intervals, "
        "intermediate/int_customer_records and 9 more, from which it is made, were not built from "
        "what is loaded now, as of 2024-03-30 with the present settings and code. To publish, "
        "start the job `daily`"
    ) in str(other_day)
    mixed = materialize(paths, instance, CANDIDATE, CURRENT)
    error = failure_of(mixed)
    assert type(error) is WinbackError
    assert str(error).startswith(
        "marts/customers: not built, with all before them, from what is loaded now, as of "
        "2024-03-31 "
    )
    assert "start the job `daily`" in str(error)
    assert file_hash(paths.published_file) == before

    # Both in one run once it is rebuilt: partitioned or not, models and release.
    again = materialize(paths, instance, CUSTOMERS, CANDIDATE, CURRENT)
    assert again.success, failure_of(again)
    assert current_release(paths).release_id == published


def test_a_release_as_of_another_day_than_its_tables_is_refused(
    paths: SourcePaths, instance: dg.DagsterInstance
) -> None:
    refused = failure_of(materialize(paths, instance, CANDIDATE, as_of="2024-03-29"))
    assert "and 27 more: not built" in str(refused)
    assert "as of 2024-03-29" in str(refused)


def test_the_switch_alone_says_what_to_materialise(
    paths: SourcePaths, instance: dg.DagsterInstance
) -> None:
    alone = failure_of(materialize(paths, instance, CURRENT))
    assert "materialise release/candidate and release/current together" in str(alone)


def test_a_range_of_days_of_the_job_is_one_run(paths: SourcePaths) -> None:
    source = load_source(paths)
    job = build_definitions(source, paths).resolve_job_def(DAILY)
    assert job.backfill_policy == dg.BackfillPolicy.single_run()
    assert job.partitions_def == business_days(source)


def test_a_blocked_verdict_fails_its_run_whatever_was_chosen(tmp_path: Path) -> None:
    paths = make_shop(tmp_path / "data")
    add_sales(paths, 400, broken=20)
    source = load_source(paths)
    tags = request(plan_load(paths, source, datetime.now(UTC)))["tags"]

    def load(selection: dg.AssetSelection, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize(
                [*raw_assets(source), checks.raw_gate()],
                selection=selection,
                instance=instance,
                resources={"source_run": SourceRun(source_name=SHOP, data_dir=str(paths.data_dir))},
                tags=tags,
                raise_on_error=False,
            )

    # Without the gate there is no verdict that could block.
    assert load(dg.AssetSelection.assets(TRANSACTIONS).without_checks(), tags).success
    assert not paths.blocked.exists()

    # The customers' own check passes; that of the files, which is not of this run, does not.
    customers = load(dg.AssetSelection.assets(raw_key("customers")), {})
    assert [check.passed for check in customers.get_asset_check_evaluations()] == [True]
    assert (paths.blocked / customers.run_id / "verdict.json").exists()
    error = failure_of(customers)
    assert type(error) is GateBlockedError
    assert str(error).startswith("raw gate, loads: rejected_share_within_limit failed\n")
    assert "remedy:" in str(error)
    assert "readers keep what they have" in str(error)
