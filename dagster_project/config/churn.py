"""Churn definitions: what a version may say, and what is known of it once it is complete.

A definition says after what silence a customer counts as lost. It has versions: a silence is judged
by the one in force on the day it began, so that a new version never rewrites the past. Not here:
what an industry's preset adds (`churn_presets`) and how a definition is told (`churn_words`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from dagster_project.config.versions import overlaps

Method = Literal["fixed", "season", "cadence", "survival", "gap_percentile"]
Basis = Literal["purchase", "interaction", "both"]

_METHODS_USING = {
    "gap_multiple": ("cadence",),
    "quantile": ("survival", "gap_percentile"),
    "seasons": ("season",),
}
_COMMON_YEAR = 2001
_SEASON_EXAMPLE = "for example 01-15..04-15"

Season = tuple[str, str]


def _season(written: Any) -> Season:
    """Read `MM-DD..MM-DD`; a season over New Year ends on an earlier day than it begins."""
    text = str(written).strip()
    if re.fullmatch(r"\d\d-\d\d(\.\.)?", text):
        raise ValueError(
            f"the season {text} never ends; give its first and its last day, {_SEASON_EXAMPLE}"
        )
    found = re.fullmatch(r"(\d\d-\d\d)\.\.(\d\d-\d\d)", text)
    if not found:
        raise ValueError(f"{text!r} is no season; write MM-DD..MM-DD, {_SEASON_EXAMPLE}")
    first, last = found.groups()
    if len(_season_days((first, last))) == 365:
        raise ValueError(
            f"the season {text} covers the whole year and so never ends; let it end earlier, "
            f"{_SEASON_EXAMPLE}"
        )
    return first, last


def _season_days(season: Season) -> set[int]:
    """Return the days of a common year, counted from 0, that a season covers."""
    first, last = (_day_of_year(day) for day in season)
    return {day % 365 for day in range(first, last + 1 if first <= last else last + 366)}


def _day_of_year(day: str) -> int:
    if day == "02-29":
        raise ValueError("02-29 is not in every year; use 02-28")
    try:
        return date(_COMMON_YEAR, int(day[:2]), int(day[3:])).timetuple().tm_yday - 1
    except ValueError:
        raise ValueError(f"there is no day {day}; write month and day as MM-DD") from None


class DeclaredDefinition(BaseModel):
    """One version of a churn definition as it is written; what it leaves out the preset says.

    Days have a limit so that no date leaves the calendar, gap multiples so that no product leaves
    the whole numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method
    basis: Basis | None = None
    lost_days: Annotated[int, Field(ge=3, le=36_500)] | None = None
    gap_multiple: Annotated[Decimal, Field(gt=0, le=1000, decimal_places=2)] | None = None
    quantile: Annotated[Decimal, Field(gt=0, lt=1, decimal_places=2)] | None = None
    seasons: Annotated[
        tuple[Annotated[Season, BeforeValidator(_season)], ...], Field(validate_default=True)
    ] = ()
    valid_from: date | None = None
    description: Annotated[str, Field(min_length=1)] | None = None
    description_zh: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("seasons", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else value

    @field_validator("seasons")
    @classmethod
    def _seasons_apart(cls, value: tuple[Season, ...], info: ValidationInfo) -> tuple[Season, ...]:
        if not value and info.data.get("method") == "season":
            raise ValueError(f"is required for method season; add it, {_SEASON_EXAMPLE}")
        for index, season in enumerate(value):
            for other in value[:index]:
                if _season_days(season) & _season_days(other):
                    raise ValueError(
                        f"the seasons {'..'.join(other)} and {'..'.join(season)} overlap; let one "
                        "end before the other begins"
                    )
        return value

    @field_validator("gap_multiple", "quantile", "seasons")
    @classmethod
    def _used_by_method(cls, value: Any, info: ValidationInfo) -> Any:
        methods = _METHODS_USING[info.field_name or ""]
        method = info.data.get("method")
        if value and method is not None and method not in methods:
            raise ValueError(
                f"is of no use to method {method}, only to {' and '.join(methods)}; remove it or "
                "change the method"
            )
        return value


@dataclass(frozen=True)
class Definition:
    """One version of a source's churn definition, complete.

    `declared_from` is the day its file names; `valid_from` the one that counts, which for the first
    version is the beginning of time.
    """

    method: Method
    basis: Basis
    lost_days: int
    gap_multiple: Decimal
    quantile: Decimal
    seasons: tuple[Season, ...]
    valid_from: date
    declared_from: date | None
    description: str
    description_zh: str

    def variables(self) -> dict[str, Any]:
        """Return what the models are told of it; decimals as text, to reach the engine exactly."""
        return {
            "valid_from": self.valid_from.isoformat(),
            "method": self.method,
            "lost_days": self.lost_days,
            "gap_multiple": f"{self.gap_multiple:.2f}",
            "quantile": f"{self.quantile:.2f}",
            "seasons": [list(season) for season in self.seasons],
            "description": self.description,
            "description_zh": self.description_zh,
        }


def name_of(written: Mapping[str, Any]) -> str:
    """Return how messages call a definition, right or faulty, as it is written."""
    valid_from = written.get("valid_from")
    return f"the {written.get('method', 'unnamed')} definition" + (
        f" valid from {valid_from}" if valid_from else ""
    )


def version_faults(
    versions: Sequence[DeclaredDefinition], basis: Basis | None = None
) -> Iterator[tuple[int, str, str]]:
    """Yield what versions that are right by themselves get wrong together.

    Args:
        versions: As written, in any order.
        basis: The basis of a version that names none.

    Yields:
        Position of the version, field and problem.
    """
    yield from overlaps(versions, [name_of(version.model_dump()) for version in versions])
    bases = [version.basis or basis for version in versions]
    for index, own in enumerate(bases):
        if own != bases[0]:
            yield (
                index,
                "basis",
                f"is {own}, but {bases[0]} in {name_of(versions[0].model_dump())}; name the same "
                "basis in all versions, for it says what a silence is",
            )
