"""Which files must be read, and which days they touch."""

from support.raw_shop import Shop, day, lines

from dagster_project.loading.changes import changed_files, days_in


def test_changed_mapping_is_loaded_anew(shop: Shop) -> None:
    shop.put("f.csv", "customer,day,amount,other\na,2024-01-02,1,7\n")
    shop.load()
    shop.configure(columns="      discount_amount: other")
    assert changed_files(shop.connection, shop.source, shop.paths).any
    shop.load()
    assert [str(one) for one in shop.values("discount_amount")] == ["7.00"]


def test_days_in_changed_files(shop: Shop) -> None:
    shop.put("a.csv", lines("a,2024-01-05,1", "a,2024-01-02,1", "a,x,1"))
    shop.put("b.csv", "amount,day,customer\n1,2024-01-09,a\n")
    shop.put("empty.csv", "")
    files = changed_files(shop.connection, shop.source, shop.paths).transactions
    assert len(files) == 3
    found = days_in(shop.connection, shop.source, shop.paths, files)
    assert found == (day(2), day(9))
    assert days_in(shop.connection, shop.source, shop.paths, files[2:]) is None
