"""A source: one business, as its file `data/sources/<name>.yml` describes it; read and checked.

Every mistake in the file ends in a ConfigurationError that names the file, the line, the key and
the remedy.
"""

import difflib
import hashlib
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from dagster_project.config import churn, churn_presets, tiers
from dagster_project.config.checks import NAME, VERSION_NAMES, table_faults, version_faults
from dagster_project.config.closed_days import ClosedDays, read_closed_days
from dagster_project.config.messages import problem_text, shown_path, unknown
from dagster_project.config.tables import (
    ExclusionRule,
    Input,
    LineTypeRule,
    Lookup,
    Part,
    TableSource,
    check_time_zone,
)
from dagster_project.config.yaml_lines import YamlError, place_of, read_yaml
from dagster_project.errors import ConfigurationError
from dagster_project.paths import PROJECT_DIR, SourcePaths

TEMPLATE = "template"
# What customers did besides buying.
INTERACTION_TABLES = frozenset({"interactions", "campaign_responses", "exit_surveys"})
# What is kept how long; no number of a release depends on it.
KEPT = {"kept_releases", "kept_days", "kept_runs"}
_SETTINGS_ELSEWHERE = {
    ("settings", "lost_threshold_days"): "churn_definition: {method: fixed, lost_days",
    ("settings", "high_tier_share"): "value_tiers: {high",
    ("settings", "middle_tier_share"): "value_tiers: {medium",
}
# Keys of former versions, by the last parts of their path.
_RENAMED = {
    ("limits", "rejected_share"): "maximum_rejected_share",
    ("limits", "customerless_share"): "maximum_customerless_share",
    ("settings", "alert_lift"): "minimum_alert_lift",
    ("settings", "false_lost_limit"): "maximum_false_lost_share",
    ("settings", "score_min_buyers"): "minimum_score_buyers",
    ("settings", "score_min_days"): "minimum_score_days",
    ("settings", "score_min_repeat_buyers"): "minimum_score_repeat_buyers",
    ("value_tiers", "middle"): "medium",
}


class Limits(Part):
    """What the raw gate lets pass."""

    maximum_rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    maximum_customerless_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    allow_no_customers: bool = False
    minimum_amount: Decimal = Decimal(-1_000_000)
    maximum_amount: Decimal = Decimal(1_000_000)
    # A null follows from the days of the last eight weeks; see `loading.feed`.
    maximum_silent_days: Annotated[int, Field(ge=1)] | None = None


class Settings(Part):
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
    minimum_alert_lift: Annotated[Decimal, Field(ge=1)] = Decimal("2")
    maximum_false_lost_share: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.50")
    minimum_score_buyers: Annotated[int, Field(ge=1)] = 500
    minimum_score_days: Annotated[int, Field(ge=1)] = 180
    minimum_score_repeat_buyers: Annotated[int, Field(ge=1)] = 50
    discount_rate: Annotated[Decimal, Field(ge=0, le=1)] = Decimal("0.10")
    # With less, readers of several files lose the release they read in two mornings.
    kept_releases: Annotated[int, Field(ge=2)] = 7
    kept_days: Annotated[int, Field(ge=0)] = 90
    kept_runs: Annotated[int, Field(ge=1)] = 20


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


def _texts(value: Any) -> Any:
    """Return values as texts: YAML reads 0, null and .nan as something else."""
    if not isinstance(value, list):
        raise ValueError('should be a list of values, such as [guest, "0"], or [] for none')
    return tuple("null" if one is None else str(one).strip().lower() for one in value)


class Source(Part):
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
        _one_or_several("{method: share, high: 0.20, medium: 0.50}"),
    ] = ()
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    time_zone: str
    margin_rate: Annotated[Decimal, Field(ge=0, le=1, decimal_places=4)]
    pseudonymise_ids: Literal["auto", "always", "never"] = "auto"
    # Values of customer_id, in any case, that mean no customer.
    no_customer_values: Annotated[tuple[str, ...], BeforeValidator(_texts)] = (
        *("0", "guest", "null", "none", "nan", "n/a", "-"),
    )
    # Published columns whose text may look like a contact.
    allow_contact_shapes: tuple[str, ...] = ()
    schedule_time_zone: str | None = None
    closed_days: Annotated[tuple[ClosedDays, ...], BeforeValidator(read_closed_days)] = ()
    settings: Settings = Settings()
    limits: Limits = Limits()
    tables: dict[str, TableSource]

    _lines: dict[tuple, int] = PrivateAttr(default_factory=dict)

    @field_validator("time_zone", "schedule_time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return None if value is None else check_time_zone(value)

    @field_validator("industry")
    @classmethod
    def _known_industry(cls, value: str | None) -> str | None:
        return None if value is None else churn_presets.check_industry(value)

    @model_validator(mode="after")
    def _days_fit_kind(self) -> "Source":
        if (self.kind == "finished") != (self.last_day is not None):
            raise ValueError("last_day is needed for kind: finished, and only there")
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError("last_day is before first_day")
        if self.kind == "finished" and self.limits.maximum_silent_days is not None:
            raise ValueError("limits.maximum_silent_days is for kind: live; remove it")
        return self

    @cached_property
    def days_closed(self) -> frozenset[date]:
        """The days on which nothing is expected to come in."""
        return frozenset(day for closed in self.closed_days for day in closed.days())

    @cached_property
    def churn_definitions(self) -> tuple[churn.Definition, ...]:
        """The versions of when a customer is lost, by the day from which each counts."""
        return churn_presets.resolve(self.churn_definition, self.industry)

    @cached_property
    def churn_basis(self) -> churn.Basis:
        """What breaks a silence; the same for all versions, as it says what a silence is."""
        return self.churn_definitions[-1].basis

    @cached_property
    def typical_gap_days(self) -> int:
        """Days between purchases assumed before a customer has shown a rhythm."""
        return self.settings.typical_gap_days or max(1, self.churn_definitions[-1].lost_days // 3)

    @property
    def schedule_zone(self) -> ZoneInfo:
        """The time zone of the morning run and of the people who read of it."""
        return ZoneInfo(self.schedule_time_zone or self.time_zone)

    def today(self, now: datetime) -> date:
        """Return the business date at a moment (an aware datetime)."""
        return now.astimezone(ZoneInfo(self.time_zone)).date()

    def last_complete_day(self, now: datetime) -> date:
        """Return the default as-of date: the last day, or yesterday for a live source."""
        return self.last_day or self.today(now) - timedelta(days=1)

    def place(self, *keys: str) -> str:
        """Return file, line and key of a part of the configuration, for messages."""
        return f"{shown_path(self.path)}, {place_of(keys, self._lines)}"

    def model_settings(self) -> dict[str, Any]:
        """Return what the numbers of a release depend on, beside its days."""
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
            "minimum_alert_lift": str(self.settings.minimum_alert_lift),
            "maximum_false_lost_share": str(self.settings.maximum_false_lost_share),
            "value_tiers": tiers.variables(self.value_tiers),
            "minimum_score_buyers": self.settings.minimum_score_buyers,
            "minimum_score_days": self.settings.minimum_score_days,
            "minimum_score_repeat_buyers": self.settings.minimum_score_repeat_buyers,
            "discount_rate": str(self.settings.discount_rate),
        }

    def dbt_variables(self, as_of: date) -> dict[str, Any]:
        """Return the variables with which the models are built as of a day."""
        return {
            "as_of_date": as_of.isoformat(),
            "first_day": self.first_day.isoformat(),
            **self.model_settings(),
        }

    def settings_fingerprint(self) -> str:
        """Return a hash of everything but the files that decides what a release holds."""
        decides_nothing = {"name": True, "path": True, "schedule_time_zone": True, "settings": KEPT}
        everything = self.model_dump(mode="json", exclude=decides_nothing)
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
    if not NAME.fullmatch(path.stem):
        raise ConfigurationError(
            f"{path.name}: a source's name is lower-case letters, digits and underscores."
        )
    shown = shown_path(path)
    try:
        content, lines = read_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{shown}: not UTF-8 text; save it as UTF-8.") from error
    except YamlError as problem:
        raise ConfigurationError(f"{shown}, {problem}") from problem
    if not isinstance(content, dict):
        raise ConfigurationError(f"{shown}: expected keys and values, as in the template.")
    try:
        source = Source(name=path.stem, path=path, **content)
    except (ValidationError, TypeError) as error:
        raise ConfigurationError(_explain(shown, error, lines, content)) from error
    source._lines.update(lines)
    _check(source)
    return source


def _check(source: Source) -> None:
    """Raise what is wrong with parts that are right by themselves; of its tables the first."""
    basis = churn_presets.presets()[source.industry or churn_presets.DEFAULT_INDUSTRY][0].basis
    messages = [
        f"{source.place(*keys)}: {problem}"
        for problem, *keys in version_faults(source.churn_definition, source.value_tiers, basis)
    ]
    if messages:
        raise ConfigurationError("\n".join(messages))
    for problem, *keys in table_faults(source.tables):
        raise ConfigurationError(f"{source.place(*keys)}: {problem}.")


def _explain(
    shown: Path, error: ValidationError | TypeError, lines: dict[tuple, int], content: dict
) -> str:
    """Turn pydantic's errors into one line each, with the place and the remedy."""
    if isinstance(error, TypeError):
        return f"{shown}: the keys name and path are taken from the file itself; remove them."
    messages = []
    for problem in error.errors():
        where = tuple(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            parent = _model_at(where[:-1])
            known = [key for key in parent.model_fields if key not in ("name", "path")]
            text = unknown(where[-1], known).replace("unknown name", "unknown key")
            if new_name := _RENAMED.get((where[0], where[-1])):
                text = f"is named {new_name} now; write that"
            elif where in _SETTINGS_ELSEWHERE:
                # Settings people look for; no known key has a name near to theirs.
                text = (
                    f"is no setting; write {_SETTINGS_ELSEWHERE[where]}: {problem['input']}}} "
                    "beside settings"
                )
        else:
            text = problem_text(problem)
        if where and where[0] in VERSION_NAMES and len(where) > 1:
            written = content[where[0]]
            one = written[int(where[1])] if isinstance(written, list) else written
            text = f"in {VERSION_NAMES[where[0]](one)}: {text}"
        messages.append(f"{shown}, {place_of(where, lines)}: {text}")
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
