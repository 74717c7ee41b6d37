"""The canonical raw tables: what every source is mapped to, column by column.

One row of a source's file becomes one row of a canonical table (several, where columns are
turned into attributes). All ids are text; times are UTC; money is decimal(18,2).
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["id", "text", "timestamp", "date", "money", "number", "rate", "count", "flag"]

SQL_TYPES: dict[Kind, str] = {
    "id": "VARCHAR",
    "text": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "money": "DECIMAL(18,2)",
    "number": "DECIMAL(18,3)",
    "rate": "DECIMAL(18,4)",
    "count": "BIGINT",
    "flag": "BOOLEAN",
}
# Amounts are read with six decimals and rounded once, so that the original stays beside them.
# 18 digits fit a machine word: wider decimals take a hundred times as long to round.
EXACT_NUMBER = "DECIMAL(18,6)"
NUMBERS: tuple[Kind, ...] = ("money", "number", "rate")
KIND_NAMES: dict[Kind, str] = {
    "id": "an id",
    "text": "text",
    "timestamp": "a date or time",
    "date": "a date",
    "money": "a number",
    "number": "a number",
    "rate": "a number",
    "count": "a whole number",
    "flag": "true or false",
}


def expression_type(kind: Kind) -> str:
    """Return the SQL type in which a source's expressions see a column of that kind."""
    if kind in NUMBERS:
        return EXACT_NUMBER
    return "TIMESTAMPTZ" if kind == "timestamp" else SQL_TYPES[kind]


@dataclass(frozen=True)
class Column:
    """One column of a canonical table; `required` columns are never null in raw."""

    name: str
    kind: Kind
    required: bool = False

    @property
    def sql_type(self) -> str:
        """Type of the column in the raw table."""
        return SQL_TYPES[self.kind]


@dataclass(frozen=True)
class Table:
    """A canonical table; `description` names its grain."""

    name: str
    description: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """Return the column of that name."""
        return next(column for column in self.columns if column.name == name)


# Columns that name a person, in whatever table.
PERSON_IDS = frozenset({"customer_id", "merged_into", "owner_id", "staff_id"})
# What tells of a customers' record, beside its id, that it is of a person.
PERSON_DETAILS = ("signed_up_at", "email", "phone", "wechat_id")

# Written by the loader, never mapped by a source.
LINEAGE = (
    Column("source_file", "text", required=True),
    Column("source_row", "count", required=True),
    Column("batch_id", "id", required=True),
    Column("loaded_at", "timestamp", required=True),
)

TRANSACTIONS = Table(
    "transactions",
    "One row per line of a sale, return or adjustment.",
    (
        Column("transaction_id", "id"),
        Column("customer_id", "id"),
        Column("ordered_at", "timestamp", required=True),
        Column("ordered_on", "date", required=True),
        Column("amount", "money", required=True),
        Column("currency", "text", required=True),
        Column("quantity", "number"),
        Column("product_id", "id"),
        Column("category", "text"),
        Column("channel", "text"),
        Column("store_id", "id"),
        Column("discount_amount", "money"),
        Column("cost_amount", "money"),
        Column("line_type", "text", required=True),
        Column("excluded_reason", "text"),
    ),
)

OPTIONAL_TABLES = (
    Table(
        "customers",
        "One row per customer record.",
        (
            Column("customer_id", "id", required=True),
            Column("signed_up_at", "timestamp"),
            Column("acquisition_source", "text"),
            Column("industry", "text"),
            Column("region", "text"),
            Column("email", "text"),
            Column("phone", "text"),
            Column("wechat_id", "text"),
            Column("preferred_channel", "text"),
            Column("owner_id", "id"),
        ),
    ),
    Table(
        "customer_attributes",
        "One row per customer and attribute; sensitive ones are marked and never published.",
        (
            Column("customer_id", "id", required=True),
            Column("attribute", "text", required=True),
            Column("value", "text"),
            Column("is_sensitive", "flag", required=True),
        ),
    ),
    Table(
        "customer_tags",
        "One row per customer, tag and time it was given.",
        (
            Column("customer_id", "id", required=True),
            Column("tag", "text", required=True),
            Column("tagged_at", "timestamp"),
            Column("removed_at", "timestamp"),
        ),
    ),
    Table(
        "consents",
        "One row per customer, purpose, channel and time it was granted.",
        (
            Column("customer_id", "id", required=True),
            Column("purpose", "text", required=True),
            Column("channel", "text"),
            Column("basis", "text"),
            Column("granted_at", "timestamp"),
            Column("withdrawn_at", "timestamp"),
        ),
    ),
    Table(
        "interactions",
        "One row per contact between customer and firm other than a purchase.",
        (
            Column("interaction_id", "id"),
            Column("customer_id", "id", required=True),
            Column("occurred_at", "timestamp", required=True),
            Column("channel", "text"),
            Column("direction", "text"),
            Column("interaction_type", "text", required=True),
            Column("is_promotional", "flag"),
            Column("creative_id", "id"),
            Column("campaign_id", "id"),
            Column("score", "rate"),
            Column("response_hours", "rate"),
            Column("reason_code", "text"),
            Column("staff_id", "id"),
        ),
    ),
    Table(
        "campaigns",
        "One row per campaign.",
        (
            Column("campaign_id", "id", required=True),
            Column("name", "text"),
            Column("goal", "text"),
            Column("channel", "text"),
            Column("offer", "text"),
            Column("started_on", "date"),
            Column("ended_on", "date"),
            Column("unit_cost", "money"),
            Column("offer_cost_rate", "rate"),
        ),
    ),
    Table(
        "campaign_contacts",
        "One row per campaign and customer contacted.",
        (
            Column("campaign_id", "id", required=True),
            Column("customer_id", "id", required=True),
            Column("contacted_at", "timestamp"),
            Column("channel", "text"),
            Column("arm", "text"),
            Column("cost", "money"),
        ),
    ),
    Table(
        "campaign_responses",
        "One row per response of a customer to a campaign.",
        (
            Column("campaign_id", "id", required=True),
            Column("customer_id", "id", required=True),
            Column("responded_at", "timestamp"),
            Column("response_type", "text"),
            Column("amount", "money"),
        ),
    ),
    Table(
        "exit_surveys",
        "One row per answer of a customer asked why they left.",
        (
            Column("customer_id", "id", required=True),
            Column("answered_at", "timestamp", required=True),
            Column("reason_code", "text"),
            Column("text", "text"),
        ),
    ),
    Table(
        "case_updates",
        "One row per change of a win-back case by the team.",
        (
            Column("case_id", "id", required=True),
            Column("updated_at", "timestamp", required=True),
            Column("status", "text"),
            Column("outcome", "text"),
            Column("note", "text"),
            Column("owner_id", "id"),
        ),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in (TRANSACTIONS, *OPTIONAL_TABLES)}

# Written by the loader from rules; a source cannot map them directly.
DERIVED_COLUMNS = {"transactions": {"ordered_on", "line_type", "excluded_reason"}}
