"""Freshness of raw/transactions: that of the data, whatever runs there were."""

from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from support.gate_shop import gate_shop
from support.raw_shop import Shop, lines

from dagster_project.defs import checks

LAST = date(2024, 2, 29)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    with gate_shop(tmp_path_factory.mktemp("data"), kind="live") as shop:
        days = [date(2024, 1, 1) + timedelta(days=number) for number in range(60)]
        assert days[-1] == LAST
        shop.put("a.csv", lines(*(f"1,{day},5" for day in days)))
        shop.load()
    return shop


@pytest.mark.parametrize(
    ("silent_days", "is_passed", "severity"),
    [(0, True, "WARN"), (1, False, "WARN"), (6, False, "WARN"), (7, False, "ERROR")],
)
def test_it_warns_from_the_first_unusual_day_and_fails_when_the_gate_blocks(
    silent_days: int, is_passed: bool, severity: str, shop: Shop
) -> None:
    as_of = LAST + timedelta(days=silent_days)
    run = SimpleNamespace(paths=shop.paths, source=shop.source, as_of=as_of)
    result = checks.freshness("transactions")(source_run=run)
    assert (result.passed, result.severity.value) == (is_passed, severity)
    told = {name: entry.value for name, entry in result.metadata.items()}
    assert told == {
        "last_day_with_data": "2024-02-29",
        "days_without_data": silent_days,
        "closed_days_without_data": 0,
        "maximum_silent_days": 7,
    }
    reach = (
        "transactions: data up to 2024-02-29" if is_passed else "transactions: last data 2024-02-29"
    )
    assert result.description.startswith(reach)


def test_without_any_line_it_says_so(shop: Shop) -> None:
    run = SimpleNamespace(paths=shop.paths, source=shop.source, as_of=date(2023, 12, 31))
    result = checks.freshness("transactions")(source_run=run)
    assert (result.passed, result.severity.value) == (False, "WARN")
    assert result.description == "transactions: no line that counts up to 2023-12-31"
