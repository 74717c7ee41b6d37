"""Two shops unlike in every setting, with all their models and what is known of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from support.random_shop import Definition, Tiers, World, rows_of

from dagster_project.paths import SourcePaths
from reference.known import Known
from reference.numbers import differences

WORLDS = {
    "purchases": World(date(2025, 6, 15), (Definition("fixed", 90),), seed=11),
    "versions": World(
        date(2024, 2, 29),
        (
            Definition("season", 60, seasons=("11-20..01-10", "05-01..05-31")),
            Definition("fixed", 45, valid_from=date(2022, 12, 1)),
            Definition("cadence", 60, "2.50", valid_from=date(2023, 8, 1)),
        ),
        basis="both",
        typical=17,
        alarm_gaps=2,
        new_days=12,
        evergreen=2,
        client=4,
        decline="0.40",
        return_rise="0.1",
        lift="1.5",
        tiers=(
            Tiers(high="0.33", medium="0.75"),
            Tiers("margin", high="0.25", medium="0.60", valid_from=date(2022, 12, 15)),
            Tiers("margin", "cutoff", "20", "3.5", valid_from=date(2023, 8, 1)),
            Tiers("expected_value", high="0.30", medium="0.65", valid_from=date(2023, 11, 1)),
            Tiers("revenue", "cutoff", "50", "10", valid_from=date(2024, 3, 1)),
        ),
        seed=12,
    ),
}


@dataclass(frozen=True)
class Built:
    """A shop with all its models, and what is known of it."""

    paths: SourcePaths
    known: Known

    def differences(
        self, rule: Callable[[Known], list[tuple]], condition: str = "true"
    ) -> tuple[list, list]:
        """Return rows that only the table has, or only the rule that is named after it."""
        found = rows_of(self.paths, f"from marts.{rule.__name__} where {condition}")
        return differences(found, rule(self.known))
