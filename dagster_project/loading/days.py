"""Which business days a load replaces."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class DayRange:
    """Business days to replace, both ends included; a null end is open."""

    first: date | None = None
    last: date | None = None

    def holds(self, column: str) -> str:
        """Return SQL telling whether a date column lies in the range."""
        tests = []
        if self.first:
            tests.append(f"{column} >= date '{self.first}'")
        if self.last:
            tests.append(f"{column} <= date '{self.last}'")
        return " and ".join(tests) or "true"

    @property
    def is_open(self) -> bool:
        """Whether the range holds every day there is."""
        return self.first is None and self.last is None


ALL_DAYS = DayRange()
