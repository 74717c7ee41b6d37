"""Source configuration: `data/sources/<name>.yml`, read, validated and typed.

A source is one business. Every mistake in its file ends in a ConfigurationError that names the
file, the line, the key and the mend.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from dagster_project.config import canonical, churn, tiers
from dagster_project.config.versions import overlaps
from dagster_project.errors import ConfigurationError
from dagster_project.paths import PROJECT_DIR, SourcePaths

TEMPLATE = "template"
# What customers did besides buying.
INTERACTION_TABLES = frozenset({"interactions", "campaign_responses", "exit_surveys"})

# How messages call a version of what has versions.
_VERSION_NAMES = {"churn_definition": churn.name_of, "value_tiers": tiers.name_of}
_SETTINGS_ELSEWHERE = {
    ("settings", "lost_threshold_days"): "churn_definition: {method: fixed, lost_days",
    ("settings", "high_tier_share"): "value_tiers: {high",
    ("settings", "middle_tier_share"): "value_tiers: {middle",
}

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DATE_DIRECTIVES = ({"%Y", "%y"}, {"%m", "%b", "%B", "%-m"}, {"%d", "%-d"})


class _Part(BaseModel):
    """Base of every part of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FromColumn(_Part):
    """A column of the file, by the first of its accepted spellings that the header has."""

    column: tuple[str, ...]


class FromConstant(_Part):
    """The same value in every row."""

    constant: str | int | float | bool


class FromSql(_Part):
    """A SQL expression over the columns mapped by name and the inputs."""

    sql: str


class FromLookup(_Part):
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


def _checked(kind: type[_Part], form: dict[str, Any]) -> _Part:
    try:
        return kind(**form)
    except ValidationError as error:
        raise ValueError(f"{next(iter(form))}: {error.errors()[0]['msg']}") from None


Mapping = Annotated[FromColumn | FromConstant | FromSql | FromLookup, BeforeValidator(_mapping)]


class Input(_Part):
    """A column that only expressions use, with the type they see."""

    column: tuple[str, ...]
    type: canonical.Kind = "text"

    @field_validator("column", mode="before")
    @classmethod
    def _several_spellings(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class LineTypeRule(_Part):
    """Lines for which `when` holds are of this type; the first rule that holds counts."""

    type: Literal["sale", "return", "adjustment"]
    when: str


class ExclusionRule(_Part):
    """Lines for which `when` holds stay in raw, marked with the reason, and are not used."""

    reason: str
    when: str


class FileFormat(_Part):
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
        return None if value is None else _check_time_zone(value)


class Limits(_Part):
    """What the raw gate lets pass."""

    rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    customerless_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    minimum_amount: Decimal = Decimal(-1_000_000)
    maximum_amount: Decimal = Decimal(1_000_000)


class Settings(_Part):
    """Numbers behind stages, alerts and scores; a null follows from the churn definition.

    Days are whole days. See DECISIONS.md for the reasons behind the defaults.
    """

    typical_gap_days: Annotated[int, Field(ge=1)] | None = None
    alarm_gap_count: Annotated[int, Field(ge=1)] = 3
    new_customer_days: Annotated[int, Field(ge=1)] = 30
    evergreen_purchase_days: Annotated[int, Field(ge=2)] = 3
    client_purchase_days: Annotated[int, Field(ge=2)] = 5
    decline_share: Annotated[Decimal, Field(gt=0, lt=1)] = Decimal("0.50")
    return_share_rise: Annotated[Decimal, Field(gt=0, lt=1)] = Decimal("0.20")
    alert_lift: Annotated[Decimal, Field(ge=1)] = Decimal("2")
    false_lost_limit: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.50")
    score_min_buyers: Annotated[int, Field(ge=1)] = 500
    score_min_days: Annotated[int, Field(ge=1)] = 180
    score_min_repeat_buyers: Annotated[int, Field(ge=1)] = 50
    discount_rate: Annotated[Decimal, Field(ge=0, le=1)] = Decimal("0.10")
    kept_releases: Annotated[int, Field(ge=1)] = 7


def _one_or_several(example: str) -> BeforeValidator:
    """Return what reads one version of a definition, or a list of them."""

    def versions(value: Any) -> Any:
        if value is None:
            return ()
        written = [value] if isinstance(value, dict) else value
        if isinstance(written, list) and all(isinstance(one, dict) for one in written):
            return written
        raise ValueError(f"should be a definition, such as {example}, or a list of its versions")

    return BeforeValidator(versions)


class Source(_Part):
    """One business: where its tables come from and what is normal for it."""

    name: str
    path: Path
    description: str
    kind: Literal["finished", "live"]
    first_day: date
    last_day: date | None = None
    industry: str | None = None
    churn_definition: Annotated[
        tuple[churn.DeclaredDefinition, ...],
        _one_or_several("{method: fixed, lost_days: 90}"),
    ] = ()
    value_tiers: Annotated[
        tuple[tiers.DeclaredTiers, ...],
        _one_or_several("{method: share, high: 0.20, middle: 0.50}"),
    ] = ()
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    time_zone: str
    margin_rate: Annotated[Decimal, Field(ge=0, le=1, decimal_places=4)]
    pseudonymise_ids: Literal["auto", "always", "never"] = "auto"
    schedule_time_zone: str | None = None
    settings: Settings = Settings()
    limits: Limits = Limits()
    tables: dict[str, TableSource]

    _lines: dict[tuple, int] = PrivateAttr(default_factory=dict)

    @field_validator("time_zone", "schedule_time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return None if value is None else _check_time_zone(value)

    @field_validator("industry")
    @classmethod
    def _known_industry(cls, value: str | None) -> str | None:
        return None if value is None else churn.check_industry(value)

    @model_validator(mode="after")
    def _days_fit_kind(self) -> "Source":
        if (self.kind == "finished") != (self.last_day is not None):
            raise ValueError("last_day is needed for kind: finished, and only there")
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError("last_day is before first_day")
        return self

    @cached_property
    def churn_definitions(self) -> tuple[churn.Definition, ...]:
        """The versions of when a customer is lost, by the day from which each counts."""
        return churn.resolve(self.churn_definition, self.industry)

    @cached_property
    def churn_basis(self) -> churn.Basis:
        """What breaks a silence; the same for all versions, as it says what a silence is."""
        return self.churn_definitions[-1].basis

    @cached_property
    def typical_gap_days(self) -> int:
        """Days between purchases assumed before a customer has shown a rhythm."""
        return self.settings.typical_gap_days or max(1, self.churn_definitions[-1].lost_days // 3)

    def today(self, now: datetime) -> date:
        """Return the business date at a moment (an aware datetime)."""
        return now.astimezone(ZoneInfo(self.time_zone)).date()

    def last_complete_day(self, now: datetime) -> date:
        """Return the default as-of date: the last day, or yesterday for a live source."""
        return self.last_day or self.today(now) - timedelta(days=1)

    def place(self, *keys: str) -> str:
        """Return file, line and key of a part of the configuration, for messages."""
        return f"{_shown(self.path)}, {_place(keys, self._lines)}"

    def model_settings(self) -> dict[str, Any]:
        """Return what the numbers of a release depend on: the dbt variables of the source.

        The run adds the as-of date.
        """
        return {
            "currency": self.currency,
            "time_zone": self.time_zone,
            "margin_rate": str(self.margin_rate),
            "churn_basis": self.churn_basis,
            "has_interactions": not INTERACTION_TABLES.isdisjoint(self.tables),
            "has_discounts": "discount_amount" in self.tables["transactions"].columns,
            "churn_definitions": [one.variables() for one in self.churn_definitions],
            "typical_gap_days": self.typical_gap_days,
            "alarm_gap_count": self.settings.alarm_gap_count,
            "new_customer_days": self.settings.new_customer_days,
            "evergreen_purchase_days": self.settings.evergreen_purchase_days,
            "client_purchase_days": self.settings.client_purchase_days,
            "decline_share": str(self.settings.decline_share),
            "return_share_rise": str(self.settings.return_share_rise),
            "alert_lift": str(self.settings.alert_lift),
            "false_lost_limit": str(self.settings.false_lost_limit),
            "value_tiers": tiers.variables(self.value_tiers),
            "score_min_buyers": self.settings.score_min_buyers,
            "score_min_days": self.settings.score_min_days,
            "score_min_repeat_buyers": self.settings.score_min_repeat_buyers,
            "discount_rate": str(self.settings.discount_rate),
        }

    def settings_fingerprint(self) -> str:
        """Return a hash of everything but the files that decides what a release holds."""
        everything = self.model_dump(mode="json", exclude={"name", "path", "schedule_time_zone"})
        everything["churn_definitions"] = [one.variables() for one in self.churn_definitions]
        everything["value_tiers"] = tiers.variables(self.value_tiers)
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def source_files(data_dir: Path) -> dict[str, Path]:
    """Return the files of the configured sources by name, the template left out.

    A data directory elsewhere may hold `sources/` of its own; those of the project come with it.
    """
    files = {}
    for folder in (PROJECT_DIR / "data" / "sources", data_dir / "sources"):
        files |= {path.stem: path for path in folder.glob("*.yml") if path.stem != TEMPLATE}
    return dict(sorted(files.items()))


def load_source(paths: SourcePaths) -> Source:
    """Read and check the file of a source.

    Raises:
        ConfigurationError: no such source, or something in its file is wrong.
    """
    files = source_files(paths.data_dir)
    if paths.source not in files:
        close = difflib.get_close_matches(paths.source, files, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigurationError(
            f"There is no source named {paths.source!r}.{hint} Sources: {', '.join(files)}. "
            f"To add one, copy data/sources/{TEMPLATE}.yml."
        )
    return read_source(files[paths.source])


def read_source(path: Path) -> Source:
    """Read and check one source file; see `load_source`."""
    if not _NAME.fullmatch(path.stem):
        raise ConfigurationError(
            f"{path.name}: a source's name is lower-case letters, digits and underscores."
        )
    shown = _shown(path)
    try:
        content, lines = _read_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{shown}: not UTF-8 text; save it as UTF-8.") from error
    except _YamlError as problem:
        raise ConfigurationError(f"{shown}, {problem}") from problem
    if not isinstance(content, dict):
        raise ConfigurationError(f"{shown}: expected keys and values, as in the template.")
    try:
        source = Source(name=path.stem, path=path, **content)
    except (ValidationError, TypeError) as error:
        raise ConfigurationError(_explain(shown, error, lines, content)) from error
    source._lines.update(lines)
    _check_versions(source)
    _check_tables(source)
    return source


def _shown(path: Path) -> Path:
    return path.relative_to(PROJECT_DIR) if path.is_relative_to(PROJECT_DIR) else path


def _check_date_format(date_format: str) -> None:
    """Refuse a format from which no date can be read, or that the engine does not know."""
    import duckdb

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


def _check_time_zone(zone: str) -> str:
    if zone not in available_timezones():
        close = difflib.get_close_matches(zone, available_timezones(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"{zone!r} is no time zone{hint}")
    return zone


def _check_versions(source: Source) -> None:
    """Check what needs all versions of a definition beside each other."""
    basis = churn.presets()[source.industry or churn.DEFAULT_INDUSTRY][0].basis
    tier_names = [tiers.name_of(one.model_dump()) for one in source.value_tiers]
    faults = {
        "churn_definition": churn.version_faults(source.churn_definition, basis),
        "value_tiers": overlaps(source.value_tiers, tier_names),
    }
    messages = [
        f"{source.place(key, str(index), field)}: in "
        f"{_VERSION_NAMES[key](getattr(source, key)[index].model_dump())}: {problem}"
        for key, found in faults.items()
        for index, field, problem in found
    ]
    if messages:
        raise ConfigurationError("\n".join(messages))


def _check_tables(source: Source) -> None:
    """Check what needs the canonical tables beside the file: names, keys, rules, expressions."""

    def fail(problem: str, *keys: str) -> None:
        raise ConfigurationError(f"{source.place(*keys)}: {problem}.")

    if "transactions" not in source.tables:
        fail("transactions is required; add it", "tables")
    for name, declared in source.tables.items():
        place = ("tables", name)
        if name not in canonical.TABLES:
            fail(_unknown(name, canonical.TABLES), *place)
        table = canonical.TABLES[name]
        derived = canonical.DERIVED_COLUMNS.get(name, set())
        mappable = [column.name for column in table.columns if column.name not in derived]
        for column in declared.columns:
            if column not in mappable:
                fail(_unknown(column, mappable), *place, "columns", column)
        required = {column.name for column in table.columns if column.required} & {*mappable}
        required -= {"currency"}
        # Lines without a customer may exist, a file without the column is a mistake.
        required |= {"customer_id"} if name == "transactions" else set()
        for column in sorted(required - declared.columns.keys()):
            fail(f"{column} is required for {name}; map it", *place, "columns")
        for column in declared.key:
            if column not in declared.columns:
                fail(_unknown(column, declared.columns), *place, "key")
        for key in ("line_type", "exclude", "key"):
            if name != "transactions" and getattr(declared, key):
                fail(f"{key} is for transactions only; remove it", *place, key)
        if name == "transactions" and declared.unpivot:
            fail("unpivot is not for transactions; remove it", *place, "unpivot")
        for column, mapping in declared.columns.items():
            if isinstance(mapping, FromLookup) and mapping.lookup not in declared.lookups:
                fail(_unknown(mapping.lookup, declared.lookups), *place, "columns", column)
        for lookup_name, lookup in declared.lookups.items():
            if not isinstance(declared.columns.get(lookup.match), FromColumn):
                fail(
                    f"{lookup.match!r} is not a column mapped by name; map it",
                    *(*place, "lookups", lookup_name, "match"),
                )
        for given in declared.inputs:
            if given in mappable or not _NAME.fullmatch(given):
                fail(
                    "an input needs a name of its own, in lower-case letters, digits and "
                    "underscores; rename it",
                    *(*place, "inputs", given),
                )
        for problem, *keys in _expression_faults(source, name):
            fail(problem, *place, *keys)


def _expression_faults(source: Source, name: str) -> Iterator[tuple[str, ...]]:
    """Yield each SQL expression and constant of a table that cannot work, with its key."""
    # `mapping` knows what expressions see, and needs this module.
    from dagster_project.loading.mapping import constant_fault, expression_fault

    declared = source.tables[name]
    for column, mapping in declared.columns.items():
        fault = None
        if isinstance(mapping, FromSql):
            fault = expression_fault(source, name, "columns", mapping.sql)
        elif isinstance(mapping, FromConstant):
            fault = constant_fault(source, name, column, mapping.constant)
        if fault:
            yield fault, "columns", column
    for key in ("line_type", "exclude"):
        for index, rule in enumerate(getattr(declared, key)):
            fault = expression_fault(source, name, key, rule.when)
            if fault:
                yield fault, key, str(index), "when"


def _unknown(name: str, known: Any) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known) or 'none'}"
    return f"unknown name {name!r}; {hint}"


class _YamlError(Exception):
    """What is wrong with the text of a YAML file, with its line."""


class _Loader(yaml.SafeLoader):
    """Leaves dates as text, so that an impossible one is reported with its key like any value."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, shape) for tag, shape in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _read_yaml(text: str) -> tuple[Any, dict[tuple, int]]:
    """Return the content of a YAML text and the line of each key path."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else "the file"
        problem = getattr(error, "problem", None) or "not YAML"
        raise _YamlError(
            f"{line}: this is no YAML ({problem}). Check the indentation, and put values that "
            "start with * or %, or hold a colon or comma, into quotes."
        ) from error
    lines = dict(_key_lines(node, ())) if node else {}
    return yaml.load(text, Loader=_Loader), lines


def _key_lines(node: yaml.Node, path: tuple) -> Iterator[tuple[tuple, int]]:
    """Yield the line of every key; YAML itself lets a repeated key silently win."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _YamlError(f"line {line}: a key is a plain word; correct it.")
            if key.value in seen:
                raise _YamlError(
                    f"line {line}: the key {'.'.join([*path, key.value])} is repeated (first on "
                    f"line {seen[key.value]}); keep one of them."
                )
            seen[key.value] = line
            yield (*path, key.value), line
            yield from _key_lines(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, str(index)), item.start_mark.line + 1
            yield from _key_lines(item, (*path, str(index)))


def _place(where: tuple, lines: dict[tuple, int]) -> str:
    """Return `line 12, tables.transactions.files` for the nearest key that stands in the file."""
    where = _as_written(where, lines)
    known = where
    while known and known not in lines:
        known = known[:-1]
    line = f"line {lines[known]}, " if known else ""
    return f"{line}{'.'.join(where)}" if where else f"{line}the file"


def _as_written(where: tuple, lines: dict[tuple, int]) -> tuple:
    """Drop the position of a value that the file gives alone where a list may stand."""
    written: tuple = ()
    for part in where:
        if not part.isdigit() or written not in lines or (*written, part) in lines:
            written = (*written, part)
    return written


def _explain(
    shown: Path, error: ValidationError | TypeError, lines: dict[tuple, int], content: dict
) -> str:
    """Turn pydantic's errors into one line each, with the place and the mend."""
    if isinstance(error, TypeError):
        return f"{shown}: the keys name and path are taken from the file itself; remove them."
    messages = []
    for problem in error.errors():
        where = tuple(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            parent = _model_at(where[:-1])
            known = [key for key in parent.model_fields if key not in ("name", "path")]
            text = _unknown(where[-1], known).replace("unknown name", "unknown key")
            if where in _SETTINGS_ELSEWHERE:
                # Settings people look for; no known key has a name near to theirs.
                text = (
                    f"is no setting; write {_SETTINGS_ELSEWHERE[where]}: {problem['input']}}} "
                    "beside settings"
                )
        else:
            text = churn.problem_text(problem)
        if where and where[0] in _VERSION_NAMES and len(where) > 1:
            written = content[where[0]]
            one = written[int(where[1])] if isinstance(written, list) else written
            text = f"in {_VERSION_NAMES[where[0]](one)}: {text}"
        messages.append(f"{shown}, {_place(where, lines)}: {text}")
    return "\n".join(dict.fromkeys(messages))


def _model_at(where: tuple[str, ...]) -> type[BaseModel]:
    """Return the part of the file that a key path leads to, to name the keys it knows."""
    if not where:
        return Source
    if where[0] in ("settings", "limits"):
        return {"settings": Settings, "limits": Limits}[where[0]]
    if where[0] == "churn_definition":
        return churn.DeclaredDefinition
    if where[0] == "value_tiers":
        return tiers.DeclaredTiers
    if "lookups" in where:
        return Lookup
    if "inputs" in where:
        return Input
    if "line_type" in where:
        return LineTypeRule
    return ExclusionRule if "exclude" in where else TableSource
