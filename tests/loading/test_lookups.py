"""Columns that are looked up in another table of the source."""

from pathlib import Path

import pytest
from support.raw_shop import day, lines, open_shop

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.loading.changes import changed_files, days_in

LOOKUP = """\
    lookups:
      products:
        files: products.csv
        key: sku
        match: product_id
"""


def test_lookups(tmp_path: Path) -> None:
    columns = """\
      product_id: sku
      category: {lookup: products, column: group}
      cost_amount: {lookup: products, column: cost}"""
    with open_shop(tmp_path, files="f*.csv", columns=columns, table=LOOKUP) as shop:
        shop.put("products.csv", "group,sku,cost\nfood,1.0,2.505\ndrink,2,\nodd,3,cheap\n")
        shop.put("f1.csv", "customer,day,amount,sku\n" + "".join(
            f"a,2024-01-02,1,{sku}\n" for sku in ("1", "2.0", "9", "", "3")))  # fmt: skip
        shop.load()
        assert shop.values("category") == ["food", "drink", None, None]
        assert [str(one) for one in shop.values("cost_amount")] == ["2.51", "None", "None", "None"]
        assert [row[1:3] for row in shop.rejected()] == [(6, "cost_amount is not a number")]
        assert days_in(
            shop.connection, shop.source, shop.paths,
            changed_files(shop.connection, shop.source, shop.paths).transactions,
        ) is None  # fmt: skip
        # A changed lookup is read again, and what the days are needs it too.
        shop.put("products.csv", "group,sku,cost\nfruit,1,1\n")
        changes = changed_files(shop.connection, shop.source, shop.paths)
        assert [file.name for file in changes.transactions] == ["f1.csv"]
        assert days_in(shop.connection, shop.source, shop.paths, changes.transactions) == (
            day(2),
            day(2),
        )
        shop.load()
        assert shop.values("category") == ["fruit", None, None, None, None]
        before = shop.dump()
        shop.put("products.csv", "group,sku,cost\nfruit,1,1\nnuts,1.0,1\n")
        with pytest.raises(WinbackError, match="1 values of sku stand in several rows") as raised:
            shop.load()
        assert raised.value.exit_code == 1
        shop.put("products.csv", "group,code\nfruit,1\n")
        with pytest.raises(ConfigurationError, match=r"products\.csv has no column sku"):
            shop.load()
        assert shop.dump() == before


def test_a_looked_up_column_must_be_there_once(tmp_path: Path) -> None:
    columns = "      product_id: sku\n      category: {lookup: products, column: group}"
    with open_shop(tmp_path, files="f.csv", columns=columns, table=LOOKUP) as shop:
        shop.put("f.csv", "customer,day,amount,sku\na,2024-01-02,1,1\n")
        # Others may be there twice.
        shop.put("products.csv", "group,sku,cost,cost\nfood,1,2,3\n")
        shop.load()
        assert shop.values("category") == ["food"]
        for header, column in (("group,sku,group", "group"), ("sku,sku,group", "sku")):
            shop.put("products.csv", f"{header}\nfood,1,2\n")
            with pytest.raises(ConfigurationError, match=f"several columns named {column}"):
                shop.load()


def test_lookup_by_a_pseudonymised_id(tmp_path: Path) -> None:
    columns = "      channel: {lookup: people, column: channel}"
    table = "    lookups:\n      people: {files: p.csv, key: mail, match: customer_id}"
    with open_shop(tmp_path, files="f.csv", columns=columns, table=table) as shop:
        shop.put("p.csv", "mail,channel\njane@example.org,web\n")
        shop.put("f.csv", lines("Jane@example.org,2024-01-02,1"))
        shop.load()
        assert shop.values("channel") == ["web"]
