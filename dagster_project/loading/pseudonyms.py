"""Pseudonyms of ids that are a person's address: the secret key and the SQL that applies it."""

import secrets
from typing import Literal

from dagster_project.files import write_text
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import literal

# Shapes that are a person's address rather than an id: an e-mail address, a number with an
# international prefix or with separators, a Chinese mobile number.
CONTACT_SHAPE = r"@|^\+\d[\d ().-]{6,}$|^\(?\d{2,5}\)?[ .-]\d{3,}[ .-]\d{2,}$|^1[3-9]\d{9}$"
PSEUDONYM_LENGTH = 24


def pseudonym_key(paths: SourcePaths) -> str:
    """Return the source's secret key, made once; it is state, for new keys mean new ids."""
    if not paths.pseudonym_key.is_file():
        write_text(paths.pseudonym_key, secrets.token_hex(32), mode=0o600)
    return paths.pseudonym_key.read_text().strip()


def pseudonym(value: str, when: Literal["auto", "always", "never"]) -> str:
    """Return SQL for the id that stands for a customer id.

    Args:
        value: SQL of the id; the session's variable `pseudonym_key` holds the key.
        when: `auto` replaces only ids that look like an e-mail address or a phone number.
    """
    if when == "never":
        return value
    key = "getvariable('pseudonym_key')"
    hashed = f"'p-' || left(sha256({key} || lower({value})), {PSEUDONYM_LENGTH})"
    if when == "always":
        return f"case when {value} is not null then {hashed} end"
    is_contact = f"regexp_matches({value}, {literal(CONTACT_SHAPE)})"
    # A branch of its own spares short ids the pattern.
    return (
        f"case when length({value}) <= 6 then {value} "
        f"when {is_contact} then {hashed} else {value} end"
    )
