"""Small inputs that show a fault, each in the shape of a real export, and what is right for each.

Beside each stand further inputs of its kind; `test_wrong_inputs` has a hundred more.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from support.gate_shop import gate_shop, told, warned, write_audit
from support.raw_shop import Shop

from dagster_project.config.source import load_source
from dagster_project.errors import ConfigurationError

HEADER = "id,customer,day,amount\n"
ID = {"columns": "      transaction_id: id"}
KEEP_LAST = "    duplicates: keep_last"
STATUS = """\
    inputs: {st: {column: st}}
    exclude: [{reason: cancelled, when: "st = 'cancelled'"}]
"""
LAST = ID | {"table": f"{STATUS}    key: [transaction_id]\n{KEEP_LAST}"}
REFUNDS = """\
    inputs: {type: {column: type}}
    line_type: [{type: return, when: "type = 'Refund'"}]
"""
ORDERS = """\
    inputs: {type: {column: type}}
    exclude: [{reason: no order, when: "type <> 'order'"}]
"""
CLOCK = """\
    exclude:
      - {reason: clock reset, when: "ordered_at < timestamptz '2010-01-01'"}
      - {reason: typed wrong, when: "ordered_at > timestamptz '2025-01-01'"}
"""
GUESTS = "    inputs: {uid: {column: uid}, email: {column: email}}"
JANUARY = "1,a,2024-01-01,10\n2,b,2024-01-31,20\n"
TWICE = {"no_lines_delivered_twice": "critical"}
Counted = dict[str | None, tuple[int, float]]


@dataclass(frozen=True)
class Fault:
    """Files with parts of the source's file; what the gate says, and what counts by customer.

    Where `told` is null the gate, which takes longest, is not asked.
    """

    files: dict[str, str]
    told: dict[str, str] | None
    counted: Counted
    parts: dict[str, str] = field(default_factory=dict)


def one_file(header: str, *rows: str) -> dict[str, str]:
    return {"a.csv": "\n".join([header, *rows]) + "\n"}


def amounts(*customers: str) -> dict[str, str]:
    """Return a file with one line of 1 for each of the customers, on days of their own."""
    rows = [f"{one},2024-01-{day:02},1" for day, one in enumerate(customers, 1)]
    return one_file("customer,day,amount", *rows)


FAULTS = {
    "overlapping exports": Fault(
        {"orders_1.csv": HEADER + JANUARY, "orders_2.csv": HEADER + JANUARY + "3,c,2024-02-01,5\n"},
        TWICE, {"a": (2, 20), "b": (2, 40), "c": (1, 5)}, ID,
    ),
    "cumulative exports under a key": Fault(
        {"orders_9.csv": HEADER + JANUARY, "orders_10.csv": HEADER + JANUARY},
        None, {"a": (1, 10), "b": (1, 20)},
        ID | {"table": f"    key: [transaction_id]\n{KEEP_LAST}"},
    ),
    "refund as a positive amount": Fault(
        one_file("customer,day,amount,type", "a,2024-01-01,50,Sale", "a,2024-01-05,50,Refund"),
        {}, {"a": (2, 0)}, {"table": REFUNDS},
    ),
    "two pieces taken back at a positive price": Fault(
        one_file("customer,day,amount,pieces", "a,2024-01-01,50,2", "a,2024-01-05,50,-2"),
        None, {"a": (2, 0)}, {"columns": "      quantity: pieces"},
    ),
    "excluded lines are not judged": Fault(
        one_file("customer,day,amount", "a,2024-01-01,10", "b,1970-01-01,10", "c,2032-01-01,10"),
        {}, {"a": (1, 10)}, {"table": CLOCK},
    ),
    "one line that is no order, and a footer": Fault(
        one_file("customer,day,amount,type", "a,2024-01-01,10,order", ",,,footer",
                 "b,pending,5,draft"),
        {}, {"a": (1, 10)}, {"table": ORDERS},
    ),
    "ids in scientific form": Fault(
        amounts("1.23E+10", "1.23E+11", "1.23E+10", "1.23E+11", "1.23E+10"),
        {"scientific_ids_rare": "critical", "no_scientific_ids": "warning"},
        {"1.23E+10": (3, 3), "1.23E+11": (2, 2)},
    ),
    "a product code is not in scientific form": Fault(amounts("12E3"), None, {"12E3": (1, 1)}),
    "ids wrapped by a spreadsheet": Fault(
        amounts("13085", "13085.0", " 13085 ", "13085\t", "13085\u00a0", "013085", "\u300013085",
                "NULL", "nan", "None", "N/A", "guest", "0", "", '"=""13085"""', "'13085",
                "１３０８５"),
        {"no_placeholder_customers": "warning"},
        {"13085": (9, 9), "013085": (1, 1), None: (7, 7)},
    ),
    "a status in two spellings": Fault(
        one_file("customer,day,amount,st", "a,2024-01-01,50,Cancelled",
                 "b,2024-01-01,50,cancelled "),
        {"compared_texts_in_one_spelling": "warning"}, {"a": (1, 50)}, {"table": STATUS},
    ),
    "numbered exports": Fault(
        {"export-9.csv": "id,customer,day,amount,st\n1,a,2024-01-01,10,pending\n",
         "export-10.csv": "id,customer,day,amount,st\n1,a,2024-01-01,10,cancelled\n"
         "2,b,2024-01-02,7,pending\n"},
        {}, {"b": (1, 7)}, LAST,
    ),
    "downloads numbered by the browser": Fault(
        {"export (1).csv": "id,customer,day,amount,st\n1,a,2024-01-01,10,cancelled\n",
         "export.csv": "id,customer,day,amount,st\n1,a,2024-01-01,10,pending\n"},
        None, {}, LAST,
    ),
    "blanks that nobody sees, in every column": Fault(
        {"a.csv": HEADER + "1001\t,A1\t,2024-01-01\t,10\t\n1002,A1,2024-01-02,10\n"},
        {}, {"A1": (2, 20)}, ID,
    ),
    "no-break blanks, in every column": Fault(
        {"a.csv": HEADER + "1\u00a0,A1\u3000,2024-01-01\u00a0,10\u200b\n2,A1,2024-01-02,10\n"},
        None, {"A1": (2, 20)}, ID,
    ),
}  # fmt: skip


def what_the_gate_says(shop: Shop) -> dict[str, str]:
    """Return what failed and its severity; the warehouse is closed afterwards."""
    shop.connection.close()
    write_audit(shop.paths, shop.source)
    return told(shop.paths)


@pytest.mark.parametrize("name", FAULTS)
def test_small_fault(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    with gate_shop(tmp_path, **fault.parts) as shop:
        for file, content in fault.files.items():
            shop.put(file, content)
        shop.load()
        counted = shop.rows(
            "select customer_id, count(*), sum(amount) from raw.transactions "
            "where excluded_reason is null group by all"
        )
        said = what_the_gate_says(shop) if fault.told is not None else None
    assert {one: (lines, amount) for one, lines, amount in counted} == fault.counted
    # Of so few lines one customer has more than usual.
    if said:
        said.pop("no_outsize_customer", None)
    assert said == fault.told


def test_guests_under_their_addresses(tmp_path: Path) -> None:
    """Neither `0` nor an e-mail is an id: the one is no customer, the other has a pseudonym."""
    text = (
        "uid,email,day,amount\n12,ann@example.org,2024-01-01,10\n0,bob@example.org,2024-01-02,20\n"
    )
    with gate_shop(tmp_path, table=GUESTS) as shop:
        file = shop.paths.data_dir / "sources" / "shop.yml"
        mapping = "{sql: \"coalesce(nullif(uid, '0'), email)\"}"
        file.write_text(
            file.read_text().replace("customer_id: customer", f"customer_id: {mapping}")
        )
        shop.source = load_source(shop.paths)
        shop.put("a.csv", text)
        shop.load()
        first, second = shop.values("customer_id")
    assert first == "12" and second.startswith("p-") and len(second) == 26


def test_guests_who_share_a_placeholder(tmp_path: Path) -> None:
    rows = [f"{n},{0 if n % 5 in (0, 1) else 100 + n},2024-{n % 12 + 1:02}-{n % 28 + 1:02},10"
            for n in range(400)]  # fmt: skip
    with gate_shop(tmp_path, **ID) as shop:
        shop.put("a.csv", HEADER + "\n".join(rows) + "\n")
        shop.load()
        assert shop.rows(
            "select count(*), sum(amount), count(distinct customer_id) from raw.transactions "
            "where customer_id is not null"
        ) == [(240, Decimal(2400), 240)]
        assert what_the_gate_says(shop) == {"no_placeholder_customers": "warning"}


def test_keep_last_needs_a_key(tmp_path: Path) -> None:
    with gate_shop(tmp_path) as shop, pytest.raises(ConfigurationError, match="needs a `key`"):
        shop.configure(table=KEEP_LAST, **ID)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([f"69123456789012{n}000" for n in range(5)], "5 of 5 long values of customer_id in a.csv"),
        ([f"1234567890123{n:02}0" for n in range(9)] + ["1234567890123456"],
         "9 of 10 long values of customer_id in a.csv"),
        ([f"1234567890123{n:02}0" for n in range(8)] + ["1234567890123456"], None),
        ([f"69123456789012{n}000" for n in range(4)] * 9, None),
        ([f"12345678901{n}000" for n in range(9)], None),
        ([f"SKU-1234567890{n}000" for n in range(9)], None),
    ],
    ids=["18 digits", "16 digits", "less than 90%", "four", "15 digits", "no numbers"],
)  # fmt: skip
def test_ids_rounded_by_a_spreadsheet_are_told(
    ids: list[str], said: str | None, tmp_path: Path
) -> None:
    with gate_shop(tmp_path, **ID) as shop:
        rows = [f"{n},{one},2024-01-02,10" for n, one in enumerate(ids)]
        shop.put("a.csv", "\n".join([HEADER.strip(), *rows]) + "\n")
        shop.load()
        assert warned(shop, "transactions").get("no_rounded_ids") == said
