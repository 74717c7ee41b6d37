"""When a silence is a loss, by every definition that is compared."""

from datetime import date
from fractions import Fraction
from math import floor

from support.random_shop import Definition, World

from reference.numbers import ONE_DAY


def first_lost_day(definition: Definition, started_on: date, gap: Fraction) -> date | None:
    """Return the first day as a lost customer, if the silence lasts so long."""
    if definition.method == "season":
        return season_after(definition, started_on) + ONE_DAY
    if definition.method == "nobody_lost":
        return None
    allowed = Fraction(definition.lost)
    if definition.method == "cadence":
        own = Fraction(definition.multiple) * gap
        allowed = min(max(own, Fraction(definition.lost, 3)), Fraction(2 * definition.lost))
    if definition.method == "everybody_lost":
        allowed = Fraction(-1)
    return started_on + (floor(allowed) + 1) * ONE_DAY


def season_after(definition: Definition, day: date) -> date:
    """Return the last day of the first season that begins after a day."""
    found = []
    for year in range(day.year, day.year + 3):
        for season in definition.seasons:
            first, last = season.split("..")
            starts = date.fromisoformat(f"{year}-{first}")
            ends = date.fromisoformat(f"{year + (last < first)}-{last}")
            found.append((starts, ends))
    return min(season for season in found if season[0] > day)[1]


def in_force(versions: tuple[Definition, ...], day: date) -> Definition:
    return [one for one in versions if one.valid_from <= day][-1]


def lost_by(versions: tuple[Definition, ...], started_on: date, gap: Fraction) -> date | None:
    """Return when a silence is a loss by the version in force as it began."""
    return first_lost_day(in_force(versions, started_on), started_on, gap)


def compared(world: World) -> dict[str, tuple[Definition, ...]]:
    lost = world.lost
    return {
        "active": world.definitions,
        **{f"fixed_{days}": (Definition("fixed", days),) for days in (30, 60, 90, 180)},
        **{f"cadence_{n}": (Definition("cadence", lost, f"{n}.00"),) for n in (2, 3)},
        "everybody_lost": (Definition("everybody_lost"),),
        "nobody_lost": (Definition("nobody_lost"),),
    }
