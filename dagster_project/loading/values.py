"""The SQL that types one value of a record: ids, numbers, moments.

Typing never fails a load: what cannot be typed becomes null.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from dagster_project.config import canonical
from dagster_project.loading.contacts import half_width
from dagster_project.warehouse import identifier, literal

FLOATS = ("FLOAT", "DOUBLE")
INTEGERS = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "UBIGINT", "UINTEGER")
# Types whose values a declared date format applies to.
FORMATTED = ("VARCHAR", "BIGINT", "INTEGER")
# Unicode's white space, and characters without width: joiners, marks of direction, soft hyphens.
BLANKS = "".join(
    map(
        chr,
        [
            *range(0x09, 0x0E),
            *(0x20, 0x85, 0xA0, 0xAD, 0x1680, 0x180E),
            *range(0x2000, 0x2010),
            *range(0x2028, 0x2030),
            *range(0x205F, 0x2070),
            *(0x3000, 0xFEFF),
        ],
    )
)
# An id as spreadsheets write long numbers, their last digits lost; 12E3 may be a product.
SCIENTIFIC = r"^\d([.,]\d+)?[Ee]\+\d+$"
# Between them lie the years from 1 to 9999 in any zone on earth: those that calendars, databases
# and Python know.
FIRST_MOMENT = "timestamptz '0001-12-31 (BC) 00:00:00+00'"
LAST_MOMENT = "timestamptz '10000-01-02 00:00:00+00'"
TIME_DIRECTIVES = ("%H", "%-H", "%I", "%-I", "%T", "%X", "%c")


@dataclass(frozen=True)
class GivenValue:
    """A value as the file (or a lookup) gives it: its SQL, its type, and what it shall become.

    `decimal`, `null_values` and `date_formats` say how it is written there; `plain` is the column
    that tells whether an id is plain (see `is_plain`), where one does.
    """

    sql: str
    type: str
    kind: canonical.Kind
    decimal: str
    null_values: tuple[str, ...]
    date_formats: tuple[str, ...]
    plain: str | None = None

    @cached_property
    def value(self) -> str:
        """SQL for the value, null where the file means none."""
        if self.type in FLOATS:
            return f"nullif({self.sql}, 'nan'::{self.type})"
        return self.sql

    @cached_property
    def text(self) -> str:
        """SQL for the trimmed text of the value, null where the file means none."""
        if self.type == "VARCHAR":
            # Trimming walks through every character; few values need it.
            padded = f"prefix({self.sql}, ' ') or suffix({self.sql}, ' ')"
            text = f"nullif(case when {padded} then trim({self.sql}) else {self.sql} end, '')"
        else:
            text = f"{self.value}::varchar"
        return _unless_null(text, self.null_values, text)

    @property
    def normal_id(self) -> str:
        """SQL that writes an id as text, in the one form of `normal_id`."""
        if self.type in INTEGERS:
            return self.text
        if self.type in FLOATS:
            whole = f"try_cast({self.value} as hugeint)"
            return (
                f"case when {self.value} = trunc({self.value}) then {whole}::varchar "
                f"else {self.text} end"
            )
        if self.type != "VARCHAR":
            return normal_id(self.text)
        # A value may mean none as it is written, or in its normal form.
        normal = normal_id(self.sql)
        if self.plain:
            normal = f"case when {self.plain} then {self.sql} else {normal} end"
        return _unless_null(
            self.sql, self.null_values, _unless_null(normal, self.null_values, normal)
        )

    @property
    def long_number(self) -> str:
        """SQL for an id that may be a long number; one that lost digits is in scientific form."""
        if self.type not in FLOATS:
            return self.normal_id
        exact = 1 << (53 if self.type == "DOUBLE" else 24)
        lossy = f"format('{{:.16e}}', {self.value})"
        return f"case when abs({self.value}) > {exact} then {lossy} else {self.normal_id} end"

    @property
    def flag(self) -> str:
        """SQL for true or false."""
        return self._read(self.text, lambda text: f"try_cast({text} as boolean)")

    @property
    def whole_number(self) -> str:
        """SQL for a whole number."""
        return self._read(self._written, lambda text: f"try_cast({self._pointed(text)} as bigint)")

    @property
    def number(self) -> str:
        """SQL for a number with six decimals."""
        return self._read(
            self._written,
            lambda text: f"try_cast({self._pointed(text)} as {canonical.EXACT_NUMBER})",
        )

    def _pointed(self, text: str) -> str:
        """Return SQL for a number as it is written, with a decimal point."""
        if self.decimal != "," or self.type != "VARCHAR":
            return text
        # Only well-placed points are thousands: 12.50 is no decimal-comma number.
        shape = r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?"
        pointed = f"replace(replace({text}, '.', ''), ',', '.')"
        return f"case when regexp_full_match({text}, '{shape}') then {pointed} end"

    @property
    def moment(self) -> str:
        """SQL for a point in time; a text without a zone is in the session's zone."""
        if self.date_formats and self.type in FORMATTED:
            return self._read(
                self.text, lambda text: f"{_parsed(text, self.date_formats)}::timestamptz"
            )
        return self._read(self._written, lambda text: f"try_cast({text} as timestamptz)")

    @property
    def is_bare_date(self) -> str:
        """SQL telling whether it is a date alone, which no zone may shift."""
        if self.date_formats and self.type in FORMATTED:
            without_time = [
                one
                for one in self.date_formats
                if not any(directive in one for directive in TIME_DIRECTIVES)
            ]
            if not without_time:
                return "false"
            bare_date = self._read(self.text, lambda text: _parsed(text, without_time))
            return f"{bare_date} is not null"
        if self.type == "VARCHAR":
            return f"coalesce(length({self._bare}) <= {len('2000-01-01')}, false)"
        return str(self.type == "DATE").lower()

    @property
    def _written(self) -> str:
        return self.text if self.type == "VARCHAR" else self.value

    def _read(self, given: str, cast: Callable[[str], str]) -> str:
        """Return SQL for what a cast makes of the value, whatever blanks stand round it."""
        if self.type != "VARCHAR":
            return cast(given)
        # Spaces are gone; only where that was not enough are tabs and other blanks looked for.
        return f"coalesce({cast(given)}, {cast(self._bare)})"

    @property
    def _bare(self) -> str:
        """SQL for the text of the value without any blanks at its ends."""
        return f"trim({self.text}, {literal(BLANKS)})"


def ordinal(sql: str, kind: canonical.Kind) -> str:
    """Return SQL for the number that orders typed values: later is larger."""
    moments = {"timestamp": sql, "date": f"{sql}::timestamp"}
    number = f"epoch_us({moments[kind]})" if kind in moments else sql
    return f"{number}::decimal(38, 6)"


def problem(fields: Mapping[str, GivenValue]) -> str:
    """Return SQL for the reason that a value of a record cannot be typed."""
    # Nested, so that only values without a type are looked at again.
    problems = [
        f"case when {identifier(name)} is null then case when {one.text} is not null "
        f"then {literal(f'{name} is not {canonical.KIND_NAMES[one.kind]}')} end end"
        for name, one in fields.items()
        if one.kind not in ("id", "text")
    ]
    return f"coalesce({', '.join(['defect', *problems])})"


def in_calendar(moment: str) -> str:
    """Return SQL for a moment, endless where it lies in no year from 1 to 9999.

    With those far beyond no zone can be reckoned; `incomplete_row` tells of them.
    """
    return (
        f"case when {moment} between {FIRST_MOMENT} and {LAST_MOMENT} then {moment} "
        f"when {moment} is not null then timestamptz 'infinity' end"
    )


def incomplete_row(columns: Iterable[canonical.Column]) -> str:
    """Return SQL for the reason that a final row lacks a value, or a year that there is."""
    tests = {
        "date": "{} not between date '0001-01-01' and date '9999-12-31'",
        "timestamp": "isinf({})",
    }
    cases = [
        # The business date is computed from the time.
        f"when {tests[column.kind].format(column.name)} then "
        f"'{column.name.replace('ordered_on', 'ordered_at')} is not in a year from 1 to 9999'"
        for column in columns
        if column.kind in tests
    ]
    cases += [
        f"when {identifier(column.name)} is null then {literal(f'{column.name} is missing')}"
        for column in columns
        if column.required
    ]
    return f"case {' '.join(cases)} end"


def is_plain(text: str) -> str:
    """Return SQL telling whether an id is in its normal form and holds no sign of an address.

    An address on the web leaves letters, digits, hyphens, underscores and points alone, and nothing
    else that ids have. It is the quickest function there is that looks at every character.
    """
    unchanged = f"url_encode({text}) = {text}"
    return f"({unchanged} and not contains({text}, '.') and not prefix({text}, 'wxid_'))"


def normal_id(text: str) -> str:
    """Return SQL for the one form of an id given as SQL of a text; nothing left is null.

    Full-width characters become ASCII ones, blanks and characters without width are cut at both
    ends, Excel's `="…"`, a `'` before a digit and the `.0` of whole numbers are removed. Leading
    zeros, case and everything else stay.
    """
    bare = f"trim({half_width(text)}, {literal(BLANKS)})"
    unwrapped = f"trim(regexp_replace({bare}, '^=\"(.*)\"$', '\\1'), {literal(BLANKS)})"
    unmarked = f"regexp_replace({unwrapped}, '^''(\\d)', '\\1')"
    whole = f"regexp_replace({unmarked}, '^(-?\\d+)\\.0+$', '\\1')"
    return f"case when {is_plain(text)} then {text} else nullif({whole}, '') end"


def is_scientific(text: str) -> str:
    """Return SQL telling whether an id is in the scientific form of spreadsheets."""
    matches = f"regexp_matches({text}, {literal(SCIENTIFIC)})"
    return f"(case when contains({text}, '+') then {matches} else false end)"


def _unless_null(test: str, nulls: tuple[str, ...], text: str) -> str:
    """Return SQL for a text, null where `test`, a text too, is one of `nulls`."""
    if not nulls:
        return text
    return f"case when {test} not in ({', '.join(map(literal, nulls))}) then {text} end"


def _parsed(text: str, formats: list[str] | tuple[str, ...]) -> str:
    """Return SQL for a text read by the first of the date formats that fits."""
    return f"try_strptime({text}, [{', '.join(literal(one) for one in formats)}])"
