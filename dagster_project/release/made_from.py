"""The files that a release was made from, as its manifest or the state has them.

Belongs here: reading what there was. Whether it is still there is asked in `ready`.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.release.manifest import read_manifest
from dagster_project.warehouse import MEMORY, attach, connect, rows


@dataclass(frozen=True)
class LoadedFile:
    """A file that raw holds, or that a release was made from; `name` is without folders."""

    table: str
    name: str
    content_hash: str
    row_count: int


@dataclass(frozen=True)
class LastRelease:
    """The release that was made last, whichever is current: raw holds what it was made from.

    `keys` are the fingerprints of the keys behind it and behind the current one.
    """

    release_id: str
    made_from: tuple[LoadedFile, ...]
    keys: frozenset[str]


def last_release(paths: SourcePaths) -> LastRelease | None:
    """Return the release that was made last, by the manifests and the state."""
    manifests = list(_manifests(paths))
    made = [(_moment(one), one["release_id"], one["inputs"]) for one in manifests]
    made += _recorded(paths)
    if not made:
        return None
    _, release_id, inputs = max(made, key=lambda one: one[:2])
    meant = {release_id, paths.current.resolve().name}
    keys = {one.get("pseudonym_key") for one in manifests if one["release_id"] in meant}
    return LastRelease(release_id, loaded(inputs), frozenset(keys - {None}))


def _manifests(paths: SourcePaths) -> Iterator[dict[str, Any]]:
    """Yield the manifests of the kept releases that can be read."""
    for folder in sorted(paths.releases.glob("*")):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            manifest = read_manifest(folder)
            _moment(manifest), loaded(manifest["inputs"]), manifest["release_id"]
            yield manifest


def _moment(manifest: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(manifest["published_at"]).replace(tzinfo=None)


def _recorded(paths: SourcePaths) -> list[tuple[datetime, str, Any]]:
    """Return the last release of the state, when it was published and what it was made from."""
    if not paths.state.is_file():
        return []
    query = "select published_at, release_id, inputs from state.main.releases"
    with contextlib.suppress(WinbackError), connect(paths, MEMORY) as con:
        attach(con, paths.state, "state", read_only=True)
        found = if_there(con, f"{query} where published_at is not null order by all desc limit 1")
        return [tuple(one.values()) for one in found]
    return []


def loaded(inputs: Iterable[Mapping[str, Any]]) -> tuple[LoadedFile, ...]:
    """Return files as raw or a manifest lists them."""
    return tuple(
        LoadedFile(one["table_name"], one["file_name"], one["file_hash"], one["row_count"] or 0)
        for one in inputs
    )


def if_there(con: duckdb.DuckDBPyConnection, query: str, *parameters: str) -> list[dict[str, Any]]:
    """Return what a query gives; nothing if its table, or a column of it, is not there yet."""
    try:
        return rows(con, query, parameters)
    except (duckdb.CatalogException, duckdb.BinderException):
        return []
