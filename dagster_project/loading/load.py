"""Loading a source's files into schema `raw`: lossless, reconciled, all or nothing.

Only files that are new, changed or not wholly loaded are read. Everything a load changes is
changed in one transaction, so a killed load leaves raw as it was.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import duckdb

from dagster_project.config.source import Source
from dagster_project.errors import WinbackError
from dagster_project.loading.changes import must_read
from dagster_project.loading.days import ALL_DAYS, DayRange
from dagster_project.loading.files import PresentFile, present_files
from dagster_project.loading.ids import NO_CUSTOMER
from dagster_project.loading.lines import LineNumbers
from dagster_project.loading.load_report import files_to_decide_anew, replace_report
from dagster_project.loading.mapping import TableMapping
from dagster_project.loading.raw_tables import KnownLoad, known_loads
from dagster_project.loading.readers import ReadableFile, explained, readable_groups
from dagster_project.loading.reconcile import account_for_lines, prepare_refused
from dagster_project.loading.settle import (
    clear,
    drop_covered_days,
    settle_duplicates,
    settle_gone_files,
)
from dagster_project.loading.staging import Staged, StagedFile, session, stage, unstage
from dagster_project.loading.text_files import recoded_folder
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import identifier, literal


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
    days: DayRange = ALL_DAYS,
    full_refresh: bool = False,
) -> LoadReport:
    """Bring one raw table up to date with its files, in one transaction.

    Of transactions exactly the days of the range are replaced, or all of them where table customers
    has changed which values mean no customer. Rows of files that have gone are
    kept, with a warning; a file that went after being blocked for its rejected share leaves raw.

    Raises:
        WinbackError: a file is missing, empty, unreadable, or cannot be reconciled.
        ConfigurationError: a mapped column is absent.
    """
    report = LoadReport(name)
    if name not in source.tables:
        with _transaction(connection):
            clear(connection, name)
        return report
    declared = source.tables[name]
    present = present_files(source, paths, name)
    if not present and not known_loads(connection, name):
        raise WinbackError(
            f"{source.place('tables', name, 'files')}: no file matches "
            f"{', '.join(declared.files)}. Put files into {paths.landing}, or correct the pattern."
        )
    with session(connection, source, paths, name) as mapping, _transaction(connection):
        report.warnings += settle_gone_files(
            connection,
            name,
            {file.name: file.content_hash for file in present},
            rejected_limit=source.limits.rejected_share,
            is_refreshed=full_refresh,
        )
        known = known_loads(connection, name)
        anew = files_to_decide_anew(connection, name)
        to_read = {
            f.file: f for f in present if full_refresh or must_read(f, known) or f.name in anew
        }
        is_daily = name == "transactions"
        if anew:
            # On other days their lines would stay as they were decided before.
            days = ALL_DAYS
        load = _Load(connection, mapping, batch_id, days if is_daily else ALL_DAYS, known, report)
        for group in readable_groups(connection, to_read, declared, recoded_folder(paths)):
            load.read([(file, to_read[file.file]) for file in group])
        if is_daily:
            if full_refresh:
                drop_covered_days(connection)
            _check_not_empty(connection, source, present)
            if to_read or report.warnings:
                settle_duplicates(connection, declared, batch_id)
        (report.row_count,) = connection.execute(f"select count(*) from raw.{name}").fetchone()
    return report


@dataclass
class _Load:
    """One load of one table, group of files by group.

    The temporary tables of a group are `staged` and `read_files` (see `staging`), `refused` (see
    `reconcile`) and `rejected`, the staged records that could not be typed.
    """

    connection: duckdb.DuckDBPyConnection
    mapping: TableMapping
    batch_id: str
    days: DayRange
    known: dict[str, KnownLoad]
    report: LoadReport
    loaded_at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))

    @property
    def table(self) -> str:
        """Name of the table."""
        return self.mapping.table.name

    def read(self, group: Sequence[tuple[ReadableFile, PresentFile]]) -> None:
        """Load files with one header: stage, account, replace rows, rejected rows and loads."""
        staged = stage(self.connection, self.mapping, group)
        line_numbers = self._account(staged)
        with explained(staged.readable):
            row_count = self._replace_rows(staged)
            self._replace_rejected_rows(staged, row_count, line_numbers)
            self._replace_loads()
            replace_report(self.connection, self.mapping, self.batch_id)
        unstage(self.connection, staged)

    def _account(self, staged: Staged) -> list[LineNumbers]:
        """Account for every line of every file; return on which lines their records stand."""
        prepare_refused(self.connection)
        line_numbers = []
        for file in staged.files:
            line_numbers.append(
                account_for_lines(
                    self.connection, self.mapping.declared, file.readable, file.record_count
                )
            )
            self.report.read_files.append(file.name)
        return line_numbers

    def _replace_rows(self, staged: Staged) -> int:
        """Replace the files' rows in the raw table and, for transactions, their day counts.

        Returns how many rows there are now.
        """
        is_daily = self.table == "transactions"
        in_days = self.days.holds("ordered_on") if is_daily else "true"
        of_files = f"source_file in (select source_file from read_files) and {in_days}"
        self.connection.execute(f"delete from raw.{self.table} where {of_files}")
        wanted = f"reject_reason is null and {in_days}"
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
        return row_count

    def _replace_days(self, of_files: str) -> None:
        """Replace the counts of the days for which `of_files` (SQL) holds."""
        self.connection.execute(f"delete from raw.load_days where {of_files}")
        self.connection.execute(
            f"""
            insert into raw.load_days
            select
                source_file, ordered_on, count(*), count(*) filter (customer_id is null),
                sum(amount), coalesce(sum(amount) filter (excluded_reason is null), 0), ?
            from raw.transactions
            where loaded_at = ? and {of_files}
            group by source_file, ordered_on order by source_file, ordered_on
            """,
            [self.batch_id, self.loaded_at],
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

    def _replace_loads(self) -> None:
        """Record what raw holds of the files now."""
        self._note_partial_loads()
        of_files = "source_file in (select source_file from read_files)"
        self.connection.execute(
            f"delete from raw.loads where table_name = {literal(self.table)} and {of_files}"
        )
        rows = f"select source_file, count(*) as rows from raw.{self.table} group by all"
        if self.table == "transactions":
            rows = "select source_file, sum(row_count) as rows from raw.load_days group by all"
        counts = self.connection.execute(
            f"""
            insert into raw.loads
            with rejected as (
                select
                    source_file, count(distinct row_number) as lines,
                    count(distinct row_number) filter (reason <> {literal(NO_CUSTOMER)}) as faults
                from raw.rejected_rows
                where table_name = {literal(self.table)} group by source_file
            ),
            loaded as ({rows})
            select
                {literal(self.table)}, source_file, file_hash, load_key, line_count,
                coalesce(loaded.rows, 0), coalesce(rejected.lines, 0),
                coalesce(rejected.faults, 0) / greatest(line_count, 1), true, is_complete, ?, ?
            from read_files
            left join rejected using (source_file)
            left join loaded using (source_file)
            order by source_file
            returning rejected_count
            """,
            [self.batch_id, self.loaded_at],
        ).fetchall()
        self.report.rejected_count += sum(count for (count,) in counts)

    def _note_partial_loads(self) -> None:
        """Tell the files of which raw holds every row from those that must be read again."""
        self.connection.execute("alter table read_files add is_complete boolean default true")
        if self.days.is_open:
            return
        outside = f"not ({self.days.holds('ordered_on')})"
        in_files = self._days_of_files(
            "select source_file, ordered_on, count(*) from staged join read_files using "
            f"(file_path) where reject_reason is null and {outside} group by all"
        )
        in_raw = self._days_of_files(
            "select source_file, ordered_on, row_count from raw.load_days "
            f"semi join read_files using (source_file) where {outside}"
        )
        for file, load_key in self.connection.execute(
            "select source_file, load_key from read_files"
        ).fetchall():
            former = self.known.get(file)
            # Rows outside the range may stem from what the file held before.
            is_mixed = file in in_raw and (former is None or former.load_key != load_key)
            self.connection.execute(
                "update read_files set load_key = ?, is_complete = ? where source_file = ?",
                [
                    f"mixed {self.batch_id}" if is_mixed else load_key,
                    not is_mixed and in_files.get(file) == in_raw.get(file),
                    file,
                ],
            )

    def _days_of_files(self, query: str) -> dict[str, dict[date, int]]:
        days: dict[str, dict[date, int]] = defaultdict(dict)
        for file, day, row_count in self.connection.execute(query).fetchall():
            days[file][day] = row_count
        return days


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _check_not_empty(
    connection: duckdb.DuckDBPyConnection, source: Source, present: list[PresentFile]
) -> None:
    (line_count,) = connection.execute(
        "select coalesce(sum(line_count), 0) from raw.loads where table_name = 'transactions'"
    ).fetchone()
    if not line_count:
        names = ", ".join(file.name for file in present)
        raise WinbackError(
            f"{source.place('tables', 'transactions', 'files')}: {names} holds no line of data. "
            "Deliver the file again; nothing was changed."
        )
