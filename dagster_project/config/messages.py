"""Words that messages about a configuration share."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from pydantic_core import ErrorDetails

from dagster_project.paths import PROJECT_DIR


def shown_path(path: Path) -> Path:
    """Return how messages name a file: those of the project from its folder on."""
    return path.relative_to(PROJECT_DIR) if path.is_relative_to(PROJECT_DIR) else path


def unknown(name: str, known: Iterable[str]) -> str:
    """Return that a name is not known, with the nearest that is, else with all that are."""
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known) or 'none'}"
    return f"unknown name {name!r}; {hint}"


def problem_text(problem: ErrorDetails) -> str:
    """Return one of pydantic's errors in the words of this program."""
    if problem["type"] == "missing":
        return "is missing; add it"
    text = problem["msg"].removeprefix("Value error, ")
    text = text[0].lower() + text[1:] if text.startswith("Input should") else text
    return text.replace("input should be", "should be")
