"""What a gate found: the outcome of each expectation, and the verdict on a table.

Reads results as Great Expectations stores them (JSON), so nothing here loads it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from dagster_project.errors import WinbackError, first_line

# The lines of `blocked_message` that quote nothing of the data, up to where they would.
_WITHOUT_VALUES = re.compile(
    r"(?:raw|release) gate, \w+: \w+ failed$|  (?:expected|remedy): .*|"
    r"  unexpected: [\d,]*\d(?: of [\d,]*\d)?"
)


@dataclass(frozen=True)
class Outcome:
    """What one expectation observed; `expectation` is its `meta.id` in the suite."""

    gate: str
    table_name: str
    expectation: str
    description: str
    severity: str
    is_passed: bool
    observed_value: str
    threshold: str
    evaluated_count: int
    unexpected_count: int
    example_ids: tuple[str, ...]
    remedy: str

    @property
    def unexpected(self) -> str:
        """In words, how many were not as expected, and of how many."""
        return counted(self.unexpected_count, self.evaluated_count)

    @property
    def is_blocking(self) -> bool:
        """Whether this outcome alone blocks the gate; warnings only report."""
        return not self.is_passed and self.severity == "critical"


@dataclass(frozen=True)
class TableVerdict:
    """The outcomes of a table's suite, and GX's own result (JSON) for the data docs."""

    gate: str
    table_name: str
    outcomes: tuple[Outcome, ...]
    result: dict[str, Any]

    @classmethod
    def read(cls, gate: str, table_name: str, result: dict[str, Any]) -> Self:
        """Read GX's result of a table's suite, one that was stored too.

        Raises:
            WinbackError: An expectation raised an error; that is never a verdict.
        """
        outcomes = tuple(_outcome(gate, table_name, one) for one in result["results"])
        return cls(gate, table_name, outcomes, result)

    @property
    def is_passed(self) -> bool:
        """Whether nothing blocks."""
        return not any(outcome.is_blocking for outcome in self.outcomes)


def blocked_message(outcomes: Iterable[Outcome]) -> str:
    """Say for a person what blocks: numbers, examples and remedy; empty if nothing does."""
    return "\n".join(
        line
        for outcome in outcomes
        if outcome.is_blocking
        for line in (
            f"{outcome.gate} gate, {outcome.table_name}: {outcome.expectation} failed",
            f"  expected:   {outcome.description}",
            f"  observed:   {outcome.observed_value}",
            f"  threshold:  {outcome.threshold}",
            f"  unexpected: {outcome.unexpected}"
            + (f", for example {', '.join(outcome.example_ids)}" if outcome.example_ids else ""),
            f"  remedy:     {outcome.remedy}",
        )
    )


def counted(unexpected: int, evaluated: int) -> str:
    """Return how many were not as expected, and of how many."""
    # What is wrong with a table as a whole is counted once, and the table may be empty.
    return f"{unexpected:,} of {evaluated:,}" if unexpected <= evaluated else f"{unexpected:,}"


def without_values(message: str) -> str:
    """Return a gate's message without what was observed and the examples, to leave the house."""
    found = (_WITHOUT_VALUES.match(line) for line in message.splitlines())
    return "\n".join(line[0] for line in found if line)


def _outcome(gate: str, table: str, one: Mapping[str, Any]) -> Outcome:
    """Read one expectation's result as GX stores it."""
    config, result = one["expectation_config"], one["result"]
    meta = config["meta"]
    raised = _raised(one["exception_info"])
    if raised is not None:
        raise WinbackError(
            f"The {gate} gate could not judge {table}: expectation {meta['id']} raised an error:"
            f" {raised}"
        )
    # GX counts nothing in an empty table.
    evaluated, unexpected = result["element_count"], result["unexpected_count"] or 0
    return Outcome(
        gate=gate,
        table_name=table,
        expectation=meta["id"],
        description=config["description"],
        severity=config["severity"],
        is_passed=one["success"],
        observed_value=result.get("observed_value")
        or f"{counted(unexpected, evaluated)} unexpected",
        threshold=result.get("threshold") or meta.get("threshold") or "none unexpected",
        evaluated_count=evaluated,
        unexpected_count=unexpected,
        example_ids=_example_ids(result),
        remedy=meta["remedy"],
    )


def _raised(info: Mapping[str, Any]) -> str | None:
    """Return the first line of the error an expectation raised; GX keeps one info per metric."""
    infos = [info] if "raised_exception" in info else list(info.values())
    return next(
        (first_line(one["exception_message"] or "") for one in infos if one["raised_exception"]),
        None,
    )


def _example_ids(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return up to five ids: own expectations list them, GX's give a list per id column."""
    if "partial_unexpected_index_list" not in result:
        return tuple(result.get("partial_unexpected_list", ()))
    (columns,) = result["partial_unexpected_index_list"] or [{}]
    return tuple(":".join(map(str, row)) for row in zip(*columns.values(), strict=True))
