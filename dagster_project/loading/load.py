"""Loading a source's files into schema `raw`: lossless, reconciled, all or nothing.

Only files that are new or have changed are read, and whole. Everything a load changes is
changed in one transaction, so a killed load leaves raw as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb

from dagster_project.config.source import Source
from dagster_project.errors import WinbackError
from dagster_project.loading.changes import files_to_read
from dagster_project.loading.files import PresentFile, present_files
from dagster_project.loading.ids import NO_CUSTOMER
from dagster_project.loading.lines import LineNumbers
from dagster_project.loading.load_report import replace_report
from dagster_project.loading.mapping import TableMapping
from dagster_project.loading.pseudonyms import key_for, note_key
from dagster_project.loading.raw_tables import (
    CUSTOMERLESS_ROWS,
    USED_AMOUNT,
    USED_ROWS,
    known_loads,
)
from dagster_project.loading.readers import ReadableFile, explained, readable_groups
from dagster_project.loading.reconcile import (
    Account,
    account_for_lines,
    note_doubtful,
    prepare_refused,
    read_spans,
    set_doubts_apart,
    walk,
)
from dagster_project.loading.repeated_lines import settle_repeated_lines
from dagster_project.loading.rules import EXCLUDED
from dagster_project.loading.settle import (
    clear,
    drop_covered_days,
    settle_duplicates,
    settle_gone_files,
)
from dagster_project.loading.staging import Staged, StagedFile, session, stage, unstage
from dagster_project.loading.text_files import recoded_folder
from dagster_project.paths import SourcePaths
from dagster_project.shown import shown
from dagster_project.warehouse import identifier, literal, transaction


@dataclass
class LoadReport:
    """What a load did, for logs and metadata: counts and file names, no values."""

    table: str
    row_count: int = 0
    read_files: list[str] = field(default_factory=list)
    rejected_count: int = 0
    warnings: list[str] = field(default_factory=list)


def load_table(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    paths: SourcePaths,
    name: str,
    *,
    batch_id: str,
    full_refresh: bool = False,
) -> LoadReport:
    """Bring one raw table up to date with its files, in one transaction.

    A file that is new or has changed is loaded whole, so that raw never holds a part of it. Rows of
    files that have gone are kept, with a warning; a file that went after being blocked for its
    rejected share leaves raw.

    Raises:
        WinbackError: a file is missing, empty, unreadable, or cannot be reconciled.
        ConfigurationError: a mapped column is absent.
    """
    report = LoadReport(name)
    if name not in source.tables:
        with transaction(connection):
            clear(connection, name)
        return report
    declared = source.tables[name]
    present = present_files(source, paths, name)
    if not present and not known_loads(connection, name):
        raise WinbackError(
            f"{source.place('tables', name, 'files')}: no file matches "
            f"{', '.join(declared.files)}. Put files into {paths.landing}, or correct the pattern."
        )
    key = key_for(connection, paths, source.pseudonymise_ids)
    with session(connection, source, paths, name, key=key) as mapping, transaction(connection):
        report.warnings += settle_gone_files(
            connection,
            name,
            {file.name: file.content_hash for file in present},
            rejected_limit=source.limits.maximum_rejected_share,
            is_refreshed=full_refresh,
        )
        wanted = present if full_refresh else files_to_read(connection, name, present)
        to_read = {file.file: file for file in wanted}
        load = _Load(connection, mapping, paths, batch_id, report)
        for group in readable_groups(connection, to_read, declared, recoded_folder(paths)):
            load.read([(file, to_read[file.file]) for file in group])
        if name == "transactions":
            if full_refresh:
                drop_covered_days(connection)
            _check_not_empty(connection, source, present)
            if to_read or report.warnings:
                settle_duplicates(connection, declared, batch_id)
            settle_repeated_lines(connection, declared)
        note_key(connection, key)
        (report.row_count,) = connection.execute(f"select count(*) from raw.{name}").fetchone()
        report.warnings = [shown(warning) for warning in report.warnings]
    return report


@dataclass
class _Load:
    """One load of one table, group of files by group.

    The temporary tables of a group are `staged` and `read_files` (see `staging`), `refused` (see
    `reconcile`) and `rejected`, the staged records that could not be typed.
    """

    connection: duckdb.DuckDBPyConnection
    mapping: TableMapping
    paths: SourcePaths
    batch_id: str
    report: LoadReport
    loaded_at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))

    @property
    def table(self) -> str:
        """Name of the table."""
        return self.mapping.table.name

    def read(self, group: Sequence[tuple[ReadableFile, PresentFile]]) -> None:
        """Load files with one header: stage, account, replace rows, rejected rows and loads."""
        staged, accounts = self._stage(group)
        with explained(staged.readable):
            row_count = self._replace_rows(staged)
            self._replace_rejected_rows(staged, row_count, [one.numbers for one in accounts])
            self._replace_loads(staged, accounts)
            replace_report(self.connection, self.mapping, self.batch_id)
        unstage(self.connection, staged)

    def _stage(
        self, group: Sequence[tuple[ReadableFile, PresentFile]]
    ) -> tuple[Staged, list[Account]]:
        """Stage files, without lines that are in doubt or too long; account for every line."""
        connection, mapping = self.connection, self.mapping
        staged = None
        prepare_refused(connection)
        if any(file.has_long_line for file, _ in group):
            spanned = [walk(mapping, file) for file, _ in group]
        else:
            staged = stage(connection, mapping, group)
            spanned = [
                read_spans(connection, mapping, file.readable, file.record_count)
                for file in staged.files
            ]
        if staged is None or any(one and one.doubts for one in spanned):
            if staged:
                unstage(connection, staged)
            scratch = recoded_folder(self.paths)
            group = [
                (set_doubts_apart(connection, mapping, file, one, scratch), present)
                for (file, present), one in zip(group, spanned, strict=True)
            ]
            staged = stage(connection, mapping, group)
            prepare_refused(connection)
            for file, _ in group:
                note_doubtful(connection, file)
        self.report.read_files += [file.name for file in staged.files]
        self.report.warnings += [file.emptiness for file in staged.readable if file.emptiness]
        return staged, [
            account_for_lines(connection, mapping, file.readable, file.record_count, one)
            for file, one in zip(staged.files, spanned, strict=True)
        ]

    def _replace_rows(self, staged: Staged) -> int:
        """Replace the files' rows in the raw table and, for transactions, their day counts.

        Returns how many rows there are now.
        """
        is_daily = self.table == "transactions"
        of_files = "source_file in (select source_file from read_files)"
        self.connection.execute(f"delete from raw.{self.table} where {of_files}")
        wanted = "reject_reason is null"
        if self.mapping.declared.unpivot:
            # Of an unpivoted row only the attributes that have a value are kept.
            wanted += " and value is not null"
        names = [identifier(column.name) for column in self.mapping.table.columns]
        names += ["amount_original"] if is_daily else []
        (row_count,) = self.connection.execute(
            f"""
            insert into raw.{self.table} (
                {", ".join(names)}, source_file, source_row, batch_id, loaded_at
            )
            select {", ".join(names)}, source_file, {staged.record} - first_record + 1, ?, ?
            from staged join read_files using (file_path)
            where {wanted}
            """,
            [self.batch_id, self.loaded_at],
        ).fetchone()
        if is_daily:
            self._replace_days(of_files)
            self._replace_versions(staged, of_files, wanted)
        return row_count

    def _replace_days(self, of_files: str) -> None:
        """Replace the counts of the days for which `of_files` (SQL) holds."""
        self.connection.execute(f"delete from raw.load_days where {of_files}")
        self.connection.execute(
            f"""
            insert into raw.load_days
            select
                source_file, ordered_on, count(*), {CUSTOMERLESS_ROWS}, sum(amount),
                {USED_AMOUNT}, ?, {USED_ROWS}
            from raw.transactions
            where loaded_at = ? and {of_files}
            group by source_file, ordered_on order by source_file, ordered_on
            """,
            [self.batch_id, self.loaded_at],
        )

    def _replace_versions(self, staged: Staged, of_files: str, wanted: str) -> None:
        """Replace what `version_by` says of the files' rows, if the source declares it."""
        self.connection.execute(f"delete from raw.line_versions where {of_files}")
        if self.mapping.declared.version_by:
            self.connection.execute(
                f"""
                insert into raw.line_versions
                select source_file, {staged.record} - first_record + 1, ordered_on, version
                from staged join read_files using (file_path)
                where {wanted}
                """
            )

    def _replace_rejected_rows(
        self, staged: Staged, row_count: int, line_numbers: Sequence[LineNumbers]
    ) -> None:
        """Replace the files' rows in `raw.rejected_rows`; `row_count` is how many were loaded."""
        # Where every record has become a row, none is left to be read again and rejected.
        is_clean = staged.is_streamed and row_count == staged.line_count
        self.connection.execute(
            f"""
            create or replace temp table rejected as
            select file_path, {staged.record} as record, reject_reason, original_text
            from staged
            where reject_reason is not null and {not is_clean}
            """
        )
        for file, numbers in zip(staged.files, line_numbers, strict=True):
            self._replace_rejected_rows_of(file, numbers)

    def _replace_rejected_rows_of(self, file: StagedFile, numbers: LineNumbers) -> None:
        """Put a file's records that could not be typed and its refused lines in their place."""
        self.connection.execute(
            "delete from raw.rejected_rows where table_name = ? and source_file = ?",
            [self.table, file.name],
        )
        self.connection.execute(
            f"""
            insert into raw.rejected_rows
            with records as (
                select
                    record - {file.first_record} + 1 as record, min(reject_reason) as reason,
                    any_value(original_text) as original_text
                from rejected
                where file_path = {literal(file.path)}
                group by all
            ),
            shifts as (select unnest(?::bigint[]) as from_record, unnest(?::bigint[]) as shift),
            lines as (
                select record + shift as line, reason, original_text
                from records asof join shifts on record >= from_record
                union all
                select line, reason, original_text from refused
                where file_path = {literal(file.path)}
            )
            select {literal(self.table)}, {literal(file.name)}, ?, *, ?, ?
            from lines order by line
            """,
            [
                numbers.from_record,
                numbers.shift,
                file.present.content_hash,
                self.batch_id,
                self.loaded_at,
            ],
        )

    def _replace_loads(self, staged: Staged, accounts: Sequence[Account]) -> None:
        """Record what raw holds of the files now, and what became of their lines."""
        for file, account in zip(staged.files, accounts, strict=True):
            self.connection.execute(
                "update read_files set break_count = ?, blank_count = ? where source_file = ?",
                [account.break_count, account.blank_count, file.name],
            )
        of_files = "source_file in (select source_file from read_files)"
        of_files = f"table_name = {literal(self.table)} and {of_files}"
        self.connection.execute(
            "create or replace temp table former as "
            f"select source_file, file_hash, delivered_at from raw.loads where {of_files}"
        )
        self.connection.execute(f"delete from raw.loads where {of_files}")
        rows = f"select source_file, count(*) as rows from raw.{self.table} group by all"
        if self.table == "transactions":
            rows = "select source_file, sum(row_count) as rows from raw.load_days group by all"
        counts = self.connection.execute(
            f"""
            insert into raw.loads by name
            with rejected as (
                select
                    source_file, count(distinct row_number) as lines,
                    count(distinct row_number) filter (
                        reason <> {literal(NO_CUSTOMER)}
                        and not starts_with(reason, {literal(EXCLUDED)})
                    ) as judged_lines
                from raw.rejected_rows
                where table_name = {literal(self.table)} group by source_file
            ),
            loaded as ({rows}),
            unpivoted as ({self._unpivoted_records(staged)})
            select
                {literal(self.table)} as table_name, source_file, file_hash, load_key, line_count,
                coalesce(loaded.rows, 0) as row_count,
                coalesce(rejected.lines, 0) as rejected_count,
                coalesce(rejected.judged_lines, 0) / greatest(line_count, 1) as rejected_share,
                true as is_present, ? as batch_id, ? as loaded_at,
                coalesce(unpivoted.records, row_count) as record_count,
                coalesce(unpivoted.empty_records, 0) as empty_count,
                break_count, blank_count, coalesce(delivered_at, loaded_at) as delivered_at
            from read_files
            left join former using (source_file, file_hash)
            left join unpivoted using (file_path)
            left join rejected using (source_file)
            left join loaded using (source_file)
            order by source_file
            returning rejected_count
            """,
            [self.batch_id, self.loaded_at],
        ).fetchall()
        self.report.rejected_count += sum(count for (count,) in counts)

    def _unpivoted_records(self, staged: Staged) -> str:
        """Return SQL for how many records of unpivoted files have rows in raw, and how many none.

        Elsewhere a record is a row.
        """
        if not self.mapping.declared.unpivot:
            return (
                "select null::varchar as file_path, null::bigint as records, "
                "null::bigint as empty_records where false"
            )
        return f"""
            select
                file_path, count(*) filter (has_value) as records,
                count(*) filter (not has_value) as empty_records
            from (
                select
                    file_path, {staged.record}, bool_and(reject_reason is null) as is_typed,
                    bool_or(value is not null) as has_value
                from staged group by all
            )
            where is_typed
            group by file_path
        """


def _check_not_empty(
    connection: duckdb.DuckDBPyConnection, source: Source, present: list[PresentFile]
) -> None:
    (line_count,) = connection.execute(
        "select coalesce(sum(line_count), 0) from raw.loads where table_name = 'transactions'"
    ).fetchone()
    if not line_count:
        names = ", ".join(file.name for file in present)
        holds, again = ("holds", "the file") if len(present) == 1 else ("hold", "the files")
        raise WinbackError(
            f"{source.place('tables', 'transactions', 'files')}: {names} {holds} no line of "
            f"data. Deliver {again} again; nothing was changed."
        )
