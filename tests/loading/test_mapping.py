"""Columns of a file, rules and expressions become the columns of a canonical table."""

import random
from collections import Counter
from pathlib import Path

import pytest
from support.raw_shop import ID, Shop, open_shop

from dagster_project.errors import ConfigurationError

NUMBER = "      quantity: quantity"


def test_large_products_are_exact(shop: Shop) -> None:
    shop.configure(
        amount="{sql: quantity * price}",
        columns=NUMBER,
        table="    inputs:\n      price: {column: p, type: money}",
    )
    rows = [(2, "1.50"), (2_000_000, "1500.123456"), (-3, "0.015"), (1, "")]
    shop.put("f.csv", "customer,day,quantity,p\n"
             + "".join(f"a,2024-01-02,{count},{price}\n" for count, price in rows))  # fmt: skip
    shop.load()
    assert [str(value) for value in shop.values("amount")] == ["3.00", "3000246912.00", "-0.05"]
    assert shop.values("line_type") == ["sale", "sale", "return"]
    assert [row[1:3] for row in shop.rejected()] == [(5, "amount is missing")]


def test_rules_and_totals(tmp_path: Path) -> None:
    rules = """\
    inputs:
      status: {column: status}
    line_type:
      - {type: adjustment, when: transaction_id like 'A%'}
      - {type: return, when: transaction_id like 'R%'}
    exclude:
      - {reason: postage, when: upper(product_id) = 'POST'}
      - {reason: cancelled, when: status = 'void'}
      - {reason: broken rule, when: 1 / status::int > 1}
"""
    columns = f"{ID}\n{NUMBER}\n      product_id: sku\n      currency: money"
    chance = random.Random(5)
    rows, expected = [], Counter()
    for number in range(500):
        prefix, sku = chance.choice(["A", "R", "S", "S"]), chance.choice(["post", "P1", "P2"])
        status, quantity = chance.choice(["ok", "void"]), chance.choice([-1, 0, 2, ""])
        cents = chance.randint(-500, 5000)
        kind = {"A": "adjustment", "R": "return"}.get(
            prefix, "sale" if cents >= 0 and (quantity or 0) >= 0 else "return"
        )
        reason = "postage" if sku == "post" else "cancelled" if status == "void" else None
        expected[kind, reason] += -abs(cents) if kind == "return" else cents
        rows.append(
            f"c,2024-01-02,{cents / 100:.2f},{prefix}{number},{quantity},{sku},{status},EUR"
        )
    with open_shop(tmp_path, columns=columns, table=rules) as shop:
        shop.put("f.csv", "customer,day,amount,id,quantity,sku,status,money\n" + "\n".join(rows))
        shop.load()
        found = shop.rows(
            "select line_type, excluded_reason, sum(amount) from raw.transactions group by all"
        )
        assert {(kind, reason): total * 100 for kind, reason, total in found} == expected
        assert set(shop.values("currency")) == {"EUR"}
        used = sum(total for (_, reason), total in expected.items() if reason is None)
        assert shop.rows("select sum(amount) * 100, sum(used_amount) * 100 from raw.load_days") == [
            (sum(expected.values()), used)
        ]
        shop.configure(columns=columns.replace("      currency: money", ""), table=rules)
        shop.load()
        assert set(shop.values("currency")) == {"USD"}


def test_columns_turned_into_attributes(tmp_path: Path) -> None:
    tables = """\
  customer_attributes:
    files: people.csv
    unpivot: [age, town]
    columns:
      customer_id: id
      attribute: attribute
      value: value
      is_sensitive: {constant: true}
"""
    with open_shop(tmp_path, files="f.csv", tables=tables) as shop:
        shop.put("people.csv", 'id,age,town\n1,30,"A\nB"\n,40,C\n2,,D\n3\n4,,\n')
        shop.load("customer_attributes")
        assert shop.rows("select customer_id, attribute, value, is_sensitive, source_row "
                         "from raw.customer_attributes order by all") == [
            ("1", "age", "30", True, 1), ("1", "town", "A\nB", True, 1),
            ("2", "town", "D", True, 3),
        ]  # fmt: skip
        assert [row[1:3] for row in shop.rejected()] == [
            (4, "customer_id is missing"), (6, "too few fields"),
        ]  # fmt: skip


def test_absent_column_names_file_line_key_and_remedy(shop: Shop) -> None:
    shop.put("f.csv", "client,day,amount\na,2024-01-02,1\n")
    with pytest.raises(ConfigurationError) as raised:
        shop.load()
    assert raised.value.exit_code == 2
    assert str(raised.value) == (
        f"{shop.source.path}, line 14, tables.transactions.columns.customer_id: f.csv has no "
        "column customer. Its columns are client, day, amount. Correct the mapping or the file."
    )
    shop.put("f.csv", "customer,day,day,amount\na,2024-01-02,x,1\n")
    with pytest.raises(ConfigurationError, match="several columns named day"):
        shop.load()
