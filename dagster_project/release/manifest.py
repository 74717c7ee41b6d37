"""The manifest: what stands beside a release's tables for people and programs to read."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.files import file_hash
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import RELEASE_FILE, Candidate

SCHEMA_VERSION = "3.0"
COMPATIBILITY = (
    "The minor number rises when tables or columns are added, the major number when anything is "
    "removed, renamed or changes its type or meaning. A reader of 3.0 can read every 3.x."
)
MANIFEST = "manifest.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def manifest(
    folder: Path,
    candidate: Candidate,
    tables: Sequence[Mapping[str, Any]],
    published_at: datetime,
    *,
    made_current: bool,
    switches: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the manifest of a candidate whose files are complete.

    Args:
        folder: Folder of the candidate.
        candidate: What was built.
        tables: Its tables as `describe_tables` gives them.
        published_at: When it passed its gates (UTC).
        made_current: Whether readers shall see it.
        switches: What readers saw before it, as the state has it: a state that is lost is put
            together from the manifests.
    """
    identity = candidate.identity
    files = [folder / RELEASE_FILE, *sorted((folder / "parquet").iterdir())]
    content = {
        "schema_version": SCHEMA_VERSION,
        "compatibility": COMPATIBILITY,
        "release_id": identity.release_id,
        "source": identity.source,
        "as_of_date": identity.as_of.isoformat(),
        "built_at": f"{candidate.built_at.isoformat()}Z",
        "published_at": f"{published_at.isoformat()}Z",
        "made_current": made_current,
        "code_version": identity.code.text,
        "fingerprint": identity.fingerprint,
        "input_fingerprint": identity.input_fingerprint,
        "settings_fingerprint": identity.settings_fingerprint,
        # Tells which key the pseudonyms were made with, and nothing else of it.
        "pseudonym_key": candidate.pseudonym_key,
        "currency": candidate.currency,
        "settings": candidate.settings,
        "feed": candidate.feed,
        "churn_backtest": candidate.churn_backtest,
        "inputs": candidate.inputs,
        "lines_by_day": candidate.lines_by_day,
        "first_days": candidate.first_days,
        "tables": tables,
        "files": {
            file.relative_to(folder).as_posix(): {
                "sha256": file_hash(file),
                "bytes": file.stat().st_size,
                "modified_at": modified_at(file),
            }
            for file in files
        },
        "switches": [
            {**switch, "switched_at": f"{switch['switched_at'].isoformat()}Z"}
            for switch in switches
        ],
    }
    return content | {"manifest_sha256": manifest_checksum(content)}


def manifest_checksum(content: Mapping[str, Any]) -> str:
    """Return the hash of all that a manifest says, whatever its blanks and the order of its keys.

    Its files are checked by what stands in it, so it needs a check of its own.
    """
    said = {name: value for name, value in content.items() if name != "manifest_sha256"}
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(release: Path) -> dict[str, Any]:
    """Return the manifest of the release in a folder.

    Raises:
        OSError: It is not there or cannot be read.
        ValueError: It is not JSON.
    """
    try:
        return json.loads((release / MANIFEST).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def current_manifest(paths: SourcePaths) -> dict[str, Any] | None:
    """Return the manifest of the release that readers have; none where there is no such release.

    A run has mended what it can before it asks: one that cannot be read now is a loud fault.
    """
    return read_manifest(paths.current) if paths.current.exists() else None


def moment(text: str) -> datetime:
    """Return a moment that a manifest names, as the tables keep it: UTC, without a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=None)


def modified_at(file: Path) -> str:
    """Return a file's time of change as manifests have it, to the microsecond."""
    microseconds = file.stat().st_mtime_ns // 1_000
    return f"{(_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None).isoformat()}Z"


def set_modified_at(file: Path, text: str) -> None:
    """Give a file the time of change that its manifest names."""
    microseconds = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    os.utime(file, ns=(file.stat().st_atime_ns, microseconds * 1_000))


def churn_backtest(connection: duckdb.DuckDBPyConnection, schema: str) -> list[dict[str, Any]]:
    """Return how the churn definition in force fared in the back-test, one entry a horizon.

    Args:
        connection: A warehouse or a release.
        schema: The schema that holds `churn_definition_summary`.

    Returns:
        Entries by horizon in days; none while the history is too short for a back-test. Rates are
        null where nothing can be divided by; `best_definition_id` is null if none qualifies.
    """
    cursor = connection.execute(
        f"""
        select
            active.horizon_days, active.cutoff_count, active.false_lost_rate, active.missed_rate,
            best.definition_id as best_definition_id, active.is_worse_than_best
        from {schema}.churn_definition_summary as active
        left join {schema}.churn_definition_summary as best
            on active.horizon_days = best.horizon_days and best.is_best
        where active.is_active
        order by active.horizon_days
        """
    )
    names = [column[0] for column in cursor.description]
    return [
        {
            name: float(value) if name.endswith("_rate") and value is not None else value
            for name, value in zip(names, row, strict=True)
        }
        for row in cursor.fetchall()
    ]
