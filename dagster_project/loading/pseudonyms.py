"""Pseudonyms of ids that are a person's address: the secret key and the SQL that applies it."""

import secrets
from typing import Literal

from dagster_project.files import write_text
from dagster_project.loading.contacts import is_address, is_contact, is_contact_id
from dagster_project.paths import SourcePaths

When = Literal["auto", "always", "never"]
PSEUDONYM_LENGTH = 24


def pseudonym_key(paths: SourcePaths) -> str:
    """Return the source's secret key, made once; it is state, for new keys mean new ids."""
    if not paths.pseudonym_key.is_file():
        write_text(paths.pseudonym_key, secrets.token_hex(32), mode=0o600)
    return paths.pseudonym_key.read_text().strip()


def must_replace(value: str, when: When, *, is_person: bool, plain: str = "false") -> str:
    """Return SQL telling whether a pseudonym takes the place of an id.

    Args:
        value: SQL of the id in its normal form.
        when: `auto` replaces ids of persons that look like a contact, `always` every id of a
            person; both replace ids of things that hold an address.
        is_person: Whether the id names a person.
        plain: SQL telling whether the id is plain, which most are; see `is_plain`.
    """
    if when == "never":
        return "false"
    if is_person and when == "always":
        return f"{value} is not null"
    if is_person:
        return is_contact_id(value, plain)
    return f"(case when {plain} then false else {is_address(value)} end)"


def pseudonym(value: str) -> str:
    """Return SQL for what takes the place of an id; the variable `pseudonym_key` is the key."""
    # Contacts mean the same in any case, other ids need not.
    plain = f"case when {is_contact(value)} then lower({value}) else {value} end"
    hashed = f"sha256(getvariable('pseudonym_key') || {plain})"
    return f"'p-' || left({hashed}, {PSEUDONYM_LENGTH})"


def is_pseudonym(value: str) -> str:
    """Return SQL telling whether an id is a pseudonym."""
    return f"(prefix({value}, 'p-') and strlen({value}) = {len('p-') + PSEUDONYM_LENGTH})"
