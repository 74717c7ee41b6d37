"""What looks like a contact, and which ids are replaced for it, in every column and mapping."""

from pathlib import Path

import duckdb
import pytest
from support.raw_shop import Shop, lines, open_shop

from dagster_project.loading.contacts import is_address, is_contact, is_phone_digits

ADDRESSES = [
    "a@b.c", "jane@example.org", "x jane@example.org-1", "tel:030123456", "TEL: +49 30 1",
    "+49 30 1234567", "+1 (415) 555-2671", "wxid_ab12",
]  # fmt: skip
NUMBERS = [
    "030-12345678", "0171/1234567", "020 7946 0958", "(415) 555-2671", "415-555-2671",
    "1-415-555-2671", "415.555.2671", "06 12 34 56 78", "13800138000", "138 0013 8000",
    "8613800138000", "11010519900307123X", "110105199003071234",
]  # fmt: skip
HARMLESS = [
    "17850", "12-3456-78", "C-1234", "1234567890", "2024010112345", "@shop", "a@b", "12E3",
    "1.23E+11", "2024-0012-345678", "12345678901", "4006381333931", "202401011234567890", "0012345",
    "A+12345678", "INV-030-123", "00012345678",
]  # fmt: skip


def told(test: str, texts: list[str]) -> list[str]:
    """Return the texts for which a test, an SQL condition over `text`, holds."""
    query = f"select text from (select unnest(?::varchar[]) as text) where {test}"
    return [text for (text,) in duckdb.execute(query, [texts]).fetchall()]


def test_shapes() -> None:
    everything = [*ADDRESSES, *NUMBERS, *HARMLESS]
    assert told(is_contact("text"), everything) == [*ADDRESSES, *NUMBERS]
    assert told(is_address("text"), everything) == ADDRESSES
    phones = ["4155552671", "14155552671", "01711234567", "491711234567"]
    no_phones = ["0000000001", "1000000001", "123456789", "10000000000001"]
    assert told(is_phone_digits("text"), phones + no_phones) == phones


CONTACT = "      product_id: product\n      transaction_id: id"


@pytest.mark.parametrize("setting", ["auto", "always", "never"])
@pytest.mark.parametrize(
    "mapping",
    ["customer", "{sql: \"coalesce(nullif(uid, '0'), mail)\"}", "{lookup: who, column: mail}"],
)
def test_final_value_is_replaced_however_mapped(mapping: str, setting: str, tmp_path: Path) -> None:
    tables = f"""\
  customers:
    files: people.csv
    columns: {{customer_id: {mapping}, region: key, owner_id: {{sql: mail}}}}
    inputs: {{uid: {{column: uid}}, mail: {{column: customer}}}}
    lookups: {{who: {{files: who.csv, key: key, match: region}}}}
"""
    with open_shop(tmp_path, files="f.csv", tables=tables, columns=CONTACT,
                   more=f"pseudonymise_ids: {setting}") as shop:  # fmt: skip
        ids = ["jane@example.org", "13800138000", "C1"]
        things = ["13800138000", "4006381333931", "110105199003071234"]
        rows = [f"{one},2024-01-02,1,{thing},wxid_{thing}"
                for one, thing in zip(ids, things, strict=True)]  # fmt: skip
        shop.put("f.csv", "customer,day,amount,product,id\n" + "\n".join(rows) + "\n")
        people = [f"0,{one},k{number}" for number, one in enumerate(ids)]
        shop.put("people.csv", "uid,customer,key\n" + "\n".join(people) + "\n")
        who = [f"k{number},{one}" for number, one in enumerate(ids)]
        shop.put("who.csv", "key,mail\n" + "\n".join(who) + "\n")
        shop.load()
        shop.load("customers")
        found = shop.values("customer_id")
        assert shop.values("customer_id", "customers") == found
        assert shop.values("owner_id", "customers") == found
        replaced = {"auto": 2, "always": 3, "never": 0}[setting]
        assert [one[:2] for one in found[:replaced]] == ["p-"] * replaced
        assert found[replaced:] == ids[replaced:]
        assert shop.values("product_id") == things
        assert all(one.startswith("p-") == (setting != "never")
                   for one in shop.values("transaction_id"))  # fmt: skip
        counts = dict(shop.rows(
            "select measure || ' ' || item, line_count from raw.load_report "
            "where table_name = 'transactions'"
        ))  # fmt: skip
        expected = {"replaced_id customer_id": replaced, "replaced_id transaction_id": 3,
                    "kept_id_like_contact product_id": 2}  # fmt: skip
        assert counts == ({} if setting == "never" else expected)


def test_always_keeps_ids_apart_that_differ_in_case(tmp_path: Path) -> None:
    with open_shop(tmp_path, more="pseudonymise_ids: always") as shop:
        shop.put("f.csv", lines("aB1,2024-01-02,1", "AB1,2024-01-02,1", "A@b.org,2024-01-02,1",
                                "a@B.org,2024-01-02,1"))  # fmt: skip
        shop.load()
        one, other, mail, same_mail = shop.values("customer_id")
    assert one != other
    assert mail == same_mail


def test_phones_without_a_sign_are_counted(shop: Shop) -> None:
    shop.put("f.csv", lines("4155552671,2024-01-02,1", "1000000001,2024-01-02,1"))
    shop.load()
    assert shop.rows("select measure, line_count from raw.load_report") == [("id_like_phone", 1)]
