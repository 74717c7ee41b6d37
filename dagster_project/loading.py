"""Loading a source's files into schema `raw`: lossless, reconciled, all or nothing.

Only files that are new, changed or not wholly loaded are read. Everything a load changes is
changed in one transaction, so a killed load leaves raw as it was.
"""

import hashlib
import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from dagster_project import canonical, readers
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.mapping import TableMapping, lookup_column, lookup_table, normal_id
from dagster_project.paths import SourcePaths
from dagster_project.readers import ReadableFile, SourceFile
from dagster_project.sources import Source, TableSource
from dagster_project.warehouse import identifier, literal

# Raise it when the meaning of raw changes, so that unchanged files are read again.
LOADER_VERSION = 1
# Files of one header are read together up to this many bytes, which bounds the staging table.
BATCH_BYTES = 2 << 30
# More line breaks inside one value than any comment field has: a quote was left open.
MAXIMUM_LINE_BREAKS = 50

LOADS_DDL = """
create table if not exists raw.loads (
    table_name varchar, source_file varchar, file_hash varchar, load_key varchar,
    line_count bigint, row_count bigint, rejected_count bigint, rejected_share double,
    is_present boolean, is_complete boolean, batch_id varchar, loaded_at timestamp
)"""
LOAD_DAYS_DDL = """
create table if not exists raw.load_days (
    source_file varchar, ordered_on date, row_count bigint, customerless_row_count bigint,
    amount decimal(38, 2), used_amount decimal(38, 2), batch_id varchar
)"""
REJECTED_ROWS_DDL = """
create table if not exists raw.rejected_rows (
    table_name varchar, source_file varchar, file_hash varchar, row_number bigint,
    reason varchar, original_text varchar, batch_id varchar, loaded_at timestamp
)"""
DUPLICATE_KEYS_DDL = """
create table if not exists raw.duplicate_keys (
    source_file varchar, source_row bigint, transaction_id varchar
)"""
SUPERSEDED = "superseded by a later row with the same key"


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


@dataclass
class LoadReport:
    """What a load did, for logs and metadata: counts and file names, no values."""

    table: str
    row_count: int = 0
    read_files: list[str] = field(default_factory=list)
    rejected_count: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    """A present file with the hash of its content and the key of what a load makes of it."""

    file: SourceFile
    content_hash: str
    load_key: str


def prepare_raw(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that are missing; every canonical table exists, if empty."""
    connection.execute("create schema if not exists raw")
    for ddl in (LOADS_DDL, LOAD_DAYS_DDL, REJECTED_ROWS_DDL, DUPLICATE_KEYS_DDL):
        connection.execute(ddl)
    for table in canonical.TABLES.values():
        columns = [f"{identifier(c.name)} {c.sql_type}" for c in table.columns]
        if table is canonical.TRANSACTIONS:
            columns.append(f"amount_original {canonical.EXACT_NUMBER}")
        columns += [f"{c.name} {c.sql_type}" for c in canonical.LINEAGE]
        connection.execute(f"create table if not exists raw.{table.name} ({', '.join(columns)})")


def is_prepared(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether `prepare_raw` has run on the warehouse."""
    (count,) = connection.execute(
        "select count(*) from duckdb_tables() where schema_name = 'raw'"
    ).fetchone()
    return count > 0


def pseudonym_key(paths: SourcePaths) -> str:
    """Return the source's secret key, made once; it is state, for new keys mean new ids."""
    if not paths.pseudonym_key.is_file():
        paths.pseudonym_key.parent.mkdir(parents=True, exist_ok=True)
        scratch = paths.pseudonym_key.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(secrets.token_hex(32))
        scratch.rename(paths.pseudonym_key)
    return paths.pseudonym_key.read_text().strip()


@dataclass(frozen=True)
class Changes:
    """How the files differ from what raw holds.

    `transactions` are those to read (new, changed or not wholly loaded) of `present_count`;
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
        present = _present_files(source, paths, name) if name in source.tables else []
        known = _known_loads(connection, name)
        changed = [file.file for file in present if _must_read(file, known)]
        kept = connection.execute(
            "select source_file from raw.loads where table_name = ? and is_present", [name]
        ).fetchall()
        has_gone = {file for (file,) in kept} - {file.file.name for file in present}
        is_changed = is_changed or bool(changed or has_gone)
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
    mapping = TableMapping(source, canonical.TRANSACTIONS, declared)
    _prepare_session(connection, mapping, paths)
    spans = []
    for group in _readable_groups(connection, files, declared, paths):
        _drop_rejects(connection)
        records = readers.records_sql(group, declared, "rejects")
        rows = mapping.select(records, group[0])
        spans.append(
            connection.execute(
                f"select min(ordered_on), max(ordered_on) from ({rows}) where reject_reason is null"
            ).fetchone()
        )
    found = [span for span in spans if span[0] is not None]
    return (min(s[0] for s in found), max(s[1] for s in found)) if found else None


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
        ConfigurationError: a mapped column is absent or an expression does not work.
    """
    table = canonical.TABLES[name]
    report = LoadReport(name)
    if name not in source.tables:
        _in_transaction(connection, [f"delete from raw.{name}", *_forget(name, None)])
        return report
    declared = source.tables[name]
    mapping = TableMapping(source, table, declared)
    _prepare_session(connection, mapping, paths)
    mapping.check_expressions(connection)
    present = _present_files(source, paths, name)
    known = _known_loads(connection, name)
    if not present and not known:
        raise WinbackError(
            f"No file matches `files: {', '.join(declared.files)}` of {source.path.name}, "
            f"tables.{name}. Put files into {paths.landing}, or correct the pattern."
        )
    to_read = [file for file in present if full_refresh or _must_read(file, known)]
    connection.begin()
    try:
        _settle_gone_files(connection, source, present, name, report, full_refresh)
        load = _Load(connection, mapping, paths, batch_id, days, report)
        by_path = {file.file.path: file for file in to_read}
        for group in _readable_groups(connection, [file.file for file in to_read], declared, paths):
            load.read(group, by_path)
        if name == "transactions":
            if full_refresh:
                _drop_days_covered_elsewhere(connection)
            _check_not_empty(connection, source, present)
            if to_read or report.warnings:
                _find_duplicate_keys(connection, declared)
        (report.row_count,) = connection.execute(f"select count(*) from raw.{name}").fetchone()
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return report


@dataclass
class _Load:
    """One load of one table: stages each group of files, reconciles it and replaces its rows."""

    connection: duckdb.DuckDBPyConnection
    mapping: TableMapping
    paths: SourcePaths
    batch_id: str
    days: DayRange
    report: LoadReport
    loaded_at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))

    def read(self, group: list[ReadableFile], files: dict[Path, _File]) -> None:
        """Load files with one header."""
        connection, mapping = self.connection, self.mapping
        _drop_rejects(connection)
        connection.execute("drop table if exists staged")
        if group[0].line_count:
            self._load_lookups()
            records = readers.records_sql(group, mapping.declared, "rejects")
            select = mapping.select(records, group[0])
        else:
            select = mapping.select_nothing()
        try:
            connection.execute(f"create temp table staged as {select}")
        except duckdb.Error as error:
            # The first line alone: what follows may quote rows.
            problem = str(error).splitlines()[0][:200]
            raise WinbackError(f"{group[0].file.name} cannot be read: {problem}") from None
        measures = self._measures(group)
        connection.execute("drop table if exists read_files")
        connection.execute(
            "create temp table read_files (file_path varchar, source_file varchar, "
            "file_hash varchar, load_key varchar, line_count bigint, first_record bigint)"
        )
        for file in group:
            rejected = self._structural_rejects(file)
            measure = measures.get(str(file.path), _Measure())
            self._reconcile(file, measure, rejected)
            given = files[file.file.path]
            connection.execute(
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
            self._keep_rejects(file, given, measure, rejected)
            self.report.read_files.append(file.file.name)
        self._replace_rows([file.file.name for file in group])
        connection.execute("drop table staged")

    def _load_lookups(self) -> None:
        """Read the table's lookups into temporary tables with one row a key."""
        for name, lookup in self.mapping.declared.lookups.items():
            target = lookup_table(self.mapping.table.name, name)
            files = readers.find_files(lookup.files, self.paths.landing)
            (readable, *others) = _readable_groups(self.connection, files, lookup, self.paths)
            _drop_rejects(self.connection)
            place = f"{self.mapping.source.path.name}, tables.{self.mapping.table.name}"
            if others:
                raise WinbackError(f"{place}.lookups.{name}: its files have different columns.")
            fields = {column: f"c{i}" for i, column in enumerate(readable[0].header)}
            wanted = [
                given.column
                for given in self.mapping.declared.columns.values()
                if getattr(given, "lookup", None) == name
            ]
            for column in (lookup.key, *wanted):
                if column not in fields:
                    raise ConfigurationError(
                        f"{readable[0].file.name} has no column {column}, which "
                        f"{place}.lookups.{name} names. Its columns are {', '.join(fields)}."
                    )
            columns = ", ".join(
                f"{fields[column]} as {lookup_column(name, column)}"
                for column in dict.fromkeys(wanted)
                if column != "key"
            )
            key = lookup_column(name, "key")
            records = readers.records_sql(readable, lookup, "rejects")
            self.connection.execute(
                f"create or replace temp table {target} as select "
                f"{normal_id(f'trim({fields[lookup.key]}::varchar)')} as {key}, {columns} "
                f"from ({records})"
            )
            repeated = self.connection.execute(
                f"select {key} from {target} where {key} is not null "
                "group by all having count(*) > 1 order by all limit 1"
            ).fetchone()
            if repeated:
                raise WinbackError(
                    f"{readable[0].file.name}: the key {repeated[0]} stands in several rows, so "
                    f"{place}.lookups.{name} would multiply rows. Keep one row a key."
                )

    def _measures(self, group: list[ReadableFile]) -> dict[str, "_Measure"]:
        numbered = group[0].format == "parquet"
        rows = self.connection.execute(
            "select file_path, count(distinct record_number) filter (reject_reason is null), "
            "count(distinct record_number), min(record_number) from staged group by file_path"
            if self.mapping.declared.unpivot
            else "select file_path, count(*) filter (reject_reason is null), count(*), "
            "min(record_number) from staged group by file_path"
        ).fetchall()
        return {
            path: _Measure(good, total, 1 if numbered else first)
            for path, good, total, first in rows
        }

    def _structural_rejects(self, file: ReadableFile) -> dict[int, tuple[str, str]]:
        """Return the lines that the reader refused: number → (reason, text)."""
        if file.format == "parquet" or not file.line_count:
            return {}
        rows = self.connection.execute(
            "select line, min_by(error_type::varchar, column_idx), "
            "min_by(error_message, column_idx), any_value(csv_line) from rejects "
            "join rejects_scan using (scan_id, file_id) where file_path = ? group by line",
            [str(file.path)],
        ).fetchall()
        reasons = {
            "INVALID ENCODING": "not UTF-8 text; declare the file's `encoding:`",
            "UNQUOTED VALUE": "a quote is not closed, or stands inside a value",
            "LINE SIZE OVER MAXIMUM": "the line is longer than 2 MB",
        }
        found = {
            line: (reasons.get(kind, message.split("\n")[0]), text.rstrip("\r\n"))
            for line, kind, message, text in rows
        }
        unreadable = {line for line, kind, *_ in rows if kind == "INVALID ENCODING"}
        if unreadable:
            texts = readers.lines_of(file.path, unreadable)
            found |= {line: (found[line][0], texts[line]) for line in unreadable}
        return found

    def _reconcile(
        self, file: ReadableFile, measure: "_Measure", rejected: dict[int, tuple[str, str]]
    ) -> None:
        """Account for every line of a file, or fail it: nothing may be swallowed."""
        accounted = measure.record_count + len(rejected)
        if accounted == file.line_count:
            return
        blank = readers.blank_line_count(file.path)
        breaks, largest = self._line_breaks(file)
        if accounted + blank + breaks == file.line_count and largest <= MAXIMUM_LINE_BREAKS:
            return
        quoted = [line for line, (reason, _) in rejected.items() if "quote" in reason]
        near = f" near line {min(quoted)}" if quoted else ""
        raise WinbackError(
            f"{file.file.name}: only {accounted + blank} of {file.line_count} lines can be "
            f"accounted for. Most likely a stray quote{near} swallows the lines after it. "
            'Remove or double that quote, or declare `quote: ""` if the file quotes nothing.'
        )

    def _line_breaks(self, file: ReadableFile) -> tuple[int, int]:
        """Return the line breaks inside a file's values: all, and the most in one record."""
        if file.format != "csv" or not self.mapping.declared.quote:
            return 0, 0
        _drop_rejects(self.connection)
        records = readers.records_sql([file], self.mapping.declared, "rejects")
        fields = " + ".join(
            f"coalesce(length(c{i}) - length(replace(c{i}, chr(10), '')), 0)"
            for i in range(len(file.header))
        )
        return self.connection.execute(
            f"select coalesce(sum({fields}), 0), coalesce(max({fields}), 0) from ({records})"
        ).fetchone()

    def _keep_rejects(
        self,
        file: ReadableFile,
        given: _File,
        measure: "_Measure",
        rejected: dict[int, tuple[str, str]],
    ) -> None:
        """Replace the file's rows in `raw.rejected_rows`."""
        table = self.mapping.table.name
        self.connection.execute(
            "delete from raw.rejected_rows where table_name = ? and source_file = ?",
            [table, file.file.name],
        )
        constants = [given.content_hash, self.batch_id, self.loaded_at]
        self.connection.execute(
            "create or replace temp table refused (line bigint, reason varchar, text varchar)"
        )
        if rejected:
            self.connection.executemany(
                "insert into refused values (?, ?, ?)",
                [[line, *rest] for line, rest in rejected.items()],
            )
        # A record's line is its number, plus the header, plus the refused lines before it: the
        # lines whose own number less the refused ones up to it is not beyond the record's.
        header = file.format == "csv" and self.mapping.declared.header
        self.connection.execute(
            f"""
            insert into raw.rejected_rows
            with shifts as (
                select line - row_number() over (order by line) as good_lines_before from refused
            ),
            records as (
                select distinct on (record_number)
                    record_number - {measure.first_record - 1} + {int(header)} as line,
                    reject_reason, original_text
                from staged
                where file_path = {literal(file.path)} and reject_reason is not null
            ),
            lines as (
                select
                    line + (select count(*) from shifts where good_lines_before < records.line)
                        as line,
                    reject_reason, original_text
                from records
                union all
                select line, reason, text from refused
            )
            select '{table}', {literal(file.file.name)}, ?, line, reject_reason, original_text, ?, ?
            from lines order by line
            """,
            constants,
        )

    def _replace_rows(self, names: list[str]) -> None:
        """Replace the files' rows in the raw table and in the tables that count them."""
        connection, table = self.connection, self.mapping.table.name
        of_files = f"source_file in ({', '.join(literal(name) for name in names)})"
        is_daily = table == "transactions"
        # Of an unpivoted row only the attributes that have a value are kept.
        wanted = "reject_reason is null" + (
            " and value is not null" if self.mapping.declared.unpivot else ""
        )
        if is_daily:
            in_days = self.days.holds("ordered_on")
            wanted += f" and {in_days}"
            connection.execute(f"delete from raw.load_days where {of_files} and {in_days}")
        else:
            in_days = "true"
        connection.execute(f"delete from raw.{table} where {of_files} and {in_days}")
        names_sql = ", ".join(identifier(c.name) for c in self.mapping.table.columns)
        exact = ", amount_original" if is_daily else ""
        connection.execute(
            f"""
            insert into raw.{table} (
                {names_sql}{exact}, source_file, source_row, batch_id, loaded_at
            )
            select {names_sql}{exact}, source_file, record_number - first_record + 1, ?, ?
            from staged join read_files using (file_path)
            where {wanted}
            """,
            [self.batch_id, self.loaded_at],
        )
        if is_daily:
            connection.execute(
                f"""
                insert into raw.load_days
                select
                    source_file, ordered_on, count(*), count(*) filter (customer_id is null),
                    sum(amount), coalesce(sum(amount) filter (excluded_reason is null), 0), ?
                from raw.transactions where {of_files} and {in_days}
                group by source_file, ordered_on order by source_file, ordered_on
                """,
                [self.batch_id],
            )
        connection.execute(f"delete from raw.loads where table_name = '{table}' and {of_files}")
        outside = f"and not ({in_days})" if is_daily else "and false"
        connection.execute(
            f"""
            insert into raw.loads
            with rejected as (
                select source_file, count(distinct row_number) as lines from raw.rejected_rows
                where table_name = '{table}' group by source_file
            ),
            loaded as (
                select source_file, count(*) as rows from raw.{table} where {of_files}
                group by source_file
            ),
            left_out as (
                select distinct file_path from staged where reject_reason is null {outside}
            )
            select
                '{table}', source_file, file_hash, load_key, line_count,
                coalesce(loaded.rows, 0), coalesce(rejected.lines, 0),
                coalesce(rejected.lines, 0) / greatest(line_count, 1), true,
                left_out.file_path is null, ?, ?
            from read_files
            left join rejected using (source_file)
            left join loaded using (source_file)
            left join left_out using (file_path)
            order by source_file
            """,
            [self.batch_id, self.loaded_at],
        )
        (rejected,) = connection.execute(
            f"select sum(rejected_count) from raw.loads where table_name = '{table}' and {of_files}"
        ).fetchone()
        self.report.rejected_count += int(rejected or 0)


@dataclass(frozen=True)
class _Measure:
    """Records of one file: good ones, all, and the number of the first in the reader's count."""

    good_count: int = 0
    record_count: int = 0
    first_record: int = 1


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


def _known_loads(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, tuple[str, bool]]:
    rows = connection.execute(
        "select source_file, load_key, is_complete from raw.loads where table_name = ?", [name]
    ).fetchall()
    return {file: (key, is_complete) for file, key, is_complete in rows}


def _must_read(file: _File, known: dict[str, tuple[str, bool]]) -> bool:
    return known.get(file.file.name) != (file.load_key, True)


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
        readable = readers.measure(connection, file, declared, paths.spill / "recoded")
        if not readable.line_count:
            # Nothing to read; an empty file has not even a header to bind to.
            readable = ReadableFile(
                file, readable.path, readable.format, (), (), readable.line_count
            )
        shape = (readable.format, readable.header, readable.column_types)
        size = readable.path.stat().st_size
        if not groups[shape] or sizes[shape] + size > BATCH_BYTES:
            groups[shape].append([])
            sizes[shape] = 0
        groups[shape][-1].append(readable)
        sizes[shape] += size
    return [group for batches in groups.values() for group in batches]


def _prepare_session(
    connection: duckdb.DuckDBPyConnection, mapping: TableMapping, paths: SourcePaths
) -> None:
    connection.execute(f"set TimeZone = {literal(mapping.zone)}")
    connection.execute("set variable pseudonym_key = ?", [pseudonym_key(paths)])


def _drop_rejects(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("drop table if exists rejects")
    connection.execute("drop table if exists rejects_scan")


def _in_transaction(connection: duckdb.DuckDBPyConnection, statements: list[str]) -> None:
    connection.begin()
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _forget(name: str, file: str | None) -> list[str]:
    """Return SQL that removes a file (or all files) of a table from the tables that count."""
    of_file = f" and source_file = {literal(file)}" if file is not None else ""
    statements = [
        f"delete from raw.{counted} where table_name = '{name}'{of_file}"
        for counted in ("loads", "rejected_rows")
    ]
    if name == "transactions":
        statements.append(f"delete from raw.load_days where true{of_file}")
    return statements


def _settle_gone_files(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    present: list[_File],
    name: str,
    report: LoadReport,
    full_refresh: bool,
) -> None:
    """Decide about loaded files that are no longer there.

    Renamed (its content is present under another name) or never let through by the gate: it
    leaves raw. Else its rows are kept; a full refresh keeps only the days no present file has.
    """
    names = {file.file.name for file in present}
    hashes = {file.content_hash for file in present}
    rows = connection.execute(
        "select source_file, file_hash, rejected_share from raw.loads where table_name = ? "
        "order by source_file",
        [name],
    ).fetchall()
    connection.execute(
        f"update raw.loads set is_present = true where table_name = '{name}' and not is_present"
    )
    for file, content, rejected_share in rows:
        if file in names:
            continue
        is_blocked = rejected_share > source.limits.rejected_share
        is_replaced = full_refresh and name != "transactions"
        if content in hashes or is_blocked or is_replaced:
            statements = [
                f"delete from raw.{name} where source_file = {literal(file)}",
                *_forget(name, file),
            ]
            report.warnings.append(f"{file} has gone; its rows were withdrawn from raw.{name}.")
        else:
            statements = [
                f"update raw.loads set is_present = false where table_name = '{name}' "
                f"and source_file = {literal(file)}"
            ]
            report.warnings.append(f"{file} has gone; its rows in raw.{name} are kept.")
        for statement in statements:
            connection.execute(statement)


def _drop_days_covered_elsewhere(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the rows that gone files have on days for which present files have rows."""
    connection.execute(
        """
        create or replace temp table covered as
        select source_file, ordered_on from raw.load_days
        where
            source_file in (
                select source_file from raw.loads
                where table_name = 'transactions' and not is_present
            )
            and ordered_on in (
                select ordered_on from raw.load_days join raw.loads using (source_file)
                where table_name = 'transactions' and is_present
            )
        """
    )
    for table in ("transactions", "load_days"):
        connection.execute(
            f"delete from raw.{table} using covered "
            f"where {table}.source_file = covered.source_file "
            f"and {table}.ordered_on = covered.ordered_on"
        )
    connection.execute(
        """
        update raw.loads set row_count = coalesce(
            (select sum(row_count) from raw.load_days
             where load_days.source_file = loads.source_file), 0)
        where table_name = 'transactions' and not is_present
        """
    )


def _check_not_empty(
    connection: duckdb.DuckDBPyConnection, source: Source, present: list[_File]
) -> None:
    (line_count,) = connection.execute(
        "select coalesce(sum(line_count), 0) from raw.loads where table_name = 'transactions'"
    ).fetchone()
    if not line_count:
        names = ", ".join(file.file.name for file in present)
        raise WinbackError(
            f"{names} of {source.path.name} holds no line of data. Deliver the file again; "
            "nothing was changed."
        )


def _find_duplicate_keys(connection: duckdb.DuckDBPyConnection, declared: TableSource) -> None:
    """List rows whose declared key occurs twice, or mark all but the last as superseded."""
    connection.execute("delete from raw.duplicate_keys")
    if not declared.key:
        return
    key = ", ".join(identifier(column) for column in declared.key)
    complete = " and ".join(f"{identifier(column)} is not null" for column in declared.key)
    if declared.duplicates == "block":
        connection.execute(
            f"""
            insert into raw.duplicate_keys
            select source_file, source_row, transaction_id from raw.transactions where {complete}
            qualify count(*) over (partition by {key}) > 1
            """
        )
        return
    # Later means a later file by name, then a later row: it depends on no load's order.
    connection.execute(
        f"""
        create or replace temp table remarked as
        select source_file, source_row, ordered_on, is_superseded
        from (
            select
                source_file, source_row, ordered_on, excluded_reason,
                row_number() over (
                    partition by {key} order by source_file desc, source_row desc
                ) > 1 as is_superseded
            from raw.transactions where {complete}
        )
        where
            (excluded_reason is null and is_superseded)
            or (excluded_reason = {literal(SUPERSEDED)} and not is_superseded)
        """
    )
    connection.execute(
        f"""
        update raw.transactions
        set excluded_reason = case when is_superseded then {literal(SUPERSEDED)} end
        from remarked
        where
            transactions.source_file = remarked.source_file
            and transactions.source_row = remarked.source_row
        """
    )
    # The days whose use has changed get a new batch, so that what is built on them follows.
    connection.execute(
        """
        update raw.load_days
        set used_amount = changed.used_amount, batch_id = load_days.batch_id || '+'
        from (
            select
                source_file, ordered_on,
                coalesce(sum(amount) filter (excluded_reason is null), 0) as used_amount
            from raw.transactions semi join remarked using (source_file, ordered_on)
            group by source_file, ordered_on
        ) as changed
        where
            load_days.source_file = changed.source_file
            and load_days.ordered_on = changed.ordered_on
        """
    )
