"""What a run shows: progress on the terminal, and no personal data anywhere in Dagster."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from support.shop import LAST_DAY, make_shop, write_csv

from dagster_project.config.source import load_source
from dagster_project.defs import checks
from dagster_project.defs.assets.models import _row_counts, _with_row_count, model_assets
from dagster_project.defs.assets.raw import raw_assets
from dagster_project.defs.jobs import request
from dagster_project.defs.resources import SourceRun
from dagster_project.runs.event_log import EventLog
from dagster_project.runs.planning import plan_load
from dagster_project.runs.progress import progress_logger, show_dbt_event
from dagster_project.warehouse import connect

# Long enough not to turn up in a hash or a time by chance.
PERSONAL = ("@example.org", "49 30 5550", "49305550", "北京")


def test_progress_names_steps_and_the_assets_own_messages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @dg.asset(key=["raw", "orders"])
    def orders(context: dg.AssetExecutionContext) -> None:
        context.log.info("orders: 3 rows")
        context.log.debug("not for people")
        context.log.warning("file is gone")

    with dg.DagsterInstance.ephemeral() as instance:
        job = dg.Definitions(
            assets=[orders],
            jobs=[dg.define_asset_job("all")],
            loggers={"console": progress_logger},
            executor=dg.in_process_executor,
        ).resolve_job_def("all")
        job.execute_in_process(instance=instance, run_config={"loggers": {"console": {}}})
    assert capsys.readouterr().err.splitlines() == [
        "raw/orders",
        "    orders: 3 rows",
        "    file is gone",
    ]


def message(name: str, level: str, text: str, **data: object) -> SimpleNamespace:
    """Return what dbt tells of an event, as far as it is looked at."""
    info = SimpleNamespace(name=name, level=level, msg=text)
    return SimpleNamespace(info=info, data=SimpleNamespace(**data))


def test_of_dbt_a_line_a_model_and_trouble_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    relation = SimpleNamespace(schema="marts")
    customers = SimpleNamespace(node_relation=relation, node_name="customers")
    model = {"node_info": customers, "execution_time": 0.4444}
    for told in (
        message("MainReportVersion", "info", "Running with dbt=1.11.16"),
        message("LogModelResult", "info", "1 of 9 OK created sql table model", **model),
        message("LogTestResult", "info", "2 of 9 PASS unique_customers_customer_id"),
        message("LogTestResult", "error", "3 of 9 FAIL 2 stages_known"),
        message("MainEncounteredError", "error", "Traceback (most recent call last): ..."),
        message("StatsLine", "info", "Done. PASS=100 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=100"),
    ):
        show_dbt_event(told)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "    marts.customers (0.44s)",
        "    3 of 9 FAIL 2 stages_known",
    ]


@pytest.mark.parametrize("table", ["customers", "churn_presets", "stage_rules"])
def test_models_and_seeds_show_how_many_rows_they_have(table: str, tmp_path: Path) -> None:
    paths = make_shop(tmp_path / "data")
    with connect(paths) as connection:
        connection.execute("create schema marts")
        connection.execute(f"create table marts.{table} as from range(20)")
    before_scores, _ = model_assets()
    (output,) = [
        name
        for name, key in before_scores.keys_by_output_name.items()
        if key == dg.AssetKey(["marts", table])
    ]
    event = _with_row_count(dg.Output(None, output_name=output), _row_counts(paths))
    assert event.metadata["dagster/row_count"].value == 20


def test_no_personal_data_reaches_the_event_log(tmp_path: Path) -> None:
    # Ids that are e-mail addresses, a value that cannot be typed with a phone number in it.
    paths = make_shop(tmp_path / "data")
    write_csv(
        paths.landing / "sales-late.csv",
        [
            {
                "order": f"X{number}",
                "customer": f"member{number}@example.org",
                "time": f"{LAST_DAY} 12:00",
                "amount": "broken +49 30 5550999" if number < 9 else "2000000",
                "product": "A",
            }
            for number in range(30)
        ],
    )
    source = load_source(paths)
    run = SourceRun(source_name=source.name, data_dir=str(paths.data_dir))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [*raw_assets(source), checks.raw_gate()],
            instance=instance,
            resources={"source_run": run},
            tags=request(plan_load(paths, source, datetime.now(UTC)))["tags"],
            raise_on_error=False,
        )
        assert not result.success
        failed = {
            evaluation.check_name
            for evaluation in result.get_asset_check_evaluations()
            if not evaluation.passed
        }
        assert {"raw_gate_loads", "raw_gate_transactions"} <= failed
        log = "\n".join(entry.to_json() for entry in instance.all_logs(result.run_id))
    assert "sales-late.csv" in log
    for personal in PERSONAL:
        assert personal not in log
    blocked = "\n".join(
        file.read_text() for file in paths.blocked.rglob("*") if file.suffix in (".json", ".html")
    )
    assert "sales-late.csv" in blocked
    for personal in PERSONAL:
        assert personal not in blocked


@pytest.mark.parametrize("batch_size", ["0", "1000"])
def test_the_event_log_stores_the_same_events_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch_size)
    (tmp_path / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "event_log_storage: {module: dagster_project.runs.event_log, class: EventLog}\n"
    )
    days = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-11")

    @dg.asset(partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
    def orders() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"rows": 3})

    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, EventLog)
        result = dg.materialize(
            [orders],
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": "2024-01-02",
                "dagster/asset_partition_range_end": "2024-01-10",
            },
        )
        wanted = {f"2024-01-{day:02}" for day in range(2, 11)}
        assert instance.get_materialized_partitions(orders.key) == wanted
        kinds = [
            (entry.dagster_event_type.value, entry.get_dagster_event().partition)
            for entry in instance.all_logs(result.run_id)
            if entry.is_dagster_event and entry.get_dagster_event().partition
        ]
        assert len(kinds) == len(set(kinds)) == 2 * len(wanted)
        last = instance.get_latest_materialization_event(orders.key)
        assert last.asset_materialization.metadata["rows"].value == 3
        assert instance.get_run_by_id(result.run_id).is_success
    assert (tmp_path / "history" / "runs" / f"{result.run_id}.db").exists()
