"""Value tiers: by which measure and cut-offs a buyer's value is high, medium or low.

The tiers of a source have versions: a month is judged by the one in force on its last day, so that
a new version never rewrites the past. The amounts that shares come to are a matter of the models.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dagster_project.config.versions import BEGINNING, since

Measure = Literal["revenue", "margin", "expected_value"]
Method = Literal["share", "cutoff"]

DEFAULT_SHARES = {"high": Decimal("0.20"), "medium": Decimal("0.50")}


class DeclaredTiers(BaseModel):
    """One version of the tiers as it is written.

    `high` and `medium` are where these tiers end: for method share the share of buyers (0 to 1)
    with a strictly greater value, for method cutoff the least amount in the source's currency.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: Measure = "revenue"
    method: Method = "share"
    high: Annotated[Decimal, Field(gt=0, lt=10**12)] | None = None
    medium: Annotated[Decimal, Field(gt=0, lt=10**12)] | None = None
    valid_from: date | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_shares(cls, written: Any) -> Any:
        if isinstance(written, dict) and written.get("method", "share") == "share":
            return DEFAULT_SHARES | {key: value for key, value in written.items() if value}
        return written

    @model_validator(mode="after")
    def _in_order(self) -> "DeclaredTiers":
        if self.high is None or self.medium is None:
            raise ValueError(
                "needs high and medium for method cutoff, the least amounts of these tiers; add "
                "both, for example high: 1000, medium: 200"
            )
        if self.method == "share" and not self.high < self.medium < 1:
            raise ValueError(
                "high must be below medium and medium below 1, as both are shares of the buyers "
                "counted from the top"
            )
        if self.method == "cutoff" and not self.high > self.medium:
            raise ValueError("high must be above medium, as both are the least amounts of a tier")
        digits = 4 if self.method == "share" else 2
        if any(round(one, digits) != one for one in (self.high, self.medium)):
            raise ValueError(f"high and medium may have {digits} decimals for method {self.method}")
        return self


def name_of(written: Mapping[str, Any]) -> str:
    """Return how messages call a version, right or faulty, as it is written."""
    valid_from = written.get("valid_from")
    name = f"the tiers by {written.get('measure', 'revenue')} and {written.get('method', 'share')}"
    return f"{name} valid from {valid_from}" if valid_from else name


def variables(declared: Sequence[DeclaredTiers]) -> list[dict[str, str]]:
    """Return what the models are told: the versions by valid_from, the first from the beginning.

    Numbers are text, to reach the engine exactly.
    """
    versions = sorted(declared or [DeclaredTiers()], key=since)
    return [
        {
            "valid_from": (since(version) if index else BEGINNING).isoformat(),
            "measure": version.measure,
            "method": version.method,
            "high": f"{version.high:.4f}",
            "medium": f"{version.medium:.4f}",
        }
        for index, version in enumerate(versions)
    ]
