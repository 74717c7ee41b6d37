"""What becomes of a table's ids once mapped: normal form, no customer, pseudonyms, counts.

All of it is done to the final value, whatever it was mapped from: a column, an expression, a lookup
or a constant.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dagster_project.config import canonical
from dagster_project.config.source import Source
from dagster_project.config.tables import FromConstant, FromSql, TableSource
from dagster_project.loading.contacts import is_phone_digits, looks_numbered
from dagster_project.loading.pseudonyms import is_pseudonym, must_replace, pseudonym
from dagster_project.loading.values import is_scientific, normal_id
from dagster_project.warehouse import identifier, literal

NO_CUSTOMER = "no customer"
# Ids that spreadsheets spoil: long numbers that must differ.
LONG_NUMBERS = ("customer_id", "transaction_id")


@dataclass(frozen=True)
class Note:
    """Something that is counted of the rows for whose ids `condition` holds."""

    measure: str
    column: str
    condition: str


@dataclass(frozen=True)
class Ids:
    """The ids of one table; `listed` are values of "no customer" that table customers lists."""

    source: Source
    table: canonical.Table
    declared: TableSource
    listed: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Names of the id columns that are mapped."""
        return [
            column.name
            for column in self.table.columns
            if column.kind == "id" and column.name in self.declared.columns
        ]

    @property
    def has_no_customers(self) -> bool:
        """Whether values of this table may mean no customer."""
        return "customer_id" in self.names and bool(self.source.no_customer_values)

    def normal(self) -> list[str]:
        """Return the normal forms of the ids that were not read as ids, each under its name."""
        return [
            f"{normal_id(f'{name}::varchar')} as {name}"
            for name in self.names
            if isinstance(self.declared.columns[name], FromSql | FromConstant)
        ]

    def noted(self) -> list[str]:
        """Return what is known of ids in their normal form: working columns, for the rest."""
        columns = [f"{self._must_replace(name)} as {_replaced(name)}" for name in self.names]
        if self.has_no_customers:
            longest = max(len(value.encode()) for value in self.source.no_customer_values)
            means_none = (
                # Nested, for `and` computes both sides for every row.
                f"case when strlen(customer_id) <= {longest} then "
                f"case when {_is_one_of('lower(customer_id)', self.source.no_customer_values)} "
                "then customer_id end end"
            )
            kept = self._is_kept()
            columns += [
                f"case when not ({kept}) then {means_none} end as no_customer",
                f"case when {kept} then {means_none} end as kept_no_customer",
            ]
        return columns

    def final(self, name: str) -> str:
        """Return SQL for an id as it stands in raw."""
        if name not in self.names:
            return identifier(name)
        value = f"case when {_replaced(name)} then {pseudonym(name)} else {name} end"
        if name == "customer_id" and self.has_no_customers:
            return f"case when no_customer is null then {value} end"
        return value

    def _must_replace(self, name: str) -> str:
        when, is_person = self.source.pseudonymise_ids, _is_person(name)
        return must_replace(name, when, is_person=is_person, plain=plain_column(name))

    def match_key(self, name: str, value: str) -> str:
        """Return SQL for what a lookup matches an id by: those of persons as they stand in raw."""
        if not _is_person(name):
            return value
        must = must_replace(value, self.source.pseudonymise_ids, is_person=True)
        return f"case when {must} then {pseudonym(value)} else {value} end"

    def reject_reason(self) -> str:
        """Return SQL for the reason that a row is of no customer, where it must be of one."""
        if self.has_no_customers and self.table.column("customer_id").required:
            return f"case when no_customer is not null then {literal(NO_CUSTOMER)} end"
        return "null"

    @property
    def marks(self) -> dict[str, str]:
        """What the load report counts of the staged ids; see `TableMapping.marks`."""
        names = ("no_customer", "kept_no_customer") if self.has_no_customers else ()
        marks = {name: name for name in names}
        # A pseudonym does not show that digits were lost.
        return marks | {
            _scientific(name): f"nullif({is_scientific(name)}, false)" for name in self.hidden
        }

    @property
    def hidden(self) -> list[str]:
        """Names of the ids that may be long numbers and that pseudonyms always replace."""
        is_hidden = self.source.pseudonymise_ids == "always"
        return [n for n in self.names if is_hidden and n in LONG_NUMBERS and _is_person(n)]

    def staged_notes(self) -> list[Note]:
        """Return what is counted of ids before pseudonyms replace them, by the marks."""
        return [Note("scientific_id", name, _scientific(name)) for name in self.hidden]

    def notes(self) -> list[Note]:
        """Return what is counted of ids as they stand in raw."""
        return [*self._notes()]

    def _notes(self) -> Iterator[Note]:
        for name in self.names:
            if name in LONG_NUMBERS and name not in self.hidden:
                yield Note("scientific_id", name, is_scientific(name))
            if self.source.pseudonymise_ids == "never":
                continue
            yield Note("replaced_id", name, is_pseudonym(name))
            if not _is_person(name):
                yield Note("kept_id_like_contact", name, looks_numbered(name))
            elif self.source.pseudonymise_ids == "auto":
                yield Note("id_like_phone", name, is_phone_digits(name))

    def _is_kept(self) -> str:
        """Return SQL telling whether a value that may mean no customer is a customer's id."""
        if self.table.name == "customers":
            return " or ".join(f"{name} is not null" for name in canonical.PERSON_DETAILS)
        return _is_one_of("customer_id", self.listed) if self.listed else "false"


def _is_one_of(text: str, values: tuple[str, ...]) -> str:
    """Return SQL telling whether a text is one of the values.

    DuckDB makes a join of a longer `in`, which loses the order of the lines.
    """
    cases = " ".join(f"when {literal(value)} then true" for value in values)
    return f"(case {text} {cases} else false end)"


def plain_column(name: str) -> str:
    """Return the name of the working column that tells whether an id is plain; see `is_plain`."""
    return identifier(f"{name} is plain")


def _is_person(name: str) -> bool:
    return name in canonical.PERSON_IDS


def _scientific(name: str) -> str:
    return identifier(f"{name} is scientific")


def _replaced(name: str) -> str:
    return identifier(f"{name} is replaced")
