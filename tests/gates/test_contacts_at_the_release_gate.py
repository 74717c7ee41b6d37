"""The release gate lets no contact out in any text, but where the source says so."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.gate_cases import contract, failed, judge_release, make

from dagster_project.gates import suites

CONTACTS = [
    "jane@example.org", "jane＠example.org", "ask Jane (jane@example.org)", "tel:0301234",
    "+49 30 1234567", "030 1234 5678", "(415) 555-2671", "415-555-2671", "13800138000",
    "１３８００１３８０００", "wxid_ab12cd", "11010519900307123X", "phone 138-0013-8000",
]  # fmt: skip
HARMLESS = [
    "@home", "a @ b", "12-3456-78", "2024-01-01", "4006381333931", "北京", "20240101", "1,234.50",
    "0-100", "1.23E+11", "12345678901", "Route 66",
]  # fmt: skip


CUSTOMERS = "abcp"


def write_texts(release: Path, column: str, texts: Sequence[str]) -> None:
    """Write a text to each customer as far as they go, and none to the others."""
    given = dict(zip(CUSTOMERS, texts, strict=False))
    make(release, f"update customers set {column} = null;" + "".join(
        f"update customers set {column} = '{text}' where customer_id = '{one}';"
        for one, text in given.items()
    ))  # fmt: skip


@pytest.mark.parametrize("column", ["acquisition_source", "region"])
def test_contact_in_a_text_blocks(column: str, release: Path, warehouse: Path) -> None:
    """As many texts at once as there are customers: each of them is counted."""
    for texts in batched(HARMLESS, len(CUSTOMERS)):
        write_texts(release, column, texts)
        assert failed(judge_release("customers", release, warehouse)) == {}, texts
    for texts in batched(CONTACTS, len(CUSTOMERS)):
        write_texts(release, column, texts)
        verdict = judge_release("customers", release, warehouse)
        assert list(failed(verdict)) == ["no_contact_in_text"], texts
        assert not verdict.is_passed
        outcome = failed(verdict)["no_contact_in_text"]
        assert outcome.observed_value == f"{column} {len(texts)}", texts
        assert outcome.example_ids == (column,)
    make(warehouse, f"update audit.limits set contact_columns = ['{column}']")
    assert failed(judge_release("customers", release, warehouse)) == {}


def batched(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """Return texts in groups of a size, the last one of what is left."""
    return [texts[first : first + size] for first in range(0, len(texts), size)]


def test_every_published_text_is_looked_at() -> None:
    for table in suites.suite_tables("release"):
        columns = contract("release", table)
        texts = {name for name, kind in columns.items() if "VARCHAR" in kind} - {"currency"}
        looked_at = {
            name
            for one in suites.read_suite("release", table)["expectations"]
            if one["meta"]["id"] == "no_contact_in_text"
            for name in one["kwargs"]["columns"]
        }
        assert looked_at == texts, table
