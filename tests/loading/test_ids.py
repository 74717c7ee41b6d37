"""Ids: one normal form, values that mean no customer, scientific form, and what is counted."""

from pathlib import Path

import pytest
from support.raw_shop import ID, Shop, lines, open_shop

CUSTOMERS = """\
  customers:
    files: people/*.csv
    columns: {customer_id: id, email: email}
"""
COUNTS = "select {} from raw.load_report where measure = '{}' order by all"


def ids_of(shop: Shop, *ids: str) -> list[str | None]:
    """Load one line for each id, the column mapped by name; return what they became."""
    shop.put("f.csv", lines(*(f"{one},2024-01-02,1" for one in ids)))
    shop.load()
    return shop.values("customer_id")


def counted(shop: Shop, measure: str, columns: str = "item, line_count") -> list[tuple]:
    """Return what the load report has of a measure."""
    return shop.rows(COUNTS.format(columns, measure))


# What an id looks like in files, and its normal form.
FORMS = {
    "13085": "13085", "13085.0": "13085", " 13085 ": "13085", "13085\t": "13085",
    "13085\u00a0": "13085", "\u300013085": "13085", "１３０８５": "13085", '"=""13085"""': "13085",
    "'13085": "13085", "\ufeff13085\u200b": "13085", "\u202a13085\u202c": "13085",
    '"="" 13085 """': "13085", "013085": "013085", "A1\t": "A1", "Ａ１": "A1", "A²": "A²",
    "Zoë": "Zoë", "12E3": "12E3", "-5": "-5", "12.50": "12.50", "'abc": "'abc", "a b": "a b",
    "王芳": "王芳", "\u200b": None, "　": None,
}  # fmt: skip


@pytest.mark.parametrize("mapping", ["customer", "{sql: who}", "{sql: lower(who) || ''}"])
def test_one_normal_form_however_mapped(mapping: str, tmp_path: Path) -> None:
    table = "    inputs: {who: {column: customer}}\n"
    with open_shop(tmp_path, table=table) as shop:
        file = shop.paths.data_dir / "sources" / "shop.yml"
        file.write_text(
            file.read_text().replace("customer_id: customer", f"customer_id: {mapping}")
        )
        shop.configure = lambda: None
        from dagster_project.config.source import load_source

        shop.source = load_source(shop.paths)
        found = ids_of(shop, *FORMS)
    expected = list(FORMS.values())
    if "lower" in mapping:
        expected = [one and one.lower() for one in expected]
    assert found == expected


def test_placeholders_are_no_customer(shop: Shop) -> None:
    values = ["0", "guest", "GUEST", "Null", "None", "nan", "N/A", "-", "0.0", "００", "a"]
    expected = [None] * 9 + ["00", "a"]
    assert ids_of(shop, *values) == expected
    assert counted(shop, "no_customer") == [
        ("-", 1), ("0", 2), ("GUEST", 1), ("N/A", 1), ("None", 1), ("Null", 1), ("guest", 1),
        ("nan", 1),
    ]  # fmt: skip
    shop.configure(more='no_customer_values: [walk-in, 9999, "散客"]')
    assert ids_of(shop, "0", "guest", "Walk-In", "9999", "散客", "99990") == [
        "0", "guest", None, None, None, "99990"
    ]  # fmt: skip
    shop.configure(more="no_customer_values: []")
    assert ids_of(shop, "0", "guest") == ["0", "guest"]
    assert counted(shop, "no_customer") == []


@pytest.mark.parametrize("setting", ["auto", "always"])
@pytest.mark.parametrize("first", ["transactions", "customers"])
def test_listed_value_stays_whatever_is_loaded_first(
    first: str, setting: str, tmp_path: Path
) -> None:
    more = f"pseudonymise_ids: {setting}"
    with open_shop(tmp_path, files="*.csv", tables=CUSTOMERS, more=more) as shop:
        shop.put("f.csv", lines("guest,2024-01-02,1", "Guest,2024-01-03,1", "0,2024-01-04,1"))
        shop.put("people/p.csv", "id,email\nguest,g@example.org\n0,\n7,\n")
        second = "customers" if first == "transactions" else "transactions"
        for table in (first, second, "transactions"):
            shop.load(table)
        listed, other, none = shop.values("customer_id")
        assert listed == shop.values("customer_id", "customers")[0]
        assert (other, none) == (None, None)
        assert counted(shop, "no_customer", "table_name, item") == [
            ("customers", "0"), ("transactions", "0"), ("transactions", "Guest"),
        ]  # fmt: skip
        # The record without a date or a contact is none, and no fault of the file.
        assert shop.rejected()[0][1:3] == (3, "no customer")
        assert shop.rows(
            "select rejected_count, rejected_share from raw.loads where table_name = 'customers'"
        ) == [(1, 0)]
        # The list changes: the files follow.
        shop.put("people/p.csv", "id,email\n7,\n")
        shop.load("customers")
        shop.load()
        assert shop.values("customer_id") == [None, None, None]
        assert shop.load().read_files == []


@pytest.mark.parametrize("setting", ["auto", "always", "never"])
def test_scientific_form_is_counted_before_pseudonyms(shop: Shop, setting: str) -> None:
    shop.configure(columns=ID, more=f"pseudonymise_ids: {setting}")
    shop.put(
        "f.csv",
        'customer,day,amount,id\n1.23E+11,2024-01-02,1,A\n"1,2e+5",2024-01-02,1,1E+09\n'
        "12E3,2024-01-02,1,12E+3\n",
    )
    shop.load()
    assert counted(shop, "scientific_id") == [("customer_id", 2), ("transaction_id", 1)]


def test_float_ids_beyond_their_precision_are_counted(shop: Shop) -> None:
    file = shop.put("f.parquet", b"")
    shop.connection.execute(
        "copy (select unnest([9007199254740994::double, 9007199254740992, 5]) as customer,"
        f" date '2024-01-02' as day, 1 as amount) to '{file}'"
    )
    shop.load()
    assert counted(shop, "scientific_id") == [("customer_id", 1)]
    assert shop.values("customer_id")[1:] == ["9007199254740992", "5"]


def test_order_of_lines_survives_a_long_list_in_a_rule(shop: Shop) -> None:
    """DuckDB makes a join of it, which gives the lines back in another order."""
    codes = ", ".join(f"'x{number}'" for number in range(20))
    shop.configure(
        table=f'    exclude:\n      - {{reason: test, when: "customer_id in ({codes})"}}\n'
        "    null_values: [n1, n2, n3, n4, n5, n6, n7, n8]\n"
    )
    padding = "0" * 300
    shop.put("f.csv", lines(*(f"c{n},2024-01-02,1.{padding}" for n in range(100_000))))
    shop.load()
    assert shop.rows(
        "select count(*) from raw.transactions where customer_id <> 'c' || (source_row - 1)"
    ) == [(0,)]
