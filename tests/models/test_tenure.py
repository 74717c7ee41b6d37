"""What customers spend the longer they have been customers, against the rules read plainly."""

from statistics import fmean

import pytest
from reference import tenure
from reference.worlds import WORLDS, Built
from support.four_years import FourYears


@pytest.mark.parametrize("world", WORLDS)
def test_spend_by_tenure_follows_the_rules(built: dict[str, Built], world: str) -> None:
    assert built[world].differences(tenure.spend_by_tenure) == ([], [])


def test_comparisons_are_of_the_same_customers_by_month(four_years: FourYears) -> None:
    seen = [one for one in four_years.customers if one.tenure >= 1094]
    kept = [one for one in seen if 1094 - max(d for d in one.days if d <= 1094) <= 90]
    assert len(kept) > 30
    clients = [one for one in four_years.customers if len(one.days) >= 5]
    expected = {
        "client_to_first_purchase": (
            fmean(one.spent(0, 0) for one in four_years.customers),
            fmean(one.spent(0, 9999) for one in clients),
            len(clients),
        )
    }
    for name, group in (("", seen), ("_of_survivors", kept)):
        expected[f"year_3_to_first_6_months{name}"] = (
            fmean(one.spent(0, 182) for one in group) / 6,
            fmean(one.spent(730, 1094) for one in group) / 12,
            len(group),
        )
    found = {row["comparison"]: row for row in four_years.rows("from marts.spend_comparisons")}
    assert found.keys() == expected.keys()
    for name, (base, compared, count) in expected.items():
        row = found[name]
        assert row["compared_customer_count"] == count
        assert abs(float(row["base_net_revenue_per_customer"]) - base) < 0.0051
        assert abs(float(row["compared_net_revenue_per_customer"]) - compared) < 0.0051
        assert abs(float(row["ratio"]) - compared / base) < 0.000051
        assert row["note"] is None
