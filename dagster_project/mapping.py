"""The SQL that turns a file's records into rows of a canonical table.

Typing never fails a load: what cannot be typed becomes null and leaves the row with a
`reject_reason`. Reasons never quote the value, which may be personal.
"""

from dataclasses import dataclass

import duckdb

from dagster_project import canonical
from dagster_project.errors import ConfigurationError
from dagster_project.readers import ReadableFile
from dagster_project.sources import (
    FromColumn,
    FromConstant,
    FromLookup,
    FromSql,
    Source,
    TableSource,
)
from dagster_project.warehouse import identifier, literal

# Shapes that are a person's address rather than an id: an e-mail address, a number with an
# international prefix or with separators, a Chinese mobile number.
CONTACT_SHAPE = r"@|^\+\d[\d ().-]{6,}$|^\(?\d{2,5}\)?[ .-]\d{3,}[ .-]\d{2,}$|^1[3-9]\d{9}$"
PSEUDONYM_LENGTH = 24
_FLOATS = ("FLOAT", "DOUBLE")
_INTEGERS = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "UBIGINT", "UINTEGER")
# Types whose values a declared date format applies to.
_FORMATTED = ("VARCHAR", "BIGINT", "INTEGER")


@dataclass(frozen=True)
class TableMapping:
    """How one canonical table is filled from files with one header."""

    source: Source
    table: canonical.Table
    declared: TableSource

    @property
    def zone(self) -> str:
        """Zone of the times in the files that name none."""
        return self.declared.time_zone or self.source.time_zone

    def select(self, records: str, file: ReadableFile) -> str:
        """Return SQL giving the canonical columns and the loader's working columns.

        Those are `file_path`, `record_number`, `original_text` (null unless rejected),
        `reject_reason` and, for transactions, `amount_original` (six decimals).
        The session's time zone must be `zone`: it is what times without a zone are read in.
        """
        by_name = self._fields_by_name(file)
        typed, checks = [], ["when defect is not null then defect"]
        for name, (field, field_type, kind) in by_name.items():
            typed.append(f"{self._typed(name, field, field_type, kind)} as {identifier(name)}")
            if kind == "timestamp":
                typed.append(f"{self._is_bare_date(field, field_type)} as {_bare_date(name)}")
            if kind not in ("id", "text"):
                checks.append(
                    f"when {identifier(name)} is null and {_present(field, field_type)} "
                    f"then {literal(f'{name} is not {canonical.KIND_NAMES[kind]}')}"
                )
        missing = " ".join(
            f"when {identifier(column.name)} is null then {literal(f'{column.name} is missing')}"
            for column in self.table.columns
            if column.required
        )
        names = ", ".join(identifier(column.name) for column in self.table.columns)
        exact_amount = ", amount_original" if self.table is canonical.TRANSACTIONS else ""
        return f"""
            with records as ({self._unpivoted(records, file)}),
            named as (select *, {", ".join(typed)} from records),
            checked as (select *, case {" ".join(checks)} end as problem from named),
            mapped as (
                select
                    file_path, record_number, original_text, problem,
                    {", ".join(f"c{index}" for index in range(len(file.header)))},
                    {", ".join(self._mapped())}
                from checked {" ".join(self._lookup_joins())}
            ),
            final as (
                select
                    file_path, record_number, original_text, problem, columns('^c[0-9]+$'),
                    {", ".join(self._final(column) for column in self.table.columns)}
                    {", amount as amount_original" if exact_amount else ""}
                from mapped
            ),
            judged as (select *, coalesce(problem, case {missing} end) as reject_reason from final)
            select
                file_path, record_number, reject_reason,
                case when reject_reason is not null then {self._original(file)} end
                    as original_text,
                {names}{exact_amount}
            from judged
        """

    def select_nothing(self) -> str:
        """Return SQL giving the columns of `select` and no row, for files without a line."""
        columns = [
            f"null::{column.sql_type} as {identifier(column.name)}" for column in self.table.columns
        ]
        if self.table is canonical.TRANSACTIONS:
            columns.append(f"null::{canonical.EXACT_NUMBER} as amount_original")
        return (
            "select null::varchar as file_path, null::bigint as record_number, "
            f"null::varchar as reject_reason, null::varchar as original_text, "
            f"{', '.join(columns)} where false"
        )

    def check_expressions(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Bind every SQL expression of the table against empty input.

        Raises:
            ConfigurationError: an expression names an unknown column or cannot be computed.
        """
        kinds = self._kinds_by_name()
        by_name = _empty_columns(kinds)
        complete = by_name + _empty_columns(
            {c.name: c.kind for c in self.table.columns if c.name not in kinds}
        )
        checks = [
            (f"columns.{name}", mapping.sql, by_name)
            for name, mapping in self.declared.columns.items()
            if isinstance(mapping, FromSql)
        ]
        for key in ("line_type", "exclude"):
            checks += [(key, rule.when, complete) for rule in getattr(self.declared, key)]
        for key, expression, columns in checks:
            scope = ", ".join(columns)
            try:
                connection.execute(f"select ({expression}) from (select {scope}) limit 0")
            except duckdb.Error as error:
                problem = str(error).split("\n")[0].split(": ", 1)[-1]
                raise ConfigurationError(
                    f"{self.source.path.name}, tables.{self.table.name}.{key}: the expression "
                    f"`{expression}` does not work: {problem}. It can use the columns mapped by "
                    f"name and the inputs: {', '.join(kinds)}."
                ) from None

    def _kinds_by_name(self) -> dict[str, canonical.Kind]:
        kinds = {
            name: self.table.column(name).kind
            for name, mapping in self.declared.columns.items()
            if isinstance(mapping, FromColumn)
        }
        return kinds | {name: given.type for name, given in self.declared.inputs.items()}

    def _fields_by_name(self, file: ReadableFile) -> dict[str, tuple[str, str, canonical.Kind]]:
        """Return (field, its type, wanted kind) of every column and input mapped by name.

        Raises:
            ConfigurationError: the file has none of the accepted spellings of a column.
        """
        spellings = {
            name: mapping.column
            for name, mapping in self.declared.columns.items()
            if isinstance(mapping, FromColumn)
        } | {name: given.column for name, given in self.declared.inputs.items()}
        available = {name: (f"c{i}", file.column_types[i]) for i, name in enumerate(file.header)}
        if self.declared.unpivot:
            available |= {
                "attribute": ("unpivoted_attribute", "VARCHAR"),
                "value": ("unpivoted_value", "VARCHAR"),
            }
        found = {}
        for name, kind in self._kinds_by_name().items():
            match = next((given for given in spellings[name] if given in available), None)
            if match is None:
                raise ConfigurationError(
                    f"{file.file.name} has no column {' or '.join(spellings[name])}, which "
                    f"{self.source.path.name} maps to {self.table.name}.{name}. Its columns are "
                    f"{', '.join(file.header)}. Correct the mapping or the file."
                )
            found[name] = (*available[match], kind)
        return found

    def _typed(self, name: str, field: str, field_type: str, kind: canonical.Kind) -> str:
        if field_type in _FLOATS:
            field = f"nullif({field}, 'nan'::{field_type})"
        text = f"nullif(trim({field}::varchar), '')"
        match kind:
            case "id":
                # Spreadsheets and data frames turn whole numbers into 17850.0.
                normal = normal_id(text) if field_type not in _INTEGERS else text
                return self._pseudonym(normal) if name == "customer_id" else normal
            case "text":
                return text
            case "timestamp":
                return self._moment(field, field_type, text)
            case "date":
                return f"({self._moment(field, field_type, text)})::date"
            case "flag":
                return f"try_cast({text} as boolean)"
            case "count":
                return f"try_cast({text} as bigint)"
        if field_type != "VARCHAR":
            return f"try_cast({field} as {canonical.EXACT_NUMBER})"
        if self.declared.decimal == ",":
            # Only well-placed points are thousands: 12.50 is no decimal-comma number.
            shape = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$"
            pointed = f"replace(replace({text}, '.', ''), ',', '.')"
            text = f"case when regexp_matches({text}, '{shape}') then {pointed} end"
        return f"try_cast({text} as {canonical.EXACT_NUMBER})"

    def _moment(self, field: str, field_type: str, text: str) -> str:
        """Return SQL for a point in time; a text without a zone is in the session's zone."""
        if self.declared.date_format and field_type in _FORMATTED:
            formats = ", ".join(literal(given) for given in self.declared.date_format)
            return f"try_strptime({text}, [{formats}])::timestamptz"
        if field_type == "VARCHAR":
            return f"try_cast({text} as timestamptz)"
        return f"try_cast({field} as timestamptz)"

    def _is_bare_date(self, field: str, field_type: str) -> str:
        """Return SQL telling whether a value is a date alone, which no zone may shift."""
        if self.declared.date_format and field_type in _FORMATTED:
            directives = ("%H", "%I", "%T", "%X", "%c")
            has_time = any(d in given for given in self.declared.date_format for d in directives)
            return str(not has_time).lower()
        if field_type == "VARCHAR":
            return f"coalesce(length(trim({field})) <= {len('2000-01-01')}, false)"
        return str(field_type == "DATE").lower()

    def _pseudonym(self, value: str) -> str:
        if self.source.pseudonymise_ids == "never":
            return value
        key = "getvariable('pseudonym_key')"
        hashed = f"'p-' || left(sha256({key} || lower({value})), {PSEUDONYM_LENGTH})"
        if self.source.pseudonymise_ids == "always":
            return f"case when {value} is not null then {hashed} end"
        is_contact = f"regexp_matches({value}, {literal(CONTACT_SHAPE)})"
        return f"case when length({value}) > 6 and {is_contact} then {hashed} else {value} end"

    def _unpivoted(self, records: str, file: ReadableFile) -> str:
        if not self.declared.unpivot:
            return records
        missing = [name for name in self.declared.unpivot if name not in file.header]
        if missing:
            raise ConfigurationError(
                f"{file.file.name} has no column {missing[0]}, which {self.source.path.name} lists "
                f"under tables.{self.table.name}.unpivot. Its columns are {', '.join(file.header)}."
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

    def _mapped(self) -> list[str]:
        """Return SQL for every canonical column and input, in the types expressions see."""
        columns = []
        for column in self.table.columns:
            name, target = identifier(column.name), _expression_type(column.kind)
            match self.declared.columns.get(column.name):
                case FromColumn():
                    value = name
                case FromConstant(constant=constant):
                    value = f"try_cast({literal(constant)} as {target})"
                case FromSql(sql=sql):
                    value = f"try_cast(try({sql}) as {target})"
                case FromLookup(lookup=lookup, column=looked_up):
                    value = f"try_cast({lookup_column(lookup, looked_up)} as {target})"
                case _ if column.name == "currency":
                    value = literal(self.source.currency)
                case _:
                    value = f"null::{target}"
            columns.append(f"{value} as {name}")
        columns += [identifier(name) for name in self.declared.inputs]
        return columns + [
            _bare_date(name) for name, kind in self._kinds_by_name().items() if kind == "timestamp"
        ]

    def _lookup_joins(self) -> list[str]:
        return [
            f"left join {lookup_table(self.table.name, name)} on {identifier(lookup.match)} = "
            f"{lookup_column(name, 'key')}"
            for name, lookup in self.declared.lookups.items()
        ]

    def _final(self, column: canonical.Column) -> str:
        """Return SQL for a canonical column in its final type."""
        name = identifier(column.name)
        if column.kind in ("money", "number", "rate"):
            return f"try_cast({name} as {column.sql_type}) as {name}"
        if self.table is canonical.TRANSACTIONS and column.name in self._derived():
            return f"{self._derived()[column.name]} as {name}"
        if column.kind == "timestamp":
            return f"timezone('UTC', {name}) as {name}"
        return f"{name}"

    def _derived(self) -> dict[str, str]:
        """Return SQL for the columns of transactions that rules give."""
        zone = literal(self.source.time_zone)
        is_bare = "false"
        if isinstance(self.declared.columns["ordered_at"], FromColumn):
            is_bare = _bare_date("ordered_at")
        # The session reads times in the files' own zone, so this is the date as written.
        written_date = "ordered_at::date"
        local_date = written_date
        if self.zone != self.source.time_zone:
            local_date = (
                f"case when {is_bare} then {written_date} "
                f"else timezone({zone}, ordered_at)::date end"
            )
        moment = (
            f"case when {is_bare} then timezone({zone}, {written_date}::timestamp) "
            "else ordered_at end"
        )
        exclusions = [
            f"when ({rule.when}) then {literal(rule.reason)}" for rule in self.declared.exclude
        ]
        line_types = [
            f"when ({rule.when}) then {literal(rule.type)}" for rule in self.declared.line_type
        ]
        return {
            "ordered_on": local_date,
            "ordered_at": f"timezone('UTC', {moment})",
            "line_type": (
                f"case {' '.join(line_types)} "
                "when amount >= 0 and coalesce(quantity, 0) >= 0 then 'sale' else 'return' end"
            ),
            "excluded_reason": (
                f"case {' '.join(exclusions)} end" if exclusions else "null::varchar"
            ),
        }

    def _original(self, file: ReadableFile) -> str:
        fields = ", ".join(f"coalesce(c{index}::varchar, '')" for index in range(len(file.header)))
        delimiter = self.declared.delimiter if len(self.declared.delimiter) == 1 else " "
        return f"coalesce(original_text, concat_ws({literal(delimiter)}, {fields}))"


def normal_id(text: str) -> str:
    """Return SQL that turns 17850.0, as spreadsheets write a whole number, into 17850."""
    whole = f"regexp_replace({text}, '^(-?\\d+)\\.0+$', '\\1')"
    return f"case when contains({text}, '.') then {whole} else {text} end"


def lookup_table(table: str, lookup: str) -> str:
    """Return the name of the temporary table that holds a lookup while its table loads."""
    return identifier(f"lookup {table} {lookup}")


def lookup_column(lookup: str, column: str) -> str:
    """Return the name of a column of that temporary table; it can clash with no other."""
    return identifier(f"{lookup}: {column}")


def _bare_date(name: str) -> str:
    return identifier(f"{name} is a bare date")


def _empty_columns(kinds: dict[str, canonical.Kind]) -> list[str]:
    return [f"null::{_expression_type(kind)} as {identifier(n)}" for n, kind in kinds.items()]


def _expression_type(kind: canonical.Kind) -> str:
    """Return the type in which expressions see a column of that kind."""
    if kind in ("money", "number", "rate"):
        return canonical.EXACT_NUMBER
    return "TIMESTAMPTZ" if kind == "timestamp" else canonical.SQL_TYPES[kind]


def _present(field: str, field_type: str) -> str:
    if field_type in _FLOATS:
        return f"nullif({field}, 'nan'::{field_type}) is not null"
    return f"nullif(trim({field}::varchar), '') is not null"
