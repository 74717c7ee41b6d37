"""The SQL that turns a file's records into rows of a canonical table.

Typing never fails a load: what cannot be typed becomes null and leaves the row with a
`reject_reason`. Reasons never quote the value, which may be personal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dagster_project.config import canonical
from dagster_project.config.source import Source
from dagster_project.config.tables import (
    FromColumn,
    FromConstant,
    FromLookup,
    FromSql,
    TableSource,
)
from dagster_project.errors import ConfigurationError
from dagster_project.loading import rules
from dagster_project.loading.ids import LONG_NUMBERS, Ids, plain_column
from dagster_project.loading.readers import ReadableFile, columns_of, original_text
from dagster_project.loading.values import (
    GivenValue,
    in_calendar,
    incomplete_row,
    is_plain,
    ordinal,
    problem,
)
from dagster_project.warehouse import identifier, literal

# A large quantity times a price needs more digits than fit a machine word.
WIDE_NUMBER = "DECIMAL(28,6)"


@dataclass(frozen=True)
class TableMapping:
    """How one canonical table is filled from files with one header.

    `lookup_types` gives the type of every looked-up column, by its name in the lookup's table;
    `listed` the values of "no customer" that table customers lists.
    """

    source: Source
    table: canonical.Table
    declared: TableSource
    lookup_types: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    listed: tuple[str, ...] = ()

    @property
    def zone(self) -> str:
        """Zone of the times in the files that name none."""
        return self.declared.time_zone or self.source.time_zone

    @property
    def ids(self) -> Ids:
        """The ids of the table."""
        return Ids(self.source, self.table, self.declared, self.listed)

    @property
    def marks(self) -> dict[str, str]:
        """SQL by name of what the load report counts of a row, over the columns that rules see.

        Marks are staged beside the row and not kept in raw; each has few different values.
        """
        return self.ids.marks | self._rule_marks

    @property
    def _rule_marks(self) -> dict[str, str]:
        if self.table is not canonical.TRANSACTIONS:
            return {}
        return rules.marks(self.declared, rules.seen_as_text(self.table, self.declared))

    @property
    def version(self) -> dict[str, str]:
        """SQL by name of the number that `version_by` orders rows by; nothing without it."""
        name = self.declared.version_by
        if name is None:
            return {}
        given = self.declared.inputs.get(name)
        kind = given.type if given else self.table.column(name).kind
        return {"version": ordinal(identifier(name), kind)}

    def select(self, records: str, file: ReadableFile) -> str:
        """Return SQL giving the canonical columns and the loader's working columns.

        Those are `file_path`, `record_number`, `original_text` (null unless rejected),
        `reject_reason`, for transactions `amount_original` (six decimals), the marks, and
        `version` where one is declared.
        The session's time zone must be `zone`: it is what times without a zone are read in.
        """
        fields = self._fields(file)
        bare = {
            name: one.is_bare_date
            for name, one in fields.items()
            if one.kind == "timestamp" and self.zone != self.source.time_zone
        }
        typed = [f"{self._typed(name, one)} as {identifier(name)}" for name, one in fields.items()]
        typed += [f"{test} as {_bare(name)}" for name, test in bare.items()]
        computed = {
            name: self._computed(name, mapping.sql)
            for name, mapping in self.declared.columns.items()
            if isinstance(mapping, FromSql)
        }
        narrow = [f"{sql} as {_narrow(name)}" for name, sql in computed.items()]
        wide = [
            f"{identifier(name)}::{WIDE_NUMBER} as {identifier(name)}"
            for name, one in fields.items()
            if computed and one.kind in canonical.NUMBERS
        ]
        mapped = [f"{self._value(one)} as {identifier(one.name)}" for one in self.table.columns]
        mapped += [identifier(name) for name in self.declared.inputs]
        mapped += [_bare(name) for name in bare]
        told = [f"{is_plain(one.sql)} as {one.plain}" for one in fields.values() if one.plain]
        plain = {name: one.plain for name, one in fields.items() if one.plain}
        mapped += [f"{plain.get(name, 'false')} as {plain_column(name)}" for name in self.ids.names]
        normal, noted = self.ids.normal(), self.ids.noted()
        final = [f"{self._final(c, bare)} as {identifier(c.name)}" for c in self.table.columns]
        if self.table is canonical.TRANSACTIONS:
            final.append(f"{rules.turned('amount')} as amount_original")
        final += self._rule_marks
        final += [f"{sql} as {name}" for name, sql in (self.ids.marks | self.version).items()]
        doubts = rules.doubts(self.declared, fields)
        mapped += [f"{sql} as {name}" for name, sql in doubts.items()]
        ruled = [f"{sql} as {name}" for name, sql in self._rule_marks.items()]
        faults = ["problem", self.ids.reject_reason(), incomplete_row(self.table.columns)]
        return f"""
            with records as (
                select {", ".join(["*", *told])} from ({self._unpivoted(records, file)})
            ),
            typed as (
                select *, {", ".join(typed)} from records {" ".join(self._lookup_joins(file))}
            ),
            computed as (select {", ".join(["*", *narrow])} from typed),
            widened as (
                select * {f"replace ({', '.join(wide)})" if wide else ""} from computed
            ),
            mapped as (
                select
                    columns('^(file_path|record_number|original_text|c[0-9]+)$'),
                    {problem(fields)} as problem,
                    {", ".join(mapped)}
                from widened
            ),
            normal as (select * {f"replace ({', '.join(normal)})" if normal else ""} from mapped),
            noted as (select {", ".join(["*", *noted])} from normal),
            ruled as (select {", ".join(["*", *ruled])} from noted),
            final as (
                select
                    columns('^(file_path|record_number|original_text|problem|c[0-9]+)$'),
                    {", ".join(final)}
                from ruled
            ),
            faulted as (
                select *, coalesce({", ".join(faults)}) as fault from final
            ),
            judged as (select *, {self._reject_reason()} as reject_reason from faulted)
            select
                file_path, record_number, reject_reason,
                case when reject_reason is not null then {original_text(file, self.declared)} end
                    as original_text,
                {", ".join([*_output_names(self.table), *self.marks, *self.version])}
            from judged
        """

    def _reject_reason(self) -> str:
        return rules.judged_reason("fault") if self.table is canonical.TRANSACTIONS else "fault"

    def select_nothing(self) -> str:
        """Return SQL giving the columns of `select` and no row, for files without a line."""
        columns = [f"null::{c.sql_type} as {identifier(c.name)}" for c in self.table.columns]
        if self.table is canonical.TRANSACTIONS:
            columns.append(f"null::{canonical.EXACT_NUMBER} as amount_original")
        columns += [f"null as {name}" for name in self.marks | self.version]
        return (
            "select null::varchar as file_path, null::bigint as record_number, "
            f"null::varchar as reject_reason, null::varchar as original_text, "
            f"{', '.join(columns)} where false"
        )

    def normal_key(self, match: str, sql: str, sql_type: str) -> str:
        """Return SQL that writes a lookup's key as the column it is matched with is written."""
        kind = self.table.column(match).kind
        given = GivenValue(
            sql, sql_type, kind, self.declared.decimal, (), self.declared.date_format
        )
        return self.ids.match_key(match, self._typed(match, given))

    def typed_places(self, file: ReadableFile) -> set[int]:
        """Return the places in a file's header of the columns mapped to anything but text."""
        return {
            file.header.index(match)
            for spellings, kind in self._spellings().values()
            if kind != "text"
            and (match := next((name for name in spellings if name in file.header), None))
        }

    def _spellings(self) -> dict[str, tuple[tuple[str, ...], canonical.Kind]]:
        """Return the accepted names and the kind of what comes from a column of the file."""
        columns = {
            name: (mapping.column, self.table.column(name).kind)
            for name, mapping in self.declared.columns.items()
            if isinstance(mapping, FromColumn)
        }
        return columns | {
            name: (given.column, given.type) for name, given in self.declared.inputs.items()
        }

    def _fields(self, file: ReadableFile) -> dict[str, GivenValue]:
        """Return what every column and input is read from, lookups included.

        Raises:
            ConfigurationError: the file lacks a mapped column, or has it twice.
        """
        available = {name: (f"c{i}", file.column_types[i]) for i, name in enumerate(file.header)}
        if self.declared.unpivot:
            available |= {
                "attribute": ("unpivoted_attribute", "VARCHAR"),
                "value": ("unpivoted_value", "VARCHAR"),
            }
        style = (self.declared.decimal, self.declared.null_values, self.declared.date_format)
        found = {}
        for name, (spellings, kind) in self._spellings().items():
            match = next((given for given in spellings if given in available), None)
            section = "inputs" if name in self.declared.inputs else "columns"
            place = self.source.place("tables", self.table.name, section, name)
            if match is None:
                raise ConfigurationError(
                    f"{place}: {file.file.name} has no column {' or '.join(spellings)}. "
                    f"{columns_of(file)} Correct the mapping or the file."
                )
            if file.header.count(match) > 1:
                raise ConfigurationError(
                    f"{place}: {file.file.name} has several columns named {match}. "
                    "Give each its own name."
                )
            sql, sql_type = available[match]
            is_told = name in self.ids.names and sql_type == "VARCHAR"
            plain = plain_column(name) if is_told else None
            found[name] = GivenValue(sql, sql_type, kind, *style, plain)
        for name, mapping in self.declared.columns.items():
            if isinstance(mapping, FromLookup):
                column = lookup_column(mapping.lookup, mapping.column)
                lookup = self.declared.lookups[mapping.lookup]
                found[name] = GivenValue(
                    column,
                    self.lookup_types[column],
                    self.table.column(name).kind,
                    lookup.decimal,
                    lookup.null_values,
                    self.declared.date_format,
                )
        return found

    def _typed(self, name: str, given: GivenValue) -> str:
        """Return SQL for a value in the type that expressions see, null if it has no such type."""
        match given.kind:
            case "id":
                return given.long_number if name in LONG_NUMBERS else given.normal_id
            case "text":
                return given.text
            case "timestamp":
                return given.moment
            case "date":
                return self._day(given.moment, given.is_bare_date)
            case "flag":
                return given.flag
            case "count":
                return given.whole_number
        return given.number

    def _unpivoted(self, records: str, file: ReadableFile) -> str:
        if not self.declared.unpivot:
            return records
        missing = [name for name in self.declared.unpivot if file.header.count(name) != 1]
        if missing:
            raise ConfigurationError(
                f"{self.source.place('tables', self.table.name, 'unpivot')}: {file.file.name} has "
                f"no column {missing[0]}, or several. {columns_of(file)} Correct list or file."
            )
        pairs = ", ".join(
            f"{{attribute: {literal(name)}, value: c{file.header.index(name)}::varchar}}"
            for name in self.declared.unpivot
        )
        return (
            f"select * exclude pair, pair.attribute as unpivoted_attribute, "
            f"pair.value as unpivoted_value from "
            f"(select *, unnest([{pairs}]) as pair from ({records}))"
        )

    def _lookup_joins(self, file: ReadableFile) -> list[str]:
        fields = self._fields(file) if self.declared.lookups else {}
        return [
            f"left join {lookup_table(self.table.name, name)} on "
            f"{self.ids.match_key(lookup.match, self._typed(lookup.match, fields[lookup.match]))}"
            f" = {lookup_key(name)}"
            for name, lookup in self.declared.lookups.items()
        ]

    def _value(self, column: canonical.Column) -> str:
        """Return SQL for a canonical column in the type that rules see."""
        value = self._given(column)
        return in_calendar(value) if column.kind == "timestamp" else value

    def _given(self, column: canonical.Column) -> str:
        """Return SQL for what the source says a canonical column is."""
        target = canonical.expression_type(column.kind)
        match self.declared.columns.get(column.name):
            case FromColumn() | FromLookup():
                name = identifier(column.name)
                return f"{name}::{target}" if column.kind in canonical.NUMBERS else name
            case FromConstant(constant=constant):
                return f"try_cast({literal(constant)} as {target})"
            case FromSql(sql=sql):
                # Rounding wide numbers is slow, so they serve only where narrow ones overflow.
                narrow = _narrow(column.name)
                wide = self._computed(column.name, sql)
                return f"case when {narrow} is null then {wide} else {narrow} end"
            case _ if column.name == "currency":
                return literal(self.source.currency)
        return f"null::{target}"

    def _computed(self, name: str, sql: str) -> str:
        target = canonical.expression_type(self.table.column(name).kind)
        return f"try_cast(try({sql}) as {target})"

    def _final(self, column: canonical.Column, bare: Mapping[str, str]) -> str:
        """Return SQL for a canonical column in its final type."""
        if self.table is canonical.TRANSACTIONS and column.name in _RULED:
            return self._ruled(column.name, bare)
        name = identifier(column.name)
        if self.table is canonical.TRANSACTIONS and column.name in rules.TURNED:
            name = f"({rules.turned(column.name)})"
        if column.kind == "id":
            return self.ids.final(column.name)
        if column.kind in canonical.NUMBERS:
            return f"{name}::{column.sql_type}"
        if column.kind == "timestamp":
            return f"timezone('UTC', {self._instant(column.name, bare)})"
        return name

    def _ruled(self, name: str, bare: Mapping[str, str]) -> str:
        """Return SQL for a column of transactions that rules give."""
        if name == "ordered_on":
            return self._day("ordered_at", _bare("ordered_at") if "ordered_at" in bare else "false")
        if name == "line_type":
            return rules.line_type(self.declared)
        return rules.excluded_reason(self.declared)

    def _day(self, moment: str, is_bare: str) -> str:
        """Return SQL for the business date of a moment."""
        # The session reads times in the files' own zone, so this is the date as written.
        written = f"({moment})::date"
        if self.zone == self.source.time_zone:
            return written
        shifted = f"try(timezone({literal(self.source.time_zone)}, {moment})::date)"
        return f"case when {is_bare} then {written} else {shifted} end"

    def _instant(self, name: str, bare: Mapping[str, str]) -> str:
        """Return SQL for a moment; a bare date starts at midnight in the source's zone."""
        if name not in bare:
            return identifier(name)
        midnight = f"{identifier(name)}::date::timestamp"
        return (
            f"case when {_bare(name)} then timezone({literal(self.source.time_zone)}, {midnight}) "
            f"else {identifier(name)} end"
        )


_RULED = canonical.DERIVED_COLUMNS["transactions"]


def lookup_table(table: str, lookup: str) -> str:
    """Return the name of the temporary table that holds a lookup while its table loads."""
    return identifier(f"lookup {table} {lookup}")


def lookup_column(lookup: str, column: str) -> str:
    """Return the name of a column of that temporary table; it can clash with no other."""
    return identifier(f"{lookup}: {column}")


def lookup_key(lookup: str) -> str:
    """Return the name of the column of that temporary table that rows are matched with."""
    return identifier(f"key of {lookup}")


def _output_names(table: canonical.Table) -> list[str]:
    names = [identifier(column.name) for column in table.columns]
    return [*names, "amount_original"] if table is canonical.TRANSACTIONS else names


def _narrow(name: str) -> str:
    return identifier(f"{name} in narrow numbers")


def _bare(name: str) -> str:
    return identifier(f"{name} is a bare date")
