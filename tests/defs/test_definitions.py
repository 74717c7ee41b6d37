"""What Dagster loads: assets, lineage, checks, jobs."""

from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.api import create_execution_plan

from dagster_project.config import canonical
from dagster_project.config.source import load_source, source_files
from dagster_project.definitions import build_definitions, defs
from dagster_project.defs.assets.common import CANDIDATE, CURRENT, OWNERS, RAW_KEYS, TRANSACTIONS
from dagster_project.defs.jobs import DAILY, FULL_REBUILD, daily_job, full_rebuild_job
from dagster_project.models import dbt_project
from dagster_project.paths import DBT_DIR, PROJECT_DIR, SourcePaths
from dagster_project.scores import score_tables

SOURCES = sorted(source_files(PROJECT_DIR / "data"))
LAYERS = ("raw", "staging", "intermediate", "scores", "marts", "release")
RAW = {
    "campaign_contacts",
    "campaign_responses",
    "campaigns",
    "case_updates",
    "consents",
    "customer_attributes",
    "customer_tags",
    "customers",
    "exit_surveys",
    "interactions",
    "transactions",
}
SEEDS = {"churn_presets", "rfm_groups", "stage_rules"}
MARTS = {
    "alert_quality",
    "alerts",
    "churn_definition_backtest",
    "churn_definition_summary",
    "churn_definitions",
    "churn_rates",
    "cohort_retention",
    "customer_scores",
    "customer_rfm",
    "customer_powers",
    "customer_stage_history",
    "customer_values",
    "customers",
    "driver_correlations",
    "lifecycle_flow",
    "lost_customers_by_month",
    "lost_episodes",
    "model_calibration",
    "model_quality",
    "score_versions",
    "spend_by_tenure",
    "spend_comparisons",
    "stage_transitions",
    "value_forecasts",
    "value_tier_versions",
    "value_tier_movements",
    "winback_candidates",
    *SEEDS,
}


def definitions_of(name: str, data_dir: Path) -> dg.Definitions:
    paths = SourcePaths(data_dir, name)
    return build_definitions(load_source(paths), paths)


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return definitions_of("cdnow_sample", tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions):
    return definitions.resolve_asset_graph()


@pytest.mark.parametrize("name", SOURCES)
def test_definitions_of_every_source_load(name: str, tmp_path: Path) -> None:
    dg.Definitions.validate_loadable(definitions_of(name, tmp_path))


def test_dagster_loads_the_source_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WINBACK_SOURCE", "cdnow")
    monkeypatch.setenv("WINBACK_DATA_DIR", str(tmp_path))
    transactions = defs().resolve_asset_graph().get(TRANSACTIONS)
    assert transactions.partitions_def.get_first_partition_key() == "1997-01-01"


def test_every_asset_key_is_a_layer_and_a_table_known_here(graph) -> None:
    expected = {
        *(("raw", name) for name in RAW),
        *(("marts", name) for name in MARTS),
        *(("scores", name) for name in score_tables.TABLES),
        *(
            (layer, file.stem)
            for layer in ("staging", "intermediate")
            for file in (DBT_DIR / "models" / layer).rglob("*.sql")
        ),
        ("release", "candidate"),
        ("release", "current"),
    }
    assert {tuple(key.path) for key in graph.get_all_asset_keys()} == expected


def test_every_asset_says_what_it_is(graph) -> None:
    kinds = {
        "raw": {"duckdb", "file"},
        "staging": {"dbt", "duckdb"},
        "intermediate": {"dbt", "duckdb"},
        "scores": {"python", "duckdb"},
        "marts": {"dbt", "duckdb"},
        "release": {"duckdb", "parquet"},
    }
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name == key.path[0], key
        assert set(node.kinds) == kinds[node.group_name], key
        assert node.owners == OWNERS, key
        assert len(node.description) > 20, key
        assert node.is_materializable, key


def test_no_asset_stands_apart(graph) -> None:
    upstream_of_current = graph.get_ancestor_asset_keys(CURRENT)
    assert upstream_of_current == graph.get_all_asset_keys() - {CURRENT}
    assert set(RAW_KEYS) <= upstream_of_current


def test_layers_never_point_backwards(graph) -> None:
    rank = {layer: number for number, layer in enumerate(LAYERS)}
    # Seeds are made from no other asset; they are published, so they lie in marts.
    seeds = {dg.AssetKey(["marts", name]) for name in SEEDS}
    for key in graph.get_all_asset_keys():
        for parent in graph.get(key).parent_keys - seeds:
            assert rank[parent.path[0]] <= rank[key.path[0]], (parent, key)
    assert not any(graph.get(seed).parent_keys for seed in seeds)


def test_the_candidate_comes_after_everything_published(graph) -> None:
    published = {dg.AssetKey(["marts", table.name]) for table in dbt_project.published_tables()}
    assert published == {dg.AssetKey(["marts", name]) for name in MARTS}
    assert graph.get(CANDIDATE).parent_keys == published | set(RAW_KEYS)


def test_both_gates_block_and_judge_what_they_should(graph) -> None:
    gates = {key for key in graph.asset_check_keys if "_gate_" in key.name}
    assert all(graph.get(key).blocking for key in gates)
    raw = {key for key in gates if key.name.startswith("raw_gate_")}
    # Of each raw table its own; rejected shares, day counts and keys are the transactions'.
    assert {key.asset_key for key in raw} == set(RAW_KEYS)
    assert {key.name for key in raw if key.asset_key == TRANSACTIONS} == {
        f"raw_gate_{name}"
        for name in (
            "transactions",
            "loads",
            "load_days",
            "load_report",
            "duplicate_keys",
            "repeated_lines",
        )
    }
    assert {key.name: key.asset_key for key in gates - raw} == {
        f"release_gate_{name}": CANDIDATE for name in MARTS
    }


def test_dbt_tests_are_checks_of_their_models(graph) -> None:
    judged = {key.asset_key.path[-1] for key in graph.asset_check_keys if "_gate_" not in key.name}
    assert judged >= MARTS


@pytest.mark.parametrize("name", [DAILY, FULL_REBUILD])
def test_no_step_can_pass_a_gate(definitions: dg.Definitions, name: str) -> None:
    plan = create_execution_plan(definitions.resolve_job_def(name))
    order = [*(f"raw__{table}" for table in sorted(RAW)), "raw_gate"]
    waits_for = {step.key: step.get_execution_dependency_keys() for step in plan.step_dict.values()}
    assert waits_for["raw_gate"] >= set(order[:-1])
    for before, after in pairwise(
        (
            *("raw_gate", "models", "scores", "scored_models"),
            *("release__candidate", "release_gate", "release__current"),
        )
    ):
        assert before in waits_for[after], (before, after)


def test_only_the_full_rebuild_reads_everything_anew() -> None:
    config = {"resources": {"source_run": {"config": {"full_refresh": True}}}}
    assert (full_rebuild_job().config, daily_job().config) == (config, None)


def test_every_optional_table_is_named_empty_where_the_source_has_none(graph) -> None:
    for table in canonical.OPTIONAL_TABLES:
        assert "the table is empty" in graph.get(dg.AssetKey(["raw", table.name])).description


def test_only_a_live_source_has_to_be_fresh_and_by_its_data(tmp_path: Path) -> None:
    file = tmp_path / "sources" / "live.yml"
    file.parent.mkdir()
    text = (PROJECT_DIR / "data" / "sources" / "cdnow.yml").read_text()
    file.write_text(
        text.replace("kind: finished", "kind: live").replace("last_day: 1998-06-30\n", "")
    )
    for name, is_watched in (("live", True), ("cdnow", False)):
        built = definitions_of(name, tmp_path)
        # A policy of Dagster's sees runs, and a run may bring nothing.
        assert all(spec.freshness_policy is None for spec in built.resolve_all_asset_specs())
        checks = built.resolve_asset_graph().asset_check_keys
        assert (dg.AssetCheckKey(TRANSACTIONS, "freshness") in checks) == is_watched, name
    # Interactions are watched where a customer is lost by their silence, too.
    columns = "{customer_id: a, occurred_at: b, interaction_type: c}"
    visits = f"  interactions:\n    files: v.csv\n    columns: {columns}\n"
    interactions = dg.AssetCheckKey(dg.AssetKey(["raw", "interactions"]), "freshness")
    for basis in ("purchase", "both"):
        text = file.read_text().replace("{method:", f"{{basis: {basis}, method:", 1)
        file.with_name(f"{basis}.yml").write_text(text + visits)
        checks = definitions_of(basis, tmp_path).resolve_asset_graph().asset_check_keys
        assert (interactions in checks) == (basis == "both"), basis
