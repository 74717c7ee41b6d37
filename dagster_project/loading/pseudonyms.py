"""Pseudonyms of ids that are a person's address: the secret key and the SQL that applies it.

The key is state: with another one every pseudonym is another id. Raw therefore says which key its
pseudonyms were made with, by a fingerprint that tells nothing of the key, and so does the manifest
of a release.
"""

import hashlib
import hmac
import re
import secrets
from typing import Literal

import duckdb

from dagster_project.config import canonical
from dagster_project.errors import WinbackError
from dagster_project.files import locked, write_text
from dagster_project.loading.contacts import is_address, is_contact, is_contact_id
from dagster_project.paths import SourcePaths

When = Literal["auto", "always", "never"]
PSEUDONYM_LENGTH = 24
KEY = re.compile(r"[0-9a-f]{64}")
POLL_SECONDS = 0.05
# What is hashed with a key to tell it from others.
FINGERPRINTED = b"key of pseudonyms"


def read_key(paths: SourcePaths) -> str | None:
    """Return the source's secret key, null if there is none.

    Raises:
        WinbackError: what stands in its place is none, or cannot be read.
    """
    file = paths.pseudonym_key
    try:
        key = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise WinbackError(f"The key of pseudonyms {file} cannot be read: {reason}.") from error
    if not KEY.fullmatch(key):
        raise WinbackError(
            f"The key of pseudonyms {file} is {'not whole' if key else 'empty'}: "
            f"{len(key)} characters instead of 64 hexadecimal digits."
        )
    return key


def make_key(paths: SourcePaths) -> str:
    """Return the source's secret key, which is made if there is none; nobody makes a second one."""
    file = paths.pseudonym_key
    with locked(
        file.with_name(f"{file.name}.lock"), poll_seconds=POLL_SECONDS, may_wait=lambda: True
    ):
        key = read_key(paths)
        if key is None:
            key = secrets.token_hex(32)
            write_text(file, key, mode=0o600)
    return key


def fingerprint(key: str) -> str:
    """Return what tells a key from others and nothing else of it."""
    return hmac.new(key.encode(), FINGERPRINTED, hashlib.sha256).hexdigest()[:16]


def noted_fingerprint(connection: duckdb.DuckDBPyConnection, schema: str = "raw") -> str | None:
    """Return the fingerprint of the key behind raw's pseudonyms, null if none is noted."""
    try:
        noted = connection.execute(f"select fingerprint from {schema}.pseudonym_key").fetchone()
    except duckdb.CatalogException:
        return None
    return noted[0] if noted else None


def key_for(connection: duckdb.DuckDBPyConnection, paths: SourcePaths, when: When) -> str:
    """Return the key for a load into raw, which lets no second one in; empty where none is needed.

    Raises:
        WinbackError: raw's pseudonyms were made with another key.
    """
    if when == "never":
        return ""
    key, noted = make_key(paths), noted_fingerprint(connection)
    if noted not in (None, fingerprint(key)):
        raise WinbackError(
            f"The key of pseudonyms {paths.pseudonym_key} is not the one that the ids in the "
            "warehouse were made with; it was changed during this run, which loads nothing more."
        )
    return key


def note_key(connection: duckdb.DuckDBPyConnection, key: str) -> None:
    """Note in raw which key it is, once a load has replaced an id."""
    if not key:
        return
    connection.execute(
        """
        insert into raw.pseudonym_key
        select ?
        where
            not exists (from raw.pseudonym_key)
            and exists (
                from raw.load_report where measure = 'replaced_id' and line_count > 0
            )
        """,
        [fingerprint(key)],
    )


def has_pseudonyms(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether an id in raw is a pseudonym; reads the ids, for older loads noted nothing."""
    for table in canonical.TABLES.values():
        ids = [column.name for column in table.columns if column.kind == "id"]
        for name in ids:
            try:
                found = connection.execute(
                    f"select 1 from raw.{table.name} where {is_pseudonym(name)} limit 1"
                ).fetchone()
            except (duckdb.CatalogException, duckdb.BinderException):
                # A table or column that an older version did not have yet.
                continue
            if found:
                return True
    return False


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
