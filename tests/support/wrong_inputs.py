"""Inputs that look clean and are wrong: made up, seeded, each with what is right.

A small shop writes its month files; a spoiler does to them what a person, a till or a spreadsheet
does, and leaves every line well-formed. What is right comes from the lines before they were
written, so it is an independent reading.
"""

import csv
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from support.small_source import SOURCE_HEAD

HEADER = ("id", "customer", "day", "amount", "quantity", "status", "kind", "note")
DAYS = [date(2024, 1, 2) + timedelta(days=5 * number) for number in range(10)]
PLACEHOLDERS = ("0", "guest", "Guest", "NULL", "null", "None", "nan", "NaN", "N/A", "n/a", "-")
BLANKS = (" ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff")

CONFIG = """\
tables:
  transactions:
    files: "*.csv"
{more}    inputs:
      status: {{column: status}}
      kind: {{column: kind}}
      given: {{column: customer}}
    line_type:
      - {{type: return, when: "kind = 'refund'"}}
    exclude:
      - {{reason: cancelled, when: "status = '{cancelled}'"}}
    columns:
{id}      customer_id: {customer}
      ordered_at: day
      amount: amount
      quantity: quantity
      category: note
"""
KEY = "    key: {key}\n    duplicates: keep_last\n"
# What a customer has: net revenue and purchase days.
Figures = dict[str | None, tuple[Decimal, tuple[date, ...]]]


@dataclass
class Line:
    """A line as the till means it; `customer` is None for a guest, `amount` has its sign."""

    id: str
    customer: str | None
    day: date
    amount: Decimal
    status: str = "paid"
    kind: str = "sale"
    note: str = "n"
    # What is written instead of the above.
    written: dict[str, str] = field(default_factory=dict)

    def cells(self) -> list[str]:
        cells = {
            "id": self.id,
            "customer": self.customer or "",
            "day": str(self.day),
            "amount": str(self.amount),
            "quantity": "1",
            "status": self.status,
            "kind": self.kind,
            "note": self.note,
        }
        return [(cells | self.written)[name] for name in HEADER]


@dataclass
class WrongInput:
    """A shop's lines by file, with its configuration and what is not to be found in raw."""

    dice: random.Random
    files: dict[str, list[Line]]
    id: str = "      transaction_id: id\n"
    customer: str = "customer"
    more: str = ""
    cancelled: str = "cancelled"
    # Lines that count, where they are not those of the files.
    counted: list[Line] | None = None
    secrets: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[Line]:
        """All lines of all files."""
        return [line for lines in self.files.values() for line in lines]

    @property
    def config(self) -> str:
        """The source's file."""
        return SOURCE_HEAD + CONFIG.format(
            id=self.id, customer=self.customer, more=self.more, cancelled=self.cancelled
        )

    def contents(self) -> dict[str, str]:
        """Return the text of every file."""
        return {name: text_of(lines) for name, lines in self.files.items()} | self.texts

    def some(self, share: float, among: list[Line] | None = None) -> list[Line]:
        """Return that share of the lines, at least one."""
        among = self.lines if among is None else among
        return self.dice.sample(among, max(1, round(share * len(among))))

    def right(self) -> Figures:
        """Return what is right, by customer."""
        found: dict[str | None, tuple[Decimal, set[date]]] = {}
        for line in self.lines if self.counted is None else self.counted:
            if line.status != "cancelled":
                net, days = found.setdefault(line.customer, (Decimal(0), set()))
                if line.kind == "sale":
                    days.add(line.day)
                found[line.customer] = net + line.amount, days
        return {customer: (net, tuple(sorted(days))) for customer, (net, days) in found.items()}


def text_of(lines: list[Line]) -> str:
    """Return lines as a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(line.cells() for line in lines)
    return text.getvalue()


def clean(seed: int) -> WrongInput:
    """Return a shop's files with nothing wrong: on every one of its days at least six lines."""
    dice = random.Random(seed)
    lines = []
    for day in DAYS:
        for customer in dice.sample(range(1001, 1025), dice.randint(6, 12)):
            amount = Decimal(dice.randrange(100, 9000)) / 100
            lines.append(Line(f"T{len(lines) + 5000}", str(customer), day, amount))
    for line in dice.sample(lines, 12):
        line.kind, line.amount = "refund", -line.amount
    sales = [line for line in lines if line.kind == "sale"]
    for line in dice.sample(sales, 10):
        line.status = "cancelled"
    months = {
        f"sales-{month:02}.csv": [line for line in lines if line.day.month == month]
        for month in (1, 2)
    }
    return WrongInput(dice, months)


def cumulative(one: WrongInput) -> None:
    one.counted = one.lines
    one.files["sales-02.csv"] = one.lines


def reversed_copy(one: WrongInput) -> None:
    one.counted = one.lines
    one.files["sales-02-again.csv"] = one.files["sales-02.csv"][::-1]


def overlapping(one: WrongInput) -> None:
    one.counted = lines = one.lines
    until, since = DAYS[7], DAYS[one.dice.randint(2, 4)]
    one.files = {
        "a.csv": [line for line in lines if line.day <= until],
        "b.csv": [line for line in lines if line.day >= since],
    }


def days_again_without_ids(one: WrongInput) -> None:
    one.id = ""
    cumulative(one)
    one.dice.shuffle(one.files["sales-02.csv"])


def guests(one: WrongInput) -> None:
    name = one.dice.choice(PLACEHOLDERS)
    name = one.dice.choice((name, f" {name}", f"{name}\u00a0"))
    for line in one.some(0.3):
        line.customer, line.written = None, {"customer": name}


def guests_under_a_name_of_their_own(one: WrongInput) -> None:
    name = one.dice.choice(("walk-in", "99999", "anonymous", "cash customer"))
    for line in one.some(0.45):
        line.customer, line.written = None, {"customer": name}


def positive_refunds(one: WrongInput) -> None:
    refunds = [line for line in one.lines if line.kind == "refund"]
    for line in one.some(one.dice.choice((0.4, 1)), refunds):
        line.written = {"amount": str(-line.amount)}


def negative_quantities(one: WrongInput) -> None:
    sales = [line for line in one.lines if line.kind == "sale" and line.status == "paid"]
    for line in one.some(0.1, sales):
        line.kind, line.amount = "return", -line.amount
        line.written = {"quantity": "-1", "amount": str(-line.amount)}


def stray_quotes(one: WrongInput) -> None:
    name = "sales-01.csv"
    lines = text_of(one.files[name]).splitlines()
    first = one.dice.randrange(1, len(lines) - 12)
    last = first + one.dice.randrange(1, 11)
    before, _, note = lines[first].rpartition(",")
    lines[first] = f'{before},"{note}'
    lines[last] += '"'
    one.texts[name] = "\n".join(lines) + "\n"


def blanks_in_ids(one: WrongInput) -> None:
    for line in one.some(0.4):
        blank = one.dice.choice(BLANKS)
        line.written = {
            "customer": one.dice.choice((f"{line.customer}{blank}", f"{blank}{line.customer}"))
        }


def ids_from_a_spreadsheet(one: WrongInput) -> None:
    for line in one.some(0.4):
        full = "".join(chr(ord(digit) + 0xFEE0) for digit in line.customer)
        form = one.dice.choice((f'="{line.customer}"', f"'{line.customer}", full))
        line.written = {"customer": one.dice.choice((form, f"{line.customer}.0"))}


def scientific_ids(one: WrongInput) -> None:
    for line in one.lines:
        line.customer = f"12345678{line.customer}"
    for line in one.some(one.dice.choice((0.1, 0.6))):
        line.written = {"customer": f"{int(line.customer):.5E}".replace("E+0", "E+")}


def another_spelling(one: WrongInput) -> None:
    cancelled = [line for line in one.lines if line.status == "cancelled"]
    for line in one.some(0.5, cancelled):
        line.written = {"status": one.dice.choice(("Cancelled", "CANCELLED", "cancelled "))}


def rule_that_matches_nothing(one: WrongInput) -> None:
    one.cancelled = one.dice.choice(("canceled", "void", "storno"))


def excluded_credit(one: WrongInput) -> None:
    sale = next(line for line in one.lines if line.kind == "sale" and line.status == "paid")
    later = sale.day + timedelta(days=one.dice.randrange(4))
    credit = Line("T9", sale.customer, later, -sale.amount, kind="refund")
    one.counted = [*one.lines, credit]
    written = Line("T9", sale.customer, later, -sale.amount, "cancelled", "refund")
    one.files["sales-01.csv"] = [*one.files["sales-01.csv"], written]


def excluded_lines_without_sense(one: WrongInput) -> None:
    for line in [line for line in one.lines if line.status == "cancelled"]:
        line.written = one.dice.choice(
            ({"day": ""}, {"amount": "n/a"}, {"day": "1970-01-01"}, {"amount": "9999999.99"})
        )


def contacts(one: WrongInput) -> None:
    forms = (
        "lee{}@example.org",
        "lee{}＠example.org",
        "+1 212 555 {}",
        "tel:+49305550{}",
        "(212) 555-{}",
        "212-555-{}",
        "1391234{}",
        "0211 555 {}",
        "wxid_a8f3{}",
        "11010519900307{}",
    )
    form = one.dice.choice(forms)
    one.customer = one.dice.choice(("customer", "{sql: \"nullif(given, '')\"}"))
    for line in one.lines:
        contact = form.format(line.customer)
        line.written = {"customer": contact}
        one.secrets.append(contact)


def numbered_exports(one: WrongInput) -> None:
    one.more = KEY.format(key="transaction_id")
    late = [
        Line(line.id, line.customer, line.day, line.amount, line.status, line.kind)
        for line in one.lines
    ]
    for line in one.some(0.3, late):
        line.amount += 1 if line.amount > 0 else -1
    one.files = {"export-9.csv": one.lines, "export-10.csv": late}
    one.counted = late


def key_that_is_no_key(one: WrongInput) -> None:
    one.more = KEY.format(key="transaction_id")
    lines = one.files["sales-01.csv"]
    for line, next_line in zip(lines[::2], lines[1::2], strict=False):
        next_line.id = line.id


def keep_last_without_key(one: WrongInput) -> None:
    cumulative(one)
    one.more = "    duplicates: keep_last\n"


SPOILERS: tuple[Callable[[WrongInput], None], ...] = (
    cumulative,
    reversed_copy,
    overlapping,
    days_again_without_ids,
    guests,
    guests_under_a_name_of_their_own,
    positive_refunds,
    negative_quantities,
    stray_quotes,
    blanks_in_ids,
    ids_from_a_spreadsheet,
    scientific_ids,
    another_spelling,
    rule_that_matches_nothing,
    excluded_credit,
    excluded_lines_without_sense,
    contacts,
    numbered_exports,
    key_that_is_no_key,
    keep_last_without_key,
)


def wrong_input(spoil: Callable[[WrongInput], None], seed: int) -> WrongInput:
    """Return a shop's files, spoilt."""
    one = clean(seed)
    spoil(one)
    return one
