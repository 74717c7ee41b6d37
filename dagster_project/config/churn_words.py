"""Churn definitions in words: when a customer is lost, in English and in Chinese."""

from collections.abc import Sequence
from datetime import date

from dagster_project.config.churn import Definition
from dagster_project.config.churn_estimate import Estimate
from dagster_project.config.versions import BEGINNING, in_force

_PARAMETERS = {
    "fixed": ("lost_days",),
    "season": ("seasons",),
    "cadence": ("gap_multiple", "lost_days"),
    "survival": ("quantile", "lost_days"),
    "gap_percentile": ("quantile", "lost_days"),
}
_ESTIMATED = ("survival", "gap_percentile")
_SILENCE = {
    "purchase": "without a purchase",
    "interaction": "without an interaction",
    "both": "with neither a purchase nor an interaction",
}
_SILENCE_ZH = {"purchase": "没有购买", "interaction": "没有互动", "both": "既无购买也无互动"}


def rule_text(definition: Definition) -> str:
    """Return in words when a customer is lost, as far as it is known without the data."""
    silence = _SILENCE[definition.basis]
    percent = f"{definition.quantile:.0%}"
    rules = {
        "fixed": f"lost after more than {definition.lost_days} days {silence}",
        "season": f"lost the day after a whole season {_seasons_text(definition)} {silence}",
        "cadence": f"lost after {definition.gap_multiple:.2f} times the customer's own expected "
        f"gap, between {_minimum_days(definition)} and {2 * definition.lost_days} days, "
        f"{silence}",
        "survival": f"lost after the days within which {percent} of those who come back have done "
        f"so (survival estimate, open gaps counted as such), {silence}",
        "gap_percentile": f"lost after the days within which {percent} of closed gaps ended, "
        f"{silence}",
    }
    return rules[definition.method]


def rule_text_zh(definition: Definition) -> str:
    """Return the same in Chinese."""
    silence = _SILENCE_ZH[definition.basis]
    percent = f"{definition.quantile:.0%}"
    rules = {
        "fixed": f"超过 {definition.lost_days} 天{silence}即视为流失",
        "season": f"整个季节（{_seasons_text(definition, ' 或 ')}）{silence}，季节结束次日"
        "即视为流失",
        "cadence": f"超过客户自身预期间隔的 {definition.gap_multiple:.2f} 倍（不少于 "
        f"{_minimum_days(definition)} 天，不超过 {2 * definition.lost_days} 天）{silence}"
        "即视为流失",
        "survival": f"超过 {percent} 的回头客回来所需的天数（生存估计，计入未结束的间隔）{silence}"
        "即视为流失",
        "gap_percentile": f"超过 {percent} 的已结束间隔的天数{silence}即视为流失",
    }
    return rules[definition.method]


def threshold_text(definition: Definition, estimate: Estimate | None = None) -> str:
    """Return in words the threshold in days that a definition comes down to.

    Args:
        definition: The definition in force.
        estimate: What the current release found for it, if it did.
    """
    if definition.method == "season":
        return f"{rule_text(definition)}; no threshold in days"
    if definition.method not in _ESTIMATED:
        return rule_text(definition)
    if estimate is None:
        return (
            "estimated from the data by the first run with this definition; "
            f"{definition.lost_days} days {_SILENCE[definition.basis]} if they are too few"
        )
    note = f" ({estimate.note})" if estimate.note else ""
    return (
        f"lost after more than {_days(estimate.first_time_lost_days)} (first-time buyers) or "
        f"{_days(estimate.repeat_lost_days)} (repeat buyers) {_SILENCE[definition.basis]}, "
        f"as estimated as of {estimate.as_of}{note}"
    )


def _days(days: int | None) -> str:
    return "an unknown number of days" if days is None else f"{days} days"


def _minimum_days(definition: Definition) -> int:
    """Return the third of the days below which a cadence never calls anybody lost."""
    return definition.lost_days // 3


def _seasons_text(definition: Definition, separator: str = " or ") -> str:
    return separator.join("..".join(season) for season in definition.seasons)


def parameters_text(definition: Definition) -> str:
    """Return the parameters that the method uses, as they are written in a source's file."""
    values = {
        "lost_days": str(definition.lost_days),
        "gap_multiple": f"{definition.gap_multiple:.2f}",
        "quantile": f"{definition.quantile:.2f}",
        "seasons": _seasons_text(definition, ", "),
    }
    return ", ".join(f"{name} {values[name]}" for name in _PARAMETERS[definition.method])


def valid_from_text(definition: Definition) -> str:
    """Return from when a definition counts."""
    if definition.valid_from != BEGINNING:
        return definition.valid_from.isoformat()
    if definition.declared_from in (None, BEGINNING):
        return "the beginning"
    return f"{definition.declared_from}, and for everything before"


def describe(
    definitions: Sequence[Definition], on: date, estimate: Estimate | None = None
) -> list[str]:
    """Return the lines that explain which definition is active on a day."""
    active = in_force(definitions, on)
    lines = [
        f"method      {active.method}, {parameters_text(active)}",
        f"basis       {active.basis}",
        f"valid_from  {valid_from_text(active)}",
        f"threshold   {threshold_text(active, estimate)}",
    ]
    if len(definitions) > 1:
        others = "; ".join(
            f"{one.method}, {parameters_text(one)}, valid from {valid_from_text(one)}"
            for one in definitions
            if one is not active
        )
        lines.append(f"others      {others} (a silence is judged by the one of the day it began)")
    return lines
