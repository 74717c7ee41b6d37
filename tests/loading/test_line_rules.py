"""Rules of transactions: what they make of a line's sign, of a line without a type, and miss."""

from decimal import Decimal
from pathlib import Path

import pytest
from support.gate_shop import failed_gate, gate_shop, warned
from support.raw_shop import Shop, lines

from dagster_project.config.expressions import compared_texts, named_columns
from dagster_project.errors import ConfigurationError

TYPED = "customer,day,amount,type\n"
TYPE = "    inputs: {type: {column: type}}\n"
REFUNDS = TYPE + "    line_type:\n      - {type: return, when: type = 'Refund'}\n"
SIGNS = (
    "select item, line_count, amount from raw.load_report where measure = 'return_sign' order by 1"
)
RAW_TABLES = ("transactions", "loads", "load_days", "duplicate_keys", "load_report")


def amounts(shop: Shop, column: str = "amount") -> list[Decimal]:
    """Load; return the amounts in the order of the file."""
    shop.load()
    return shop.values(column)


def blocking(shop: Shop) -> set[str]:
    """Return everything in the raw gate that blocks."""
    return {name for table in RAW_TABLES for name in failed_gate(shop, table)}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a,2024-01-01,50,Sale", "a,2024-01-05,50,Refund"], [50, -50]),
        (["a,2024-01-05,-50,Refund", "a,2024-01-05,0,Refund"], [-50, 0]),
        # Without a rule the sign tells, and a sale below zero is a return.
        (["a,2024-01-05,-7.25,Sale", "a,2024-01-06,3,Exchange"], [-7.25, 3]),
    ],
)
def test_a_return_lowers_revenue(rows: list[str], expected: list[float], shop: Shop) -> None:
    shop.configure(table=REFUNDS)
    shop.put("a.csv", TYPED + "\n".join(rows))
    assert amounts(shop) == expected
    assert shop.values("amount_original") == expected


def test_a_negative_quantity_makes_a_return_below_zero_with_its_cost(shop: Shop) -> None:
    shop.configure(columns="      quantity: pieces\n      cost_amount: cost")
    shop.put(
        "a.csv",
        "customer,day,amount,pieces,cost\na,2024-01-02,20,2,8\na,2024-01-03,10,-1,4\n"
        "a,2024-01-04,-10,-1,-4\na,2024-01-05,10,-1,\n",
    )
    assert amounts(shop) == [20, -10, -10, -10]
    assert shop.values("line_type") == ["sale", "return", "return", "return"]
    assert shop.values("cost_amount") == [8, -4, -4, None]
    assert shop.rows(SIGNS) == [("negative", 1, -10), ("positive", 2, -20)]


def test_rules_see_the_amount_as_written(shop: Shop) -> None:
    shop.configure(
        table=REFUNDS + "    exclude:\n      - {reason: big, when: amount > 40}\n"
        "      - {reason: negative, when: amount < 0}\n"
    )
    shop.put("a.csv", TYPED + "a,2024-01-01,30,Refund\na,2024-01-05,50,Refund\n")
    assert amounts(shop) == [-30, -50]
    assert shop.values("excluded_reason") == [None, "big"]
    # An excluded line's sign is nobody's concern.
    assert shop.rows(SIGNS) == [("positive", 1, -30)]


def test_sign_as_written(shop: Shop) -> None:
    shop.configure(
        table=TYPE + "    line_type:\n"
        "      - {type: return, when: type = 'Reversal', sign: as_written}\n"
        "      - {type: return, when: type = 'Refund'}\n"
    )
    shop.put("a.csv", TYPED + "a,2024-01-01,50,Refund\na,2024-01-05,50,Reversal\n")
    assert amounts(shop) == [-50, 50]
    assert shop.values("line_type") == ["return", "return"]
    assert shop.rows(SIGNS) == [("positive", 1, -50)]


@pytest.mark.parametrize("kind", ["sale", "adjustment"])
def test_sign_is_for_returns(kind: str, shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="sign is for type: return only"):
        shop.configure(
            table=f"    line_type:\n      - {{type: {kind}, when: amount > 1, sign: as_written}}\n"
        )


def test_returns_in_both_signs_are_a_warning(tmp_path: Path) -> None:
    with gate_shop(tmp_path, table=REFUNDS) as shop:
        shop.put("a.csv", TYPED + "a,2024-01-01,50,Sale\na,2024-01-05,50,Refund\n")
        shop.put("b.csv", TYPED + "a,2024-02-01,-9,Refund\n")
        shop.load()
        assert warned(shop, "load_report") == {}
        shop.put("b.csv", TYPED + "a,2024-02-01,-9,Refund\nb,2024-02-01,4,Refund\n")
        shop.load()
        assert warned(shop, "load_report") == {
            "returns_in_one_sign": "b.csv: 1 returns given as positive amounts, sum 4.00, "
            "and 1 as negative ones, sum -9.00"
        }
        shop.configure(table=REFUNDS.replace("'Refund'}", "'Refund', sign: as_written}"))
        shop.load()
        assert warned(shop, "load_report") == {}
        assert shop.rows("select sum(amount) from raw.transactions") == [(95,)]


OUT_OF_TIME = """\
    exclude:
      - {reason: clock reset, when: "ordered_at < timestamptz '2010-01-01'"}
      - {reason: typed wrong, when: "ordered_at > timestamptz '2025-01-01'"}
"""


def test_excluded_lines_are_not_judged_by_date(tmp_path: Path) -> None:
    rows = ["a,2024-01-01,10", "b,1970-01-01,10", "c,2032-01-01,10"]
    with gate_shop(tmp_path, table=OUT_OF_TIME) as shop:
        shop.put("a.csv", lines(*rows))
        shop.load()
        assert blocking(shop) == set()
        assert shop.values("excluded_reason") == [None, "clock reset", "typed wrong"]
        assert shop.rows(
            "select sum(row_count), sum(used_row_count), sum(amount), sum(used_amount) "
            "from raw.load_days"
        ) == [(3, 1, 30, 10)]
        shop.put("b.csv", lines("d,2009-12-31,10", "e,2023-12-31,10"))
        shop.load()
        assert blocking(shop) == {"dates_within_period"}


def test_excluded_lines_are_not_judged_by_currency_customer_or_bounds(tmp_path: Path) -> None:
    limits = "limits: {maximum_customerless_share: 0.2, maximum_amount: 100}"
    table = "    exclude:\n      - {reason: other shop, when: store_id = 'x'}\n"
    columns = "      currency: money\n      store_id: store"
    rows = [*["a,2024-01-02,5,USD,s"] * 4, *[",2024-01-02,5000,EUR,x"] * 6, ",2024-01-02,1,USD,s"]
    with gate_shop(tmp_path, more=limits, table=table, columns=columns) as shop:
        shop.put("a.csv", "customer,day,amount,money,store\n" + "\n".join(rows))
        shop.load()
        assert blocking(shop) == set()
        shop.configure(more=limits, table=table.replace("'x'", "'y'"), columns=columns)
        shop.load()
        assert blocking(shop) == {
            "customerless_share_within_limit", "currency_as_declared", "amounts_within_bounds"
        }  # fmt: skip


def test_an_excluded_line_repeats_no_key(tmp_path: Path) -> None:
    table = "    key: amount\n    exclude:\n      - {reason: draft, when: customer_id = 'd'}\n"
    with gate_shop(tmp_path, table=table) as shop:
        shop.put("a.csv", lines("a,2024-01-01,10", "d,2024-01-01,10", "d,2024-01-02,10"))
        shop.load()
        assert blocking(shop) == set()
        shop.put("b.csv", lines("b,2024-01-01,10"))
        shop.load()
        assert blocking(shop) == {"declared_key_unique"}


NO_ORDER = TYPE + "    exclude:\n      - {reason: no order, when: type <> 'order'}\n"


def test_an_excluded_line_without_a_type_does_not_count_as_rejected(tmp_path: Path) -> None:
    with gate_shop(tmp_path, table=NO_ORDER) as shop:
        shop.put(
            "a.csv",
            TYPED + "a,2024-01-01,10,order\n,,,footer\nb,pending,5,draft\nc,2024-01-02,x,draft\n",
        )
        report = shop.load()
        assert shop.rejected() == [
            ("a.csv", 3, "excluded: no order", ",,,footer"),
            ("a.csv", 4, "excluded: no order", "b,pending,5,draft"),
            ("a.csv", 5, "excluded: no order", "c,2024-01-02,x,draft"),
        ]
        assert report.rejected_count == 3
        assert shop.load_counts() == [("a.csv", 4, 1, 3)]
        assert shop.rows("select rejected_share from raw.loads") == [(0,)]
        assert shop.rows("select measure, item, line_count from raw.load_report") == [
            ("exclude", "1: no order", 3)
        ]
        assert blocking(shop) == set()
        shop.put("a.csv", TYPED + "a,2024-01-01,10,order\nb,pending,5,draft\nc,pending,5,order\n")
        shop.load()
        observed = failed_gate(shop, "loads")["rejected_share_within_limit"].observed_value
        assert observed == (
            "33.33% of a.csv (1 of 3 lines); line 4: ordered_at is not a date or time"
        )


@pytest.mark.parametrize(
    "when",
    [
        "amount is null",
        "coalesce(amount, 0) = 0",
        "ordered_at is null or amount < 0",
        "worth is null",
    ],
)
def test_a_value_that_cannot_be_typed_excludes_nothing(when: str, shop: Shop) -> None:
    """A file in another date or number format is wrong, whatever a rule says of empty values."""
    shop.configure(
        amount="{sql: worth + 0}",
        table="    inputs: {worth: {column: amount, type: money}}\n"
        f"    exclude:\n      - {{reason: empty, when: '{when}'}}\n",
    )
    shop.put("a.csv", lines("a,02.01.2024,1x", "b,2024-01-02,7"))
    shop.load()
    assert [reason for _, _, reason, _ in shop.rejected()] == ["ordered_at is not a date or time"]
    assert shop.values("excluded_reason") == [None]


def test_an_empty_value_is_excluded_by_a_rule_that_says_so(shop: Shop) -> None:
    shop.configure(table="    exclude:\n      - {reason: no date, when: ordered_at is null}\n")
    shop.put("a.csv", lines("a,,1", "b,2024-13-02,1", "c,2024-01-02,1"))
    shop.load()
    assert [reason for _, _, reason, _ in shop.rejected()] == [
        "excluded: no date", "ordered_at is not a date or time"
    ]  # fmt: skip


STATUS = "    inputs: {st: {column: type}}\n"
CANCELLED = STATUS + "    exclude:\n      - {reason: cancelled, when: WHEN}\n"


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("st = 'cancelled'", "st is 'Cancelled' in 2 lines, first in a.csv"),
        ("st <> 'paid'", "st is 'PAID' in 1 lines, first in a.csv"),
        ("'cancelled' = st or st in ('cancel led', 'x')",
         "st is 'Cancelled' in 2 lines, first in a.csv"),
        ("st not in ('Cancelled', 'paid')",
         "st is 'PAID' in 1 lines, first in a.csv; st is 'cancel led' in 1 lines, first in a.csv"
         "; st is 'cancelled' in 1 lines, first in a.csv"),
        ("lower(replace(st, ' ', '')) = 'cancelled'", None),
        ("st in ('Cancelled', 'cancelled', 'cancel led')", None),
        ("st = 'no@where.example'", None),
    ],
)  # fmt: skip
def test_other_spellings_are_named(when: str, expected: str | None, tmp_path: Path) -> None:
    with gate_shop(tmp_path, table=CANCELLED.replace("WHEN", f'"{when}"')) as shop:
        shop.put(
            "a.csv",
            TYPED + "a,2024-01-01,50,Cancelled\nb,2024-01-01,5,cancelled \nc,2024-01-01,5,paid\n"
            "a,2024-01-01,5,PAID\na,2024-01-01,5,No@where.example\na,2024-01-02,1,Cancelled\n",
        )
        if "cancel led" in (expected or when):
            shop.put(
                "a.csv", (shop.paths.landing / "a.csv").read_text() + "d,2024-01-03,1,cancel led\n"
            )
        shop.load()
        warnings = warned(shop, "load_report")
    assert warnings.get("compared_texts_in_one_spelling") == expected


def test_a_rule_that_matches_nothing_is_a_warning(tmp_path: Path) -> None:
    table = STATUS + (
        "    exclude:\n      - {reason: gone, when: st = 'void'}\n"
        "      - {reason: gone, when: st = 'cancelled'}\n"
        "    line_type:\n      - {type: return, when: st = 'back'}\n"
    )
    with gate_shop(tmp_path, table=table) as shop:
        shop.put("a.csv", TYPED + "a,2024-01-01,50,void\n")
        shop.put("b.csv", TYPED + "a,2024-01-02,50,paid\n")
        shop.load()
        assert warned(shop, "load_report") == {
            "every_rule_matches": "exclude rule 2: gone; line_type rule 1: return: no line"
        }
        shop.put("b.csv", TYPED + "a,2024-01-02,50,back\na,2024-01-02,50,cancelled\n")
        shop.load()
        assert warned(shop, "load_report") == {}


def test_an_excluded_credit_of_a_counted_sale_is_a_warning(tmp_path: Path) -> None:
    table = TYPE + "    exclude:\n      - {reason: manual, when: type = 'M'}\n"
    rows = ["a,2024-01-02,389.70,x", "a,2024-01-09,-389.70,M", "b,2024-01-02,5,x"]
    with gate_shop(tmp_path, table=table) as shop:
        shop.put("a.csv", TYPED + "\n".join([*rows, "b,2024-01-10,-5,M", "c,2024-01-02,-5,M"]))
        shop.load()
        assert warned(shop, "transactions") == {
            "no_sale_cancelled_by_an_excluded_credit": "1 excluded credits, sum -389.70"
        }
        shop.put("a.csv", TYPED + "\n".join(rows).replace("M", "C"))
        shop.load()
        assert warned(shop, "transactions") == {}


def test_what_an_expression_names() -> None:
    text = (
        "St = 'a' or \"b\" in ('x', 'y') or upper(c) = 'Z' or d = 1 or case e when 'q' then f end"
    )
    assert named_columns(text) == {"st", "b", "c", "d", "e", "f"}
    assert compared_texts([text, "st <> 'k'"]) == {"st": {"a", "k"}, "b": {"x", "y"}, "e": {"q"}}
