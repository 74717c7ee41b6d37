"""The tables of a source's file: where the rows of each are, and how its columns are filled.

Here a part is right or wrong by itself; what needs the canonical tables beside it is in `checks`.
"""

import difflib
import re
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

import duckdb
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from dagster_project.config import canonical

_DATE_DIRECTIVES = ({"%Y", "%y"}, {"%m", "%b", "%B", "%-m"}, {"%d", "%-d"})


class Part(BaseModel):
    """Base of every part of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FromColumn(Part):
    """A column of the file, by the first of its accepted spellings that the header has."""

    column: tuple[str, ...]


class FromConstant(Part):
    """The same value in every row."""

    constant: str | int | float | bool


class FromSql(Part):
    """A SQL expression over the columns mapped by name and the inputs."""

    sql: str


class FromLookup(Part):
    """A column of one of the table's lookups."""

    lookup: str
    column: str


def _mapping(form: Any) -> Any:
    """Turn the short forms (a name, a list of spellings) into the long one."""
    if isinstance(form, str):
        return FromColumn(column=(form,))
    if isinstance(form, list) and form and all(isinstance(spelling, str) for spelling in form):
        return FromColumn(column=tuple(form))
    if isinstance(form, dict):
        for kind in (FromConstant, FromSql, FromLookup):
            if form.keys() == kind.model_fields.keys():
                return _checked(kind, form)
    raise ValueError(
        "should be a name, a list of accepted names, {constant: value}, {sql: expression} "
        "or {lookup: name, column: name}"
    )


def _checked(kind: type[Part], form: dict[str, Any]) -> Part:
    try:
        return kind(**form)
    except ValidationError as error:
        raise ValueError(f"{next(iter(form))}: {error.errors()[0]['msg']}") from None


Mapping = Annotated[FromColumn | FromConstant | FromSql | FromLookup, BeforeValidator(_mapping)]


class Input(Part):
    """A column that only expressions use, with the type they see."""

    column: tuple[str, ...]
    type: canonical.Kind = "text"

    @field_validator("column", mode="before")
    @classmethod
    def _several_spellings(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class LineTypeRule(Part):
    """Lines for which `when` holds are of this type; the first rule that holds counts.

    `sign` tells what a positive amount of a return means: money given back all the same, or, as
    written, a return that is reversed.
    """

    type: Literal["sale", "return", "adjustment"]
    when: str
    sign: Literal["negative", "as_written"] = "negative"

    @model_validator(mode="after")
    def _sign_of_a_return(self) -> "LineTypeRule":
        if "sign" in self.model_fields_set and self.type != "return":
            raise ValueError(f"sign is for type: return only; the sign of a {self.type} stays")
        return self


class ExclusionRule(Part):
    """Lines for which `when` holds stay in raw, marked with the reason, and are not used."""

    reason: str
    when: str


class FileFormat(Part):
    """Where the rows are and how they are written."""

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    format: Literal["csv", "parquet", "jsonl"] | None = None
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    column_names: tuple[str, ...] = ()
    encoding: Literal["utf-8", "utf-16", "latin-1", "gbk"] = "utf-8"
    decimal: Literal[".", ","] = "."
    null_values: tuple[str, ...] = ()

    @field_validator("files", mode="before")
    @classmethod
    def _several_files(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if value != "whitespace" and len(value) != 1:
            raise ValueError('must be one character (a tab is "\\t"), or the word whitespace')
        return value

    @field_validator("quote")
    @classmethod
    def _one_or_none(cls, value: str) -> str:
        if len(value) > 1:
            raise ValueError("must be one character, or empty where values are not quoted")
        return value

    @model_validator(mode="after")
    def _names_without_header(self) -> "FileFormat":
        if self.header == bool(self.column_names):
            raise ValueError("column_names are needed with header: false, and only then")
        return self


class Lookup(FileFormat):
    """A small table of the source whose columns are added to rows by one key."""

    key: str
    match: str


class TableSource(FileFormat):
    """Where a canonical table comes from and how its columns are filled."""

    columns: dict[str, Mapping]
    inputs: dict[str, Input] = {}
    lookups: dict[str, Lookup] = {}
    unpivot: tuple[str, ...] = ()
    time_zone: str | None = None
    date_format: tuple[str, ...] = ()
    line_type: tuple[LineTypeRule, ...] = ()
    exclude: tuple[ExclusionRule, ...] = ()
    key: tuple[str, ...] = ()
    duplicates: Literal["block", "keep_last"] = "block"
    version_by: str | None = None
    repeated_lines: Literal["refused", "allowed"] = "refused"
    # Addresses and order notes have 4 to 10; far more are a quote that was left open.
    maximum_line_breaks: Annotated[int, Field(ge=0)] = 50

    @field_validator("date_format", "key", "unpivot", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("date_format")
    @classmethod
    def _possible_dates(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for date_format in value:
            _check_date_format(date_format)
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return None if value is None else check_time_zone(value)


def check_time_zone(zone: str) -> str:
    """Return the zone if there is one of that name.

    Raises:
        ValueError: there is none.
    """
    if zone not in available_timezones():
        close = difflib.get_close_matches(zone, available_timezones(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"{zone!r} is no time zone{hint}")
    return zone


def _check_date_format(date_format: str) -> None:
    """Refuse a format from which no date can be read, or that the engine does not know."""
    directives = set(re.findall(r"%-?[A-Za-z]", date_format))
    complete = all(directives & alternatives for alternatives in _DATE_DIRECTIVES)
    if not complete and not {"%Y", "%j"} <= directives and "%x" not in directives:
        raise ValueError(
            f"{date_format!r} can never give a date: it needs a year (%Y), a month (%m) and a "
            "day (%d), for example %d.%m.%Y"
        )
    try:
        duckdb.execute("select try_strptime('', ?)", [date_format]).fetchall()
    except duckdb.Error as error:
        raise ValueError(
            f"{date_format!r} is no date format: {str(error).split(': ')[-1]}"
        ) from None
