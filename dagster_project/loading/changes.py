"""How a source's files differ from what raw holds: which must be read, which days they touch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from dagster_project.config import canonical
from dagster_project.config.source import Source
from dagster_project.loading.files import PresentFile, SourceFile, present_files
from dagster_project.loading.load_report import files_to_decide_anew
from dagster_project.loading.raw_tables import KnownLoad, known_loads
from dagster_project.loading.readers import explained, readable_groups
from dagster_project.loading.staging import rows_sql, session
from dagster_project.loading.text_files import recoded_folder
from dagster_project.paths import SourcePaths


@dataclass(frozen=True)
class Changes:
    """How the files differ from what raw holds.

    `transactions` are those to read (new or changed) of `present_count`;
    `any` tells whether a load would change any table.
    """

    transactions: list[SourceFile]
    present_count: int
    any: bool


def changed_files(
    connection: duckdb.DuckDBPyConnection, source: Source, paths: SourcePaths
) -> Changes:
    """Compare the source's files with what raw holds."""
    transactions: list[SourceFile] = []
    present_count = 0
    is_changed = False
    for name in canonical.TABLES:
        present = present_files(source, paths, name) if name in source.tables else []
        known = known_loads(connection, name)
        changed = [file.file for file in files_to_read(connection, name, present)]
        names = {file.name for file in present}
        has_gone = any(load.is_present for file, load in known.items() if file not in names)
        is_changed = is_changed or bool(changed) or has_gone
        if name == "transactions":
            transactions, present_count = changed, len(present)
    return Changes(transactions, present_count, is_changed)


def days_in(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    paths: SourcePaths,
    files: Sequence[SourceFile],
) -> tuple[date, date] | None:
    """Return the first and last business date in files of transactions, null if there is none."""
    declared = source.tables["transactions"]
    spans = []
    with session(connection, source, paths, "transactions") as mapping:
        for group in readable_groups(connection, files, declared, recoded_folder(paths)):
            if not group[0].line_count:
                continue
            rows = rows_sql(connection, mapping, group)
            with explained(group):
                spans += connection.execute(
                    f"select min(ordered_on), max(ordered_on) from ({rows}) "
                    "where reject_reason is null having count(*) > 0"
                ).fetchall()
    if not spans:
        return None
    firsts, lasts = zip(*spans, strict=True)
    return min(firsts), max(lasts)


def files_to_read(
    connection: duckdb.DuckDBPyConnection, table: str, present: Sequence[PresentFile]
) -> list[PresentFile]:
    """Return the files that are new, changed or mapped otherwise, or are to be decided anew."""
    known = known_loads(connection, table)
    anew = files_to_decide_anew(connection, table)
    return [file for file in present if file.name in anew or _is_new(file, known)]


def _is_new(file: PresentFile, known: Mapping[str, KnownLoad]) -> bool:
    load = known.get(file.name)
    return load is None or load.load_key != file.load_key
