"""What looks like a contact: the one place that decides which text is a person's address.

Ids that look like one are replaced on the way in (`pseudonyms`), and the release gate looks for
the same shapes in every text that it lets out. The shapes:

- an e-mail address: `name@host.top`, not a bare `@`;
- `tel:` and a number; an international number: `+` and at least seven digits;
- a national number: at least nine digits with separators that start with `0` or `(`, or three,
  three and four digits;
- a Chinese mobile number, also after `86`; a Chinese ID card's number of 18 digits;
- a WeChat id: `wxid_…`.

A shape inside a longer text counts where no letter, digit, point or hyphen stands before it.
"""

from dagster_project.shown import FULL_WIDTH, HALF_WIDTH, NUMBERS
from dagster_project.warehouse import literal

# The shortest contact, `a@b.c`, has as many characters.
SHORTEST = 5

_START, _END = r"(?:^|[^\w.+-])", r"(?:$|\W)"
# Shapes that no order number, article number or bar code has.
ADDRESS = "|".join(
    [
        r"\S@\S+\.\S",
        r"(?:^|\W)[Tt][Ee][Ll]:\s*[+(\d]",
        r"(?:^|[^\w.])\+\d(?:[ ().\-/]*\d){6}",
        r"wxid_\w",
    ]
)
CONTACT = "|".join([ADDRESS, rf"{_START}(?:{NUMBERS}){_END}"])
# Ten to thirteen digits that may be a number of a phone, without anything that says so.
PHONE_DIGITS = r"^(?:0[1-9]\d{8,11}|1?[2-9]\d{9}|[2-9]\d{10,12})$"


def is_contact(text: str) -> str:
    """Return SQL telling whether a text (SQL, without full-width characters) is a contact."""
    # Most ids are short, which spares them the pattern.
    return _where(f"strlen({text}) >= {SHORTEST}", f"regexp_matches({text}, {literal(CONTACT)})")


def is_contact_id(text: str, plain: str) -> str:
    """Return SQL telling whether an id is a contact; a plain one must be as long as a number."""
    return _where(f"not coalesce({plain}, false) or strlen({text}) >= 10", is_contact(text))


def is_address(text: str) -> str:
    """Return SQL telling whether a text is a contact that no number of a thing is taken for."""
    hints = " or ".join(f"contains({text}, {literal(hint)})" for hint in ("@", "+", ":", "xid_"))
    return _where(hints, f"regexp_matches({text}, {literal(ADDRESS)})")


def looks_numbered(text: str) -> str:
    """Return SQL telling whether the number of a thing has the shape of a contact, and no more."""
    lengths = f"(strlen({text}) in (11, 13, 18) or {text} < '1') and {text} < ':'"
    return _where(lengths, f"{is_contact(text)} and not {is_address(text)}")


def is_phone_digits(text: str) -> str:
    """Return SQL telling whether an id is nothing but digits in a phone's shape."""
    return _where(
        f"strlen({text}) between 10 and 13 and {text} < ':'",
        f"regexp_matches({text}, {literal(PHONE_DIGITS)})",
    )


def holds_contact(text: str) -> str:
    """Return SQL telling whether any text holds a contact, without braces, colons or brackets.

    The gates' queries are templates, in which those of a pattern would be read as placeholders.
    """
    ascii_text = f"translate({text}, {_encoded(FULL_WIDTH)}, {_encoded(HALF_WIDTH)})"
    plain = f"case when strlen({text}) <> length({text}) then {ascii_text} else {text} end"
    return f"regexp_matches({plain}, {_encoded(CONTACT)})"


def _where(cheap: str, dear: str) -> str:
    """Return SQL for both tests, the dear one made only where the cheap one holds.

    DuckDB's `and` computes both sides for every row.
    """
    return f"(case when {cheap} then {dear} else false end)"


def _encoded(text: str) -> str:
    return f"decode(unhex('{text.encode().hex()}'))"


def half_width(text: str) -> str:
    """Return SQL for a text with its full-width characters as ASCII ones."""
    return f"translate({text}, {literal(FULL_WIDTH)}, {literal(HALF_WIDTH)})"
