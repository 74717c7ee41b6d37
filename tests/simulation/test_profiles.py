"""Profiles: what is normal in an industry shows in its simulated business."""

from pathlib import Path

import duckdb
import pytest
from support.simulated import configure, simulate

from dagster_project.simulation.profiles import GENERAL, PROFILES, Profile, profile_of


@pytest.mark.parametrize(("industry", "threshold"), [("restaurant", 30), ("durables", 365)])
def test_few_gaps_are_longer_than_the_threshold(
    industry: str, threshold: int, tmp_path: Path
) -> None:
    configure(tmp_path, industry)
    simulate(tmp_path, 60_000, source=industry)
    longer = duckdb.execute(f"""
        with days as (
            select distinct customer_id, ordered_at::date as day
            from '{tmp_path}/landing/{industry}/sales-*.parquet' where amount >= 0
        ),
        gaps as (
            select lead(day) over (partition by customer_id order by day) - day as gap from days
        )
        select avg((gap > {threshold})::integer) from gaps
    """).fetchone()[0]
    assert 0.01 < longer < 0.15


def test_an_industry_without_a_profile_is_simulated_in_general(tmp_path: Path) -> None:
    source = configure(tmp_path, "wholesale")
    assert profile_of(source) is GENERAL
    assert simulate(tmp_path, 500, source="wholesale").customer_count > 0


@pytest.mark.parametrize("profile", [*PROFILES.values(), GENERAL])
def test_profiles_can_be_drawn(profile: Profile) -> None:
    assert len(profile.season) == 12
    shapes = (
        profile.purchase_shape,
        profile.lifetime_shape,
        profile.dropout_leave,
        profile.dropout_stay,
    )
    assert all(shape > 0 and shape * 2 % 1 == 0 for shape in shapes)
