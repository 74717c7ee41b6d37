"""What holds for an industry where its source says nothing else, and definitions made complete.

The presets, one industry a row, are a seed of the dbt project (`PRESETS_FILE`); a source's file may
replace the one of its industry. Both pass the same checks.
"""

import csv
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from dagster_project.config.churn import (
    Basis,
    DeclaredDefinition,
    Definition,
    name_of,
    version_faults,
)
from dagster_project.config.churn_words import rule_text, rule_text_zh
from dagster_project.config.messages import problem_text, shown_path
from dagster_project.config.versions import BEGINNING, in_force, since
from dagster_project.errors import ConfigurationError
from dagster_project.paths import DBT_DIR

PRESETS_FILE = DBT_DIR / "seeds" / "churn_presets.csv"
DEFAULT_INDUSTRY = "default"
DEFAULT_GAP_MULTIPLE = Decimal("3.00")
DEFAULT_QUANTILE = Decimal("0.80")


class Preset(DeclaredDefinition):
    """A row of the seed: what holds for an industry where a source says nothing else."""

    industry: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    basis: Basis
    lost_days: Annotated[int, Field(ge=3, le=36_500)]
    valid_from: date
    description: Annotated[str, Field(min_length=1)]
    description_zh: Annotated[str, Field(min_length=1)]


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
        raise ConfigurationError(
            "\n".join(f"{shown_path(file)}, {problem}" for problem in problems)
        )
    return {
        industry: tuple(sorted((preset for _, preset in numbered), key=since))
        for industry, numbered in rows.items()
    }


def _split(seasons: str) -> list[str]:
    return [season.strip() for season in seasons.split(";")] if seasons else []


def _preset_fault(line: int, written: Mapping[str, Any], field: str, problem: str) -> str:
    industry = written.get("industry", "no industry")
    return f"line {line}, {field}: in {name_of(written)} of {industry}: {problem}"


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
