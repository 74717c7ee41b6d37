"""What the program uses of pinned libraries beyond their public interface, and what guards it.

A new version of a library may change any of these without a word. Each stands here with the test
that would notice; whatever is not here is public.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_project.paths import PROJECT_DIR

# What is used: the test that fails when it changes.
PRIVATE_PARTS = {
    "dagster._core.storage.event_log.SqliteEventLogStorage": (
        "tests/defs/test_what_people_see.py::test_the_event_log_stores_the_same_events_in_batches"
    ),
    "dagster._core.storage.event_log.sqlite.sqlite_event_log.INDEX_SHARD_NAME": (
        "tests/defs/test_what_people_see.py::test_the_event_log_stores_the_same_events_in_batches"
    ),
    "dagster._core.storage.local_compute_log_manager.LocalComputeLogManager": (
        "tests/runs/test_faults.py::test_what_nobody_has_foreseen_keeps_no_contact"
    ),
    "EventLog._connect": (
        "tests/defs/test_what_people_see.py::test_the_event_log_stores_the_same_events_in_batches"
    ),
    "EventLog._has_asset_key_index_cols_on_connection": (
        "tests/defs/test_what_people_see.py::test_the_event_log_stores_the_same_events_in_batches"
    ),
    "dagster_dbt.asset_utils.get_subset_selection_for_context": (
        "tests/defs/test_model_assets.py::test_chosen_models_alone_are_built_and_tested"
    ),
    "dagster_dbt.core.dbt_cli_event.DbtCoreCliEventMessage": (
        "tests/defs/test_model_assets.py::test_chosen_models_alone_are_built_and_tested"
    ),
    "dbt_common.events.functions.msg_to_dict": (
        "tests/defs/test_model_assets.py::test_chosen_models_alone_are_built_and_tested"
    ),
    "dbt.contracts.graph.manifest.Manifest": (
        "tests/models/test_dbt_runner.py::"
        "test_two_sources_one_after_the_other_know_nothing_of_each_other"
    ),
    "dbt.parser.manifest.extended_mashumuro_decoder": (
        "tests/models/test_dbt_runner.py::"
        "test_two_sources_one_after_the_other_know_nothing_of_each_other"
    ),
    "dbt.adapters.duckdb.connections.DuckDBConnectionManager": (
        "tests/models/test_dbt_runner.py::"
        "test_a_failed_call_says_what_failed_and_gives_everything_back"
    ),
    "DuckDBConnectionManager._ENV": (
        "tests/models/test_dbt_runner.py::"
        "test_a_failed_call_says_what_failed_and_gives_everything_back"
    ),
    "dbt.adapters.factory.reset_adapters": (
        "tests/models/test_dbt_runner.py::"
        "test_a_failed_call_says_what_failed_and_gives_everything_back"
    ),
    "dbt_common.events.event_manager_client.cleanup_event_logger": (
        "tests/models/test_dbt_runner.py::"
        "test_a_failed_call_says_what_failed_and_gives_everything_back"
    ),
    "UnsavedContext._save_project_config": (
        "tests/gates/test_judging.py::test_judging_writes_no_configuration"
    ),
}
# What these say is public stands in their documentation.
PUBLIC = {"dbt.cli.main.dbtRunner"}
# Classes of ours whose private methods take the place of a library's.
SUBCLASSES = {"EventLog", "UnsavedContext"}


def uses(tree: ast.AST) -> Iterator[str]:
    """Yield what a module uses of libraries that they do not offer."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = node.module.split(".")
            is_hidden = any(part.startswith("_") and part != "__future__" for part in parts)
            is_inner = parts[0] in ("dbt", "dbt_common") or (
                parts[0] == "dagster_dbt" and len(parts) > 1
            )
            if parts[0] != "dagster_project" and (is_hidden or is_inner):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and re.match(r"_(?!_)", node.attr):
            # A capital is a class of somebody else's; instances speak of themselves.
            if isinstance(node.value, ast.Name) and node.value.id[0].isupper():
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ClassDef) and node.name in SUBCLASSES:
            yield from (
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, ast.FunctionDef)
                and part.name.startswith("_")
                and not part.name.startswith("__")
            )


def test_every_private_part_is_named_here_with_what_guards_it() -> None:
    found = {
        use
        for file in (PROJECT_DIR / "dagster_project").rglob("*.py")
        for use in uses(ast.parse(file.read_text()))
    }
    assert found - PUBLIC == PRIVATE_PARTS.keys()


@pytest.mark.parametrize("test", sorted(set(PRIVATE_PARTS.values())))
def test_what_guards_it_is_there(test: str) -> None:
    file, name = test.split("::")
    functions = ast.walk(ast.parse((PROJECT_DIR / Path(file)).read_text()))
    assert name in {node.name for node in functions if isinstance(node, ast.FunctionDef)}


def test_a_private_part_would_be_found() -> None:
    program = (
        "from dagster._core.events import X\n"
        "def f():\n    from dbt.task import Y\n    return Thing._inner\n"
        "from dagster_dbt import dbt_assets\n"
    )
    assert set(uses(ast.parse(program))) == {
        "dagster._core.events.X",
        "dbt.task.Y",
        "Thing._inner",
    }
