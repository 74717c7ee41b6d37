"""Loading a source's files into schema `raw`: lossless, reconciled, all or nothing.

Only files that are new, changed or not wholly loaded are read. Everything a load changes is
changed in one transaction, so a killed load leaves raw as it was.
"""

import hashlib
import json
import re
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from dagster_project.config import canonical
from dagster_project.config.sources import FromLookup, Source, TableSource
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.files import write_text
from dagster_project.loading import raw_tables, readers
from dagster_project.loading.lines import LineNumbers, number_lines
from dagster_project.loading.mapping import (
    TableMapping,
    columns_of,
    lookup_column,
    lookup_key,
    lookup_table,
)
from dagster_project.loading.raw_tables import KnownLoad, LoadReport, is_prepared, prepare_raw
from dagster_project.loading.readers import ReadableFile, SourceFile
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import identifier, literal

__all__ = [
    "ALL_DAYS",
    "Changes",
    "DayRange",
    "LoadReport",
    "changed_files",
    "days_in",
    "is_prepared",
    "load_table",
    "prepare_raw",
]

# Raise it when the meaning of raw changes, so that unchanged files are read again.
LOADER_VERSION = 2
# Files of one header are read together up to this many bytes, which bounds the staging table.
BATCH_BYTES = 2 << 30
# More line breaks inside one value than any comment field has: a quote was left open.
MAXIMUM_LINE_BREAKS = 50
BREAKS = "chr(10) || chr(13)"
# The reader's own words differ from version to version, and quote the line.
REFUSALS = {
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "INVALID ENCODING": "not UTF-8 text; declare the file's `encoding`",
    "UNQUOTED VALUE": "a quote is not closed, or stands inside a value",
    "LINE SIZE OVER MAXIMUM": "the line is longer than 2 MB",
}
OTHER_REFUSAL = "the line cannot be split into fields"


@dataclass(frozen=True)
class DayRange:
    """Business days to replace, both ends included; a null end is open."""

    first: date | None = None
    last: date | None = None

    def holds(self, column: str) -> str:
        """Return SQL telling whether a date column lies in the range."""
        tests = []
        if self.first:
            tests.append(f"{column} >= date '{self.first}'")
        if self.last:
            tests.append(f"{column} <= date '{self.last}'")
        return " and ".join(tests) or "true"

    @property
    def is_open(self) -> bool:
        """Whether the range holds every day there is."""
        return self.first is None and self.last is None


ALL_DAYS = DayRange()


@dataclass(frozen=True)
class Changes:
    """How the files differ from what raw holds.

    `transactions` are those to read (new, changed or not wholly loaded) of `present_count`;
    `any` tells whether a load would change any table.
    """

    transactions: list[SourceFile]
    present_count: int
    any: bool


@dataclass(frozen=True)
class _File:
    """A present file with the hash of its content and the key of what a load makes of it."""

    file: SourceFile
    content_hash: str
    load_key: str

    @property
    def name(self) -> str:
        return self.file.name


@dataclass(frozen=True)
class _Measure:
    """Records of a file in the staging table: how many, and the number of the first."""

    record_count: int = 0
    first_record: int = 1


def changed_files(
    connection: duckdb.DuckDBPyConnection, source: Source, paths: SourcePaths
) -> Changes:
    """Compare the source's files with what raw holds."""
    transactions: list[SourceFile] = []
    present_count = 0
    is_changed = False
    for name in canonical.TABLES:
        present = _present_files(source, paths, name) if name in source.tables else []
        known = raw_tables.known_loads(connection, name)
        changed = [file.file for file in present if _must_read(file, known)]
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
    with _session(connection, source, paths, "transactions") as mapping:
        for group in _readable_groups(connection, files, declared, paths):
            if not group[0].line_count:
                continue
            rows = _rows_sql(connection, mapping, group)
            with _explained(group):
                spans += connection.execute(
                    f"select min(ordered_on), max(ordered_on) from ({rows}) "
                    "where reject_reason is null having count(*) > 0"
                ).fetchall()
    if not spans:
        return None
    firsts, lasts = zip(*spans, strict=True)
    return min(firsts), max(lasts)


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

    Of transactions exactly the days of the range are replaced. Rows of files that have gone are
    kept, with a warning; a file that went after being blocked for its rejected share leaves raw.

    Raises:
        WinbackError: a file is missing, empty, unreadable, or cannot be reconciled.
        ConfigurationError: a mapped column is absent.
    """
    report = LoadReport(name)
    if name not in source.tables:
        with _transaction(connection):
            raw_tables.clear(connection, name)
        return report
    declared = source.tables[name]
    present = _present_files(source, paths, name)
    if not present and not raw_tables.known_loads(connection, name):
        raise WinbackError(
            f"{source.place('tables', name, 'files')}: no file matches "
            f"{', '.join(declared.files)}. Put files into {paths.landing}, or correct the pattern."
        )
    with _session(connection, source, paths, name) as mapping, _transaction(connection):
        raw_tables.settle_gone_files(
            connection,
            name,
            {file.name: file.content_hash for file in present},
            rejected_limit=source.limits.rejected_share,
            is_refreshed=full_refresh,
            report=report,
        )
        known = raw_tables.known_loads(connection, name)
        to_read = {f.file: f for f in present if full_refresh or _must_read(f, known)}
        is_daily = name == "transactions"
        load = _Load(connection, mapping, batch_id, days if is_daily else ALL_DAYS, known, report)
        for group in _readable_groups(connection, to_read, declared, paths):
            load.read([(file, to_read[file.file]) for file in group])
        if is_daily:
            if full_refresh:
                raw_tables.drop_covered_days(connection)
            _check_not_empty(connection, source, present)
            if to_read or report.warnings:
                raw_tables.settle_duplicates(connection, declared, batch_id)
        (report.row_count,) = connection.execute(f"select count(*) from raw.{name}").fetchone()
    return report


@dataclass
class _Load:
    """One load of one table: stages each group of files, reconciles it and replaces its rows."""

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

    def read(self, group: list[tuple[ReadableFile, _File]]) -> None:
        """Load files with one header."""
        readable = [file for file, _ in group]
        is_streamed = self._is_streamed(readable[0])
        self._stage(readable, "view" if is_streamed else "table")
        measures = {} if is_streamed else self._measures(readable)
        self.connection.execute(
            "create or replace temp table read_files (file_path varchar, source_file varchar, "
            "file_hash varchar, load_key varchar, line_count bigint, first_record bigint)"
        )
        self.connection.execute(
            "create or replace temp table refused (file_path varchar, line bigint, "
            "reason varchar, original_text varchar, break_count bigint)"
        )
        accounts = []
        for file, given in group:
            measure = measures.get(str(file.path), _Measure(file.line_count if is_streamed else 0))
            self.connection.execute(
                "insert into read_files values (?, ?, ?, ?, ?, ?)",
                [
                    str(file.path),
                    file.file.name,
                    given.content_hash,
                    given.load_key,
                    file.line_count,
                    measure.first_record,
                ],
            )
            self._find_refused_lines(file)
            accounts.append((file, given, measure, self._reconcile(file, measure)))
            self.report.read_files.append(file.file.name)
        with _explained(readable):
            row_count = self._replace_rows(self._record(readable[0]))
            # Where every record has become a row, none is left to be read again and rejected.
            is_clean = is_streamed and row_count == sum(file.line_count for file in readable)
            self._collect_rejected(self._record(readable[0]), is_clean)
            for account in accounts:
                self._replace_rejected_rows(*account)
            self._replace_loads()
        self.connection.execute(f"drop {'view' if is_streamed else 'table'} staged")

    def _is_streamed(self, file: ReadableFile) -> bool:
        """Whether records go straight into raw: they can be read again and are numbered."""
        return (
            file.format == "parquet" and file.line_count > 0 and not self.mapping.declared.unpivot
        )

    def _stage(self, group: list[ReadableFile], kind: str) -> None:
        """Type the records: into a table that holds them in the order of the files, or a view."""
        if group[0].line_count:
            select = _rows_sql(self.connection, self.mapping, group)
        else:
            _drop_reader_tables(self.connection)
            select = self.mapping.select_nothing()
        with _explained(group):
            self.connection.execute(f"create temp {kind} staged as {select}")

    def _record(self, file: ReadableFile) -> str:
        """Return SQL for the number of a staged record; see `records_sql`."""
        is_numbered = file.format == "parquet" or self.mapping.declared.unpivot
        # Reading in parallel keeps the order, so the place in the table is the number.
        return "record_number" if is_numbered else "staged.rowid"

    def _measures(self, group: list[ReadableFile]) -> dict[str, _Measure]:
        record = self._record(group[0])
        # An unpivoted record has several rows.
        count = f"distinct {record}" if self.mapping.declared.unpivot else "*"
        rows = self.connection.execute(
            f"select file_path, count({count}), min({record}), max({record}) from staged "
            "group by file_path"
        ).fetchall()
        is_parquet = group[0].format == "parquet"
        for path, count, first, last in rows:
            if not is_parquet and last - first + 1 != count:
                raise WinbackError(f"{Path(path).name}: its rows came out of order; run again.")
        return {path: _Measure(n, 1 if is_parquet else first) for path, n, first, _ in rows}

    def _find_refused_lines(self, file: ReadableFile) -> None:
        """Note the lines that the reader made no record of, with their place in the file.

        The reader counts records, so their lines follow from their byte positions.
        """
        if file.format == "parquet" or not file.line_count:
            return
        reasons = " ".join(f"when {literal(k)} then {literal(r)}" for k, r in REFUSALS.items())
        found = f"""
            select
                line_byte_position - 1 + length(csv_line) - length(ltrim(csv_line, {BREAKS}))
                    as position,
                min_by(error_type::varchar, column_idx) as error_type,
                any_value(trim(csv_line, {BREAKS})) as original_text
            from rejects join rejects_scan using (scan_id, file_id)
            where file_path = {literal(file.path)}
            group by all
        """
        positions = self.connection.execute(
            f"select distinct position from ({found}) order by position"
        ).fetchall()
        if not positions:
            return
        sorted_positions = [position for (position,) in positions]
        self.connection.execute(
            f"""
            insert into refused
            select
                {literal(file.path)}, line,
                case min(error_type) {reasons} else {literal(OTHER_REFUSAL)} end,
                any_value(original_text),
                any_value(length(original_text) - length(replace(original_text, chr(10), '')))
            from ({found})
            join (select unnest(?::bigint[]) as position, unnest(?::bigint[]) as line)
                using (position)
            group by line
            """,
            [sorted_positions, list(readers.lines_at(file.path, sorted_positions))],
        )
        rows = self.connection.execute(
            "select line from refused where file_path = ? and reason = ? order by line",
            [str(file.path), REFUSALS["INVALID ENCODING"]],
        ).fetchall()
        if rows:
            lines = [line for (line,) in rows]
            self.connection.execute(
                "update refused set original_text = given.text from "
                "(select unnest(?::bigint[]) as line, unnest(?::varchar[]) as text) as given "
                "where refused.line = given.line and refused.file_path = ?",
                [lines, readers.lines_of(file.path, lines), str(file.path)],
            )

    def _reconcile(self, file: ReadableFile, measure: _Measure) -> LineNumbers:
        """Account for every line of a file, or fail it: nothing may be swallowed."""
        rows = self.connection.execute(
            "select line, break_count, reason from refused where file_path = ? order by line",
            [str(file.path)],
        ).fetchall()
        refused = [line + n for line, breaks, _ in rows for n in range(breaks + 1)]
        swallowing = [line for line, breaks, reason in rows if breaks and "quote" in reason]
        header_lines = int(file.format == "csv" and self.mapping.declared.header)
        if measure.record_count + len(refused) == file.line_count and not swallowing:
            return number_lines(header_lines, [], refused)
        breaks = self._line_breaks(file)
        largest = max((count for _, count in breaks), default=0)
        blank = readers.blank_lines(file, self.mapping.declared)
        numbers = number_lines(header_lines, breaks, [*refused, *blank])
        accounted = measure.record_count + sum(n for _, n in breaks) + numbers.other_count
        if accounted == file.line_count and largest <= MAXIMUM_LINE_BREAKS and not swallowing:
            return numbers
        near = [numbers.line_of(record) for record, count in breaks if count == largest]
        place = f" in line {min([*swallowing, *near])}" if swallowing or near else ""
        raise WinbackError(
            f"{file.file.name}: its {file.line_count} lines cannot all be accounted for. Most "
            f"likely a stray quote{place} swallows the lines after it. Remove or double that "
            'quote, or declare `quote: ""` if the file quotes nothing.'
        )

    def _line_breaks(self, file: ReadableFile) -> list[tuple[int, int]]:
        """Return (record, line breaks in its values) of the records that have some."""
        declared = self.mapping.declared
        if file.format != "csv" or not declared.quote or readers.holds_lines(file, declared):
            return []
        records = readers.records_sql([file], declared, "second_rejects", numbered=True)
        counts = " + ".join(
            f"coalesce(length(c{i}) - length(replace(c{i}, chr(10), '')), 0)"
            for i in range(len(file.header))
        )
        _drop_reader_tables(self.connection, "second_rejects")
        return self.connection.execute(
            f"select record_number, {counts} as break_count from ({records}) "
            "where break_count > 0 order by record_number"
        ).fetchall()

    def _collect_rejected(self, record: str, is_clean: bool) -> None:
        """Collect the records that could not be typed; `record` is as for `_replace_rows`."""
        self.connection.execute(
            f"""
            create or replace temp table rejected as
            select file_path, {record} as record, reject_reason, original_text
            from staged
            where reject_reason is not null and {not is_clean}
            """
        )

    def _replace_rejected_rows(
        self,
        file: ReadableFile,
        given: _File,
        measure: _Measure,
        numbers: LineNumbers,
    ) -> None:
        """Replace the file's rows in `raw.rejected_rows`."""
        self.connection.execute(
            "delete from raw.rejected_rows where table_name = ? and source_file = ?",
            [self.table, file.file.name],
        )
        self.connection.execute(
            f"""
            insert into raw.rejected_rows
            with records as (
                select
                    record - {measure.first_record} + 1 as record, min(reject_reason) as reason,
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
            select {literal(self.table)}, {literal(file.file.name)}, ?, *, ?, ?
            from lines order by line
            """,
            [
                numbers.from_record,
                numbers.shift,
                given.content_hash,
                self.batch_id,
                self.loaded_at,
            ],
        )

    def _replace_rows(self, record: str) -> int:
        """Replace the files' rows in the raw table and, for transactions, their day counts.

        `record` is SQL for the number of a staged record. Returns how many rows there are now.
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
            select {", ".join(names)}, source_file, {record} - first_record + 1, ?, ?
            from staged join read_files using (file_path)
            where {wanted}
            """,
            [self.batch_id, self.loaded_at],
        ).fetchone()
        if is_daily:
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
        return row_count

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
                select source_file, count(distinct row_number) as lines from raw.rejected_rows
                where table_name = {literal(self.table)} group by source_file
            ),
            loaded as ({rows})
            select
                {literal(self.table)}, source_file, file_hash, load_key, line_count,
                coalesce(loaded.rows, 0), coalesce(rejected.lines, 0),
                coalesce(rejected.lines, 0) / greatest(line_count, 1), true, is_complete, ?, ?
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


def pseudonym_key(paths: SourcePaths) -> str:
    """Return the source's secret key, made once; it is state, for new keys mean new ids."""
    if not paths.pseudonym_key.is_file():
        write_text(paths.pseudonym_key, secrets.token_hex(32), mode=0o600)
    return paths.pseudonym_key.read_text().strip()


@contextmanager
def _session(
    connection: duckdb.DuckDBPyConnection, source: Source, paths: SourcePaths, name: str
) -> Iterator[TableMapping]:
    """Set up what a table's SQL relies on: time zone, key and lookups; clean up afterwards."""
    mapping = TableMapping(source, canonical.TABLES[name], source.tables[name])
    connection.execute(f"set TimeZone = {literal(mapping.zone)}")
    connection.execute("set variable pseudonym_key = ?", [pseudonym_key(paths)])
    try:
        types: dict[str, str] = {}
        for lookup in mapping.declared.lookups:
            types |= _load_lookup(connection, mapping, paths, lookup)
        yield replace(mapping, lookup_types=types)
    finally:
        # Re-coded copies hold what the files hold.
        shutil.rmtree(_scratch(paths), ignore_errors=True)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


@contextmanager
def _explained(group: Sequence[ReadableFile]) -> Iterator[None]:
    """Turn an error of the reader into one that names the file and quotes no value."""
    try:
        yield
    except duckdb.Error as error:
        # What follows the first line, or stands in quotes, may come from a row.
        problem = re.sub(r"'[^']*'|\"[^\"]*\"", "…", str(error).strip().splitlines()[0])[:200]
        names = ", ".join(file.file.name for file in group[:3])
        raise WinbackError(f"{names} cannot be read: {problem}") from None


def _scratch(paths: SourcePaths) -> Path:
    return paths.spill / "recoded"


def _load_lookup(
    connection: duckdb.DuckDBPyConnection, mapping: TableMapping, paths: SourcePaths, name: str
) -> dict[str, str]:
    """Read a lookup into a temporary table with one row a key; return its columns' types."""
    lookup = mapping.declared.lookups[name]
    place = mapping.source.place("tables", mapping.table.name, "lookups", name)
    files = readers.find_files(lookup.files, paths.landing)
    if not files:
        raise WinbackError(f"{place}: no file matches {', '.join(lookup.files)}.")
    group, *others = _readable_groups(connection, files, lookup, paths)
    file = group[0]
    if others:
        raise WinbackError(f"{place}: its files differ in their columns; give them the same.")
    fields = {
        column: (f"c{index}", file.column_types[index]) for index, column in enumerate(file.header)
    }
    wanted = dict.fromkeys(
        given.column
        for given in mapping.declared.columns.values()
        if isinstance(given, FromLookup) and given.lookup == name
    )
    for column in (lookup.key, *wanted):
        if column not in fields:
            raise ConfigurationError(
                f"{place}: {file.file.name} has no column {column}. {columns_of(file)} "
                "Correct the lookup or the file."
            )
    target, key = lookup_table(mapping.table.name, name), lookup_key(name)
    columns = [f"{mapping.normal_key(lookup.match, *fields[lookup.key])} as {key}"]
    columns += [f"{fields[column][0]} as {lookup_column(name, column)}" for column in wanted]
    _drop_reader_tables(connection)
    with _explained(group):
        connection.execute(
            f"create or replace temp table {target} as select {', '.join(columns)} "
            f"from ({readers.records_sql(group, lookup, 'rejects')})"
        )
    (repeated_count,) = connection.execute(
        f"select count(*) from (select {key} from {target} where {key} is not null "
        "group by all having count(*) > 1)"
    ).fetchone()
    if repeated_count:
        raise WinbackError(
            f"{place}: {repeated_count} values of {lookup.key} stand in several rows of "
            f"{file.file.name}, which would multiply rows. Keep one row for each."
        )
    return {lookup_column(name, column): fields[column][1] for column in wanted}


def _rows_sql(
    connection: duckdb.DuckDBPyConnection, mapping: TableMapping, group: list[ReadableFile]
) -> str:
    """Return the SQL of the typed rows of files with one header, to be run once."""
    _drop_reader_tables(connection)
    numbered = bool(mapping.declared.unpivot)
    records = readers.records_sql(group, mapping.declared, "rejects", numbered=numbered)
    return mapping.select(records, group[0])


def _drop_reader_tables(connection: duckdb.DuckDBPyConnection, name: str = "rejects") -> None:
    connection.execute(f"drop table if exists {name}; drop table if exists {name}_scan")


def _present_files(source: Source, paths: SourcePaths, name: str) -> list[_File]:
    declared = source.tables[name]
    mapping = json.dumps(declared.model_dump(mode="json", exclude={"files"}), sort_keys=True)
    lookups = [
        readers.content_hash(file.path)
        for lookup in declared.lookups.values()
        for file in readers.find_files(lookup.files, paths.landing)
    ]
    context = "|".join(
        [mapping, source.time_zone, source.currency, source.pseudonymise_ids, *lookups]
    )
    files = []
    for file in readers.find_files(declared.files, paths.landing):
        content = readers.content_hash(file.path)
        key = hashlib.sha256(f"{LOADER_VERSION}|{content}|{context}".encode()).hexdigest()
        files.append(_File(file, content, key))
    return files


def _must_read(file: _File, known: dict[str, KnownLoad]) -> bool:
    load = known.get(file.name)
    return load is None or load.load_key != file.load_key or not load.is_complete


def _readable_groups(
    connection: duckdb.DuckDBPyConnection,
    files: Iterable[SourceFile],
    declared: TableSource,
    paths: SourcePaths,
) -> list[list[ReadableFile]]:
    """Measure files and group those that one call can read: same header, bounded size."""
    groups: dict[tuple, list[list[ReadableFile]]] = defaultdict(list)
    sizes: dict[tuple, int] = defaultdict(int)
    for file in files:
        readable = readers.measure(connection, file, declared, _scratch(paths))
        if not readable.line_count:
            # Nothing to read; an empty file has not even a header to bind to.
            readable = replace(readable, header=(), column_types=())
        shape = (readable.format, readable.header, readable.column_types)
        size = readable.path.stat().st_size
        if not groups[shape] or sizes[shape] + size > BATCH_BYTES:
            groups[shape].append([])
            sizes[shape] = 0
        groups[shape][-1].append(readable)
        sizes[shape] += size
    return [group for batches in groups.values() for group in batches]


def _check_not_empty(
    connection: duckdb.DuckDBPyConnection, source: Source, present: list[_File]
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
