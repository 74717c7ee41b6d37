"""Versions of a definition in a source's file: which one is in force on a day, and which clash."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Protocol, TypeVar

BEGINNING = date.min


class Version(Protocol):
    """Anything that is valid from a day on; None is the beginning of time."""

    @property
    def valid_from(self) -> date | None:
        """First day on which it is valid."""


V = TypeVar("V", bound=Version)


def since(version: Version) -> date:
    """Return the day from which a version is valid."""
    return version.valid_from or BEGINNING


def in_force(versions: Sequence[V], on: date) -> V:
    """Return the version that is valid on a day; the first also counts for all before."""
    begun = [version for version in versions if since(version) <= on]
    return max(begun, key=since) if begun else min(versions, key=since)


def overlaps(versions: Sequence[Version], names: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield the versions that are valid from the same day as an earlier one.

    Args:
        versions: As written, in any order.
        names: How messages call each.

    Yields:
        Position of the version, field and problem.
    """
    earlier: dict[date, str] = {}
    for index, version in enumerate(versions):
        if since(version) in earlier:
            day = version.valid_from or "the beginning"
            yield (
                index,
                "valid_from",
                f"overlaps with {earlier[since(version)]}, for both hold from {day} on; give "
                "each a valid_from of its own (only one may do without)",
            )
        earlier.setdefault(since(version), names[index])
