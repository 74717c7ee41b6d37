"""`docs/renamed.yml`: what it calls new is published, what it calls old is not, and all is told."""

from collections.abc import Iterator

import pytest
import yaml
from support.gate_cases import contract

from dagster_project.gates.suites import suite_tables
from dagster_project.paths import PROJECT_DIR

RENAMED = yaml.safe_load((PROJECT_DIR / "docs" / "renamed.yml").read_text(encoding="utf-8"))
WORDS = (PROJECT_DIR / "docs" / "words.md").read_text(encoding="utf-8")


def renamed_columns() -> Iterator[tuple[str, str, str]]:
    for table, columns in RENAMED["columns"].items():
        for former, present in columns.items():
            yield RENAMED["tables"].get(table, table), former, present


@pytest.mark.parametrize(("table", "former", "present"), renamed_columns())
def test_the_new_name_is_published_the_old_one_is_not_and_both_are_told(
    table: str, former: str, present: str
) -> None:
    columns = contract("release", table)
    assert present in columns
    assert former not in columns
    assert f"| `{table}.{former}` | `{present}` |" in WORDS


@pytest.mark.parametrize(("former", "present"), RENAMED["tables"].items())
def test_tables_are_published_by_the_new_name_alone(former: str, present: str) -> None:
    assert present in suite_tables("release")
    assert former not in suite_tables("release")
    assert f"| table `{former}` | `{present}` |" in WORDS


def test_no_former_name_of_a_word_is_left() -> None:
    """Each meaning has one word, also in tables that came later."""
    gone = {"hiatus_days", "recency_days", "is_won_back", "lost_value", "lifetime_value_365d"}
    columns = {name for table in suite_tables("release") for name in contract("release", table)}
    assert columns & gone == set()
    assert [name for name in columns if name.startswith(("recovered_", "returned_"))] == []
