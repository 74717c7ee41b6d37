"""The files of a source: found, named, hashed, and what a load makes of each.

Belongs here: which files there are. What is in them is up to `readers`.
"""

import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dagster_project.config.source import Source
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.files import file_hash
from dagster_project.paths import SourcePaths, expanded

# Raise it when the meaning of raw changes, so that unchanged files are read again.
LOADER_VERSION = 5


@dataclass(frozen=True)
class SourceFile:
    """A file of a source; `name` is its identity in raw and in every message."""

    name: str
    path: Path


@dataclass(frozen=True)
class PresentFile:
    """A file that is there, with the hash of its content and the key of what a load makes of it."""

    file: SourceFile
    content_hash: str
    load_key: str

    @property
    def name(self) -> str:
        """Name of the file; see `SourceFile`."""
        return self.file.name


def find_files(patterns: Iterable[str], landing: Path) -> list[SourceFile]:
    """Return the files that the patterns of a source name, sorted by name.

    A pattern is a path or glob, relative to the landing folder or absolute, may hold `${ENV}` or
    `${ENV:-default}`, or is `package:<distribution>/<path>` for a file of an installed package.

    Raises:
        ConfigurationError: a variable is not set.
        WinbackError: a path without wildcards, or a package, is missing, or a link leads to none.
    """
    found: dict[str, SourceFile] = {}
    for pattern in patterns:
        filled = _fill(pattern)
        if filled.startswith("package:"):
            file = _packaged(filled.removeprefix("package:"))
            found[file.name] = file
            continue
        path = landing / expanded(Path(filled))
        # A file's own name may hold a bracket.
        is_glob = any(character in filled for character in "*?[") and not path.is_file()
        matches = _glob(path) if is_glob else [path]
        if not is_glob and not path.is_file():
            raise WinbackError(
                f"The file {path} is missing. Put it there, or correct `files: {pattern}`."
            )
        for match in matches:
            inside = match.is_relative_to(landing)
            name = (match.relative_to(landing) if inside else match).as_posix()
            found[name] = SourceFile(name, match)
    return [found[name] for name in sorted(found)]


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; computed once while the file stays as it is."""
    return _content_hash(path, stamp(path))


def stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes whenever a file is written or replaced, also by one with an older time.

    The time of its content can be set back, by a copy that keeps it for instance; that of the last
    change of its entry cannot.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=100_000)
def _content_hash(path: Path, _: tuple[int, int, int]) -> str:
    return file_hash(path)


def present_files(source: Source, paths: SourcePaths, table: str) -> list[PresentFile]:
    """Return the files of a table, sorted by name.

    The load key changes with the content, the mapping and everything else that decides what a load
    makes of a file, lookups included.

    Raises:
        ConfigurationError: a variable in a pattern is not set.
        WinbackError: a path without wildcards, or a package, is missing.
    """
    declared = source.tables[table]
    mapping = json.dumps(declared.model_dump(mode="json", exclude={"files"}), sort_keys=True)
    lookups = [
        content_hash(file.path)
        for lookup in declared.lookups.values()
        for file in find_files(lookup.files, paths.landing)
    ]
    context = "|".join(
        [
            mapping,
            source.time_zone,
            source.currency,
            source.pseudonymise_ids,
            json.dumps(source.no_customer_values),
            *lookups,
        ]
    )
    files = []
    for file in find_files(declared.files, paths.landing):
        content = content_hash(file.path)
        key = hashlib.sha256(f"{LOADER_VERSION}|{content}|{context}".encode()).hexdigest()
        files.append(PresentFile(file, content, key))
    return files


def _fill(pattern: str) -> str:
    def value(match: re.Match) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name) or default
        if found is None:
            raise ConfigurationError(
                f"The environment variable {name} of `files: {pattern}` is not set; "
                f"set it, or give it a default: ${{{name}:-path}}."
            )
        return found

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}", value, pattern)


def _packaged(name: str) -> SourceFile:
    distribution, _, path = name.partition("/")
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        # A distribution's files start with its import name, which the pattern may repeat.
        if file.as_posix() in (path, name):
            return SourceFile(f"package:{name}", Path(str(file.locate())))
    raise WinbackError(
        f"The file package:{name} is missing: install the sample data with "
        "`pip install -c requirements.lock -e .[samples]`."
    )


def _glob(pattern: Path) -> list[Path]:
    anchor = Path(pattern.anchor)
    matches = [
        path
        for path in anchor.glob(str(pattern.relative_to(anchor)))
        if not path.name.startswith(".")
    ]
    for path in matches:
        # Left out, it would be lines that are missing and nobody misses.
        if path.is_symlink() and not path.exists():
            raise WinbackError(
                f"The link {path} leads to no file. Put the file there, or remove the link."
            )
    return [path for path in matches if path.is_file()]
