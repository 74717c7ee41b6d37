"""The thresholds that a release found in the data, for definitions that are estimated."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.config.churn import Definition
from dagster_project.errors import WinbackError


@dataclass(frozen=True)
class Estimate:
    """The thresholds that a release found in the data for a definition without fixed days."""

    as_of: str
    first_time_lost_days: int | None
    repeat_lost_days: int | None
    note: str | None


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
    if row is None:
        return None
    # Manifests before 3.0 call it otherwise.
    return Estimate(manifest.get("as_of_date") or manifest["as_of"], *row)


def _without_words(versions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in version.items() if not key.startswith("description")}
        for version in versions
    ]
