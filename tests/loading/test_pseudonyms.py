"""Ids that are a person's address are replaced on the way in."""

import re
from pathlib import Path

from support.raw_shop import lines, open_shop

CONTACTS = ["jane@example.org", "+49 30 1234567", "13800138000", "030-123456-78"]
ORDINARY = ["17850", "C-1234", "1234567890", "2024010112345", "abc"]


def test_ids_that_are_contacts_are_pseudonymised_alike_everywhere(tmp_path: Path) -> None:
    customers = """\
  customers:
    files: people/*.csv
    columns: {customer_id: id, region: region}
"""
    with open_shop(tmp_path, files="*.csv", tables=customers) as shop:
        ids = [*CONTACTS, "JANE@example.org", *ORDINARY]
        shop.put("f.csv", lines(*(f"{one},2024-01-02,1" for one in ids)))
        shop.put("people/p.csv", "id,region\n" + "".join(f"{one},x\n" for one in ids))
        shop.load()
        shop.load("customers")
        found = shop.values("customer_id")
        assert shop.values("customer_id", "customers") == found
        assert all(re.fullmatch("p-[0-9a-f]{24}", one) for one in found[:5])
        assert found[0] == found[4]
        assert len(set(found[:5])) == 4
        assert found[5:] == ORDINARY
        shop.load(full_refresh=True)
        assert shop.values("customer_id") == found
        shop.configure(files="*.csv", more="pseudonymise_ids: never")
        shop.load()
        assert shop.values("customer_id") == ids
        shop.configure(files="*.csv", more="pseudonymise_ids: always")
        shop.load()
        assert all(one.startswith("p-") for one in shop.values("customer_id"))
        assert shop.values("customer_id")[0] == found[0]
    with open_shop(tmp_path / "other", files="*.csv") as other:
        other.put("f.csv", lines("jane@example.org,2024-01-02,1"))
        other.load()
        assert other.values("customer_id") != found[:1]
