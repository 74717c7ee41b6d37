"""A warehouse that is damaged between two runs is made anew, and the same release comes of it."""

from pathlib import Path

import pytest
from support.kept_shop import flip
from support.releases import checksums, query
from support.shop import SHOP, shop_paths, winback

pytestmark = pytest.mark.timeout(900)
RUN = ("run", "--source", SHOP)
LOADS = "select * exclude (loaded_at, batch_id, delivered_at) from raw.loads order by all"


def test_a_damaged_warehouse_costs_a_run_and_nothing_else(shop: Path) -> None:
    paths = shop_paths(shop)
    published = checksums(paths.published)
    loads = query(paths.warehouse, LOADS)
    flip(paths.warehouse, 4200)
    damaged = paths.warehouse.read_bytes()

    file = next(paths.landing.glob("sales-2024-02*"))
    away = file.rename(shop / "away.csv")
    refused = winback(*RUN, data_dir=shop)
    assert (refused.code, len(refused.messages.splitlines())) == (1, 1)
    assert f"({file.name})" in refused.messages
    assert paths.warehouse.read_bytes() == damaged
    assert checksums(paths.published) == published

    away.rename(file)
    outcome = winback(*RUN, data_dir=shop)
    assert outcome.code == 0, outcome.messages
    assert outcome.messages.count("is made anew") == 1
    # The same files give the same release, which there is already.
    assert checksums(paths.published) == published
    assert query(paths.warehouse, LOADS) == loads
