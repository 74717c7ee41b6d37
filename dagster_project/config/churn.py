"""Churn definitions: after what silence a customer counts as lost, and how that is said in words.

The presets, one industry a row, are a seed of the dbt project (`PRESETS_FILE`); a source's file may
replace the one of its industry. Both pass the same checks. A definition has versions: a silence is
judged by the one in force on the day it began, so that a new version never rewrites the past.
"""

import csv
import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from dagster_project.config.versions import BEGINNING, in_force, overlaps, since
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.paths import DBT_DIR, PROJECT_DIR

Method = Literal["fixed", "season", "cadence", "survival", "gap_percentile"]
Basis = Literal["purchase", "interaction", "both"]

PRESETS_FILE = DBT_DIR / "seeds" / "churn_presets.csv"
DEFAULT_INDUSTRY = "default"
DEFAULT_GAP_MULTIPLE = Decimal("3.00")
DEFAULT_QUANTILE = Decimal("0.80")

_METHODS_USING = {
    "gap_multiple": ("cadence",),
    "quantile": ("survival", "gap_percentile"),
    "seasons": ("season",),
}
_PARAMETERS = {
    "fixed": ("lost_days",),
    "season": ("seasons",),
    "cadence": ("gap_multiple", "lost_days"),
    "survival": ("quantile", "lost_days"),
    "gap_percentile": ("quantile", "lost_days"),
}
_ESTIMATED = ("survival", "gap_percentile")
_SILENCE = {
    "purchase": "without a purchase",
    "interaction": "without an interaction",
    "both": "with neither a purchase nor an interaction",
}
_SILENCE_ZH = {"purchase": "没有购买", "interaction": "没有互动", "both": "既无购买也无互动"}
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


class Preset(DeclaredDefinition):
    """A row of the seed: what holds for an industry where a source says nothing else."""

    industry: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    basis: Basis
    lost_days: Annotated[int, Field(ge=3, le=36_500)]
    valid_from: date
    description: Annotated[str, Field(min_length=1)]
    description_zh: Annotated[str, Field(min_length=1)]


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


@dataclass(frozen=True)
class Estimate:
    """The thresholds that a release found in the data for a definition without fixed days."""

    as_of: str
    first_time_lost_days: int | None
    repeat_lost_days: int | None
    note: str | None


def name_of(written: Mapping[str, Any]) -> str:
    """Return how messages call a definition, right or faulty, as it is written."""
    valid_from = written.get("valid_from")
    return f"the {written.get('method', 'unnamed')} definition" + (
        f" valid from {valid_from}" if valid_from else ""
    )


def problem_text(problem: ErrorDetails) -> str:
    """Return one of pydantic's errors in the words of this program."""
    if problem["type"] == "missing":
        return "is missing; add it"
    text = problem["msg"].removeprefix("Value error, ")
    text = text[0].lower() + text[1:] if text.startswith("Input should") else text
    return text.replace("input should be", "should be")


def check_industry(industry: str) -> str:
    """Return the industry if it has a preset.

    Raises:
        ValueError: it has none.
    """
    known = presets()
    if industry in known:
        return industry
    close = difflib.get_close_matches(industry, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(
        f"no churn definition is known for the industry {industry!r}; {hint}Known are "
        f"{', '.join(sorted(known))}. For another one leave industry out and say in "
        "churn_definition when a customer is lost"
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


@cache
def presets() -> dict[str, tuple[Preset, ...]]:
    """Return the versions of each industry's preset, the earliest first."""
    return read_presets(PRESETS_FILE)


def read_presets(file: Path) -> dict[str, tuple[Preset, ...]]:
    """Read and check the seed of presets.

    Raises:
        ConfigurationError: a row is wrong; the message names its line, definition and field.
    """
    rows: dict[str, list[tuple[int, Preset]]] = {}
    problems = []
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, restkey="too many values")
        for row in reader:
            written = {column: value for column, value in row.items() if value}
            try:
                preset = Preset.model_validate(
                    written | {"seasons": _split(written.get("seasons", ""))}
                )
            except ValidationError as error:
                problems += [
                    _preset_fault(reader.line_num, written, str(one["loc"][0]), problem_text(one))
                    for one in error.errors()
                ]
            else:
                rows.setdefault(preset.industry, []).append((reader.line_num, preset))
    for numbered in rows.values():
        versions = [preset for _, preset in numbered]
        for index, field, problem in version_faults(versions):
            line, preset = numbered[index]
            problems.append(_preset_fault(line, preset.model_dump(), field, problem))
    if not problems and DEFAULT_INDUSTRY not in rows:
        problems.append(f"the row of industry {DEFAULT_INDUSTRY} is missing; add it")
    if problems:
        shown = file.relative_to(PROJECT_DIR) if file.is_relative_to(PROJECT_DIR) else file
        raise ConfigurationError("\n".join(f"{shown}, {problem}" for problem in problems))
    return {
        industry: tuple(sorted((preset for _, preset in numbered), key=since))
        for industry, numbered in rows.items()
    }


def _split(seasons: str) -> list[str]:
    return [season.strip() for season in seasons.split(";")] if seasons else []


def _preset_fault(line: int, written: Mapping[str, Any], field: str, problem: str) -> str:
    industry = written.get("industry", "no industry")
    return f"line {line}, {field}: in {name_of(written)} of {industry}: {problem}"


def resolve(declared: Sequence[DeclaredDefinition], industry: str | None) -> tuple[Definition, ...]:
    """Return a source's complete definitions by valid_from; without any its industry's presets.

    What a version leaves out comes from the industry's preset of the day from which it is valid.
    """
    of_industry = presets()[industry or DEFAULT_INDUSTRY]
    versions = sorted(declared or of_industry, key=since)
    return tuple(
        _complete(version, in_force(of_industry, since(version)), is_first=index == 0)
        for index, version in enumerate(versions)
    )


def _complete(declared: DeclaredDefinition, preset: Preset, *, is_first: bool) -> Definition:
    definition = Definition(
        method=declared.method,
        basis=declared.basis or preset.basis,
        lost_days=declared.lost_days or preset.lost_days,
        gap_multiple=declared.gap_multiple or DEFAULT_GAP_MULTIPLE,
        quantile=declared.quantile or DEFAULT_QUANTILE,
        seasons=declared.seasons,
        valid_from=BEGINNING if is_first else since(declared),
        declared_from=declared.valid_from,
        description=declared.description or "",
        description_zh=declared.description_zh or "",
    )
    rule = rule_text(definition)
    return replace(
        definition,
        description=definition.description or f"{rule[0].upper()}{rule[1:]}.",
        description_zh=definition.description_zh or f"{rule_text_zh(definition)}。",
    )


def rule_text(definition: Definition) -> str:
    """Return in words when a customer is lost, as far as it is known without the data."""
    silence = _SILENCE[definition.basis]
    percent = f"{definition.quantile:.0%}"
    rules = {
        "fixed": f"lost after more than {definition.lost_days} days {silence}",
        "season": f"lost the day after a whole season {_seasons_text(definition)} {silence}",
        "cadence": f"lost after {definition.gap_multiple:.2f} times the customer's own expected "
        f"gap, between {_minimum_days(definition)} and {2 * definition.lost_days} days, "
        f"{silence}",
        "survival": f"lost after the days within which {percent} of those who come back have done "
        f"so (survival estimate, open gaps counted as such), {silence}",
        "gap_percentile": f"lost after the days within which {percent} of closed gaps ended, "
        f"{silence}",
    }
    return rules[definition.method]


def rule_text_zh(definition: Definition) -> str:
    """Return the same in Chinese."""
    silence = _SILENCE_ZH[definition.basis]
    percent = f"{definition.quantile:.0%}"
    rules = {
        "fixed": f"超过 {definition.lost_days} 天{silence}即视为流失",
        "season": f"整个季节（{_seasons_text(definition, ' 或 ')}）{silence}，季节结束次日"
        "即视为流失",
        "cadence": f"超过客户自身预期间隔的 {definition.gap_multiple:.2f} 倍（不少于 "
        f"{_minimum_days(definition)} 天，不超过 {2 * definition.lost_days} 天）{silence}"
        "即视为流失",
        "survival": f"超过 {percent} 的回头客回来所需的天数（生存估计，计入未结束的间隔）{silence}"
        "即视为流失",
        "gap_percentile": f"超过 {percent} 的已结束间隔的天数{silence}即视为流失",
    }
    return rules[definition.method]


def threshold_text(definition: Definition, estimate: Estimate | None = None) -> str:
    """Return in words the threshold in days that a definition comes down to.

    Args:
        definition: The definition in force.
        estimate: What the current release found for it, if it did.
    """
    if definition.method == "season":
        return f"{rule_text(definition)}; no threshold in days"
    if definition.method not in _ESTIMATED:
        return rule_text(definition)
    if estimate is None:
        return (
            "estimated from the data by the first run with this definition; "
            f"{definition.lost_days} days {_SILENCE[definition.basis]} if they are too few"
        )
    note = f" ({estimate.note})" if estimate.note else ""
    return (
        f"lost after more than {_days(estimate.first_time_lost_days)} (first-time buyers) or "
        f"{_days(estimate.repeat_lost_days)} (repeat buyers) {_SILENCE[definition.basis]}, "
        f"as estimated as of {estimate.as_of}{note}"
    )


def _days(days: int | None) -> str:
    return "an unknown number of days" if days is None else f"{days} days"


def _minimum_days(definition: Definition) -> int:
    """Return the third of the days below which a cadence never calls anybody lost."""
    return definition.lost_days // 3


def _seasons_text(definition: Definition, separator: str = " or ") -> str:
    return separator.join("..".join(season) for season in definition.seasons)


def parameters_text(definition: Definition) -> str:
    """Return the parameters that the method uses, as they are written in a source's file."""
    values = {
        "lost_days": str(definition.lost_days),
        "gap_multiple": f"{definition.gap_multiple:.2f}",
        "quantile": f"{definition.quantile:.2f}",
        "seasons": _seasons_text(definition, ", "),
    }
    return ", ".join(f"{name} {values[name]}" for name in _PARAMETERS[definition.method])


def valid_from_text(definition: Definition) -> str:
    """Return from when a definition counts."""
    if definition.valid_from != BEGINNING:
        return definition.valid_from.isoformat()
    if definition.declared_from in (None, BEGINNING):
        return "the beginning"
    return f"{definition.declared_from}, and for everything before"


def describe(
    definitions: Sequence[Definition], on: date, estimate: Estimate | None = None
) -> list[str]:
    """Return the lines that explain which definition is active on a day."""
    active = in_force(definitions, on)
    lines = [
        f"method      {active.method}, {parameters_text(active)}",
        f"basis       {active.basis}",
        f"valid_from  {valid_from_text(active)}",
        f"threshold   {threshold_text(active, estimate)}",
    ]
    if len(definitions) > 1:
        others = "; ".join(
            f"{one.method}, {parameters_text(one)}, valid from {valid_from_text(one)}"
            for one in definitions
            if one is not active
        )
        lines.append(f"others      {others} (a silence is judged by the one of the day it began)")
    return lines


def published_estimate(
    release: Path, definitions: Sequence[Definition], active: Definition
) -> Estimate | None:
    """Return the thresholds that the release in a folder found for the active definition.

    None if there is no release, if it was made by other definitions than these, whose thresholds
    would mislead, or if it is older than the table that holds them.

    Raises:
        WinbackError: the release cannot be read.
    """
    manifest_file = release / "manifest.json"
    if not manifest_file.exists():
        return None
    import duckdb

    manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
    made_by = manifest["settings"].get("churn_definitions", [])
    if _without_words(made_by) != _without_words([one.variables() for one in definitions]):
        return None
    try:
        with duckdb.connect(str(release / "winback.duckdb"), read_only=True) as connection:
            row = connection.execute(
                "select first_time_lost_days, repeat_lost_days, note from churn_definitions "
                "where definition_id = 'active' and valid_from = ?",
                [active.valid_from],
            ).fetchone()
    except duckdb.CatalogException:
        return None
    except duckdb.Error as error:
        raise WinbackError(f"{release}: cannot be read: {error}") from error
    return Estimate(manifest["as_of"], *row) if row else None


def _without_words(versions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in version.items() if not key.startswith("description")}
        for version in versions
    ]
