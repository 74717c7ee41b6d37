"""What people are shown of a text that holds a contact."""

import pickle

import duckdb
import pytest
from support.contacts import CONTACTS

from dagster_project.errors import ConfigurationError
from dagster_project.loading.contacts import holds_contact
from dagster_project.shown import shown, shown_in

HARMLESS = [
    "2024-03-31-0123456789", "sales_20240102123456.csv", "sales-2024-01-02 (1).csv.gz",
    "7 lines, amount 166.01, used 6 lines, 164.01", "2024-01-05 to 2024-04-01", "@daily",
    "0f8fad5b-d9cb-469f-a165-70867728950e", "data/sources/shop.yml, line 3, tables.a: bad",
    "p-0123456789abcdef", "12000.00 + without customer 300.00 + excluded 0.00 = 12300.00",
    "中文.csv", "",
]  # fmt: skip


@pytest.mark.parametrize("text", CONTACTS)
def test_a_contact_is_left_out_wherever_it_stands(text: str) -> None:
    for before, after in [("", ""), ("the key ", " repeats"), ("orders_", ".csv:3"), ("'", "'"),
                          ("sub/", ".csv.gz: empty"), ("[", ", 中]")]:  # fmt: skip
        told = shown(f"{before}{text}{after}")
        assert text not in told
        query = f"select {holds_contact('$1')}"
        assert duckdb.execute(query, [told]).fetchone() == (False,)
        # What tells the file or the line stays.
        assert told.endswith(after)
        assert shown(told) == told


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_contact_stays(text: str) -> None:
    assert shown(text) == text


def test_long_texts_take_no_time() -> None:
    for text in ("x" * 1_000_000, "0" * 1_000_000, "1 " * 500_000, "@" * 100_000, "+1" * 100_000):
        shown(text)


def test_errors_and_documents() -> None:
    error = ConfigurationError("orders_jane@example.org.csv: no column day")
    assert str(error) == "….csv: no column day"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    document = {"a": [{"b": ("x 13800138000", 5, None, True)}], "jane@example.org": 13800138000}
    assert shown_in(document) == {
        "a": [{"b": ["x …", 5, None, True]}],
        "jane@example.org": 13800138000,
    }
