"""Whether a release is still what was published: every file against the manifest beside it.

Belongs here: finding what is wrong, in words. What is done about it is in `recover`. Nothing here
needs the source's lock.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster_project.files import file_hash
from dagster_project.release.candidate import RELEASE_FILE
from dagster_project.release.manifest import (
    MANIFEST,
    manifest_checksum,
    modified_at,
    read_manifest,
    set_modified_at,
)


def faults_of(folder: Path, source: str, *, thorough: bool = False) -> list[str]:
    """Return what is wrong with a release, a file an entry; nothing if it is whole.

    Sizes and times are compared always. Where a time differs the hash decides, and the file gets
    its time back if it is as it was: a release that was copied or restored is hashed once.

    Args:
        folder: Folder of the release, named after it.
        source: The source it must be of.
        thorough: Compare every hash. A file that has changed in spite of its size and time gets
            another time, so that whoever looks next, thorough or not, sees it too.

    Raises:
        PermissionError: A file is not for this user to read, which says nothing about it.
    """
    try:
        manifest = read_manifest(folder)
        fault = _fault_of_manifest(manifest, folder.name, source)
    except PermissionError:
        raise
    except OSError as error:
        fault = _words(error)
    except ValueError:
        fault = "is not the JSON that was written"
    if fault:
        return [f"{MANIFEST} {fault}"]
    found = [
        (name, _fault_of_file(folder / name, entry, thorough))
        for name, entry in manifest["files"].items()
    ]
    return [f"{name} {fault}" for name, fault in found if fault]


def file_is_whole(folder: Path) -> bool:
    """Return whether at least the DuckDB file of a release is as its manifest says."""
    try:
        entry = read_manifest(folder)["files"][RELEASE_FILE]
        return _fault_of_file(folder / RELEASE_FILE, entry, thorough=True) is None
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _fault_of_manifest(manifest: Any, release_id: str, source: str) -> str | None:
    try:
        checksum, files = manifest.get("manifest_sha256"), manifest["files"]
        # A release of a former version of the program has none.
        is_due = manifest["schema_version"] not in ("2.0", "2.1", "2.2")
        if (checksum or is_due) and checksum != manifest_checksum(manifest):
            return "has been changed since it was written"
        if manifest["release_id"] != release_id:
            return f"is that of release {manifest['release_id']}"
        if manifest["source"] != source:
            return f"is of the source {manifest['source']}"
        if RELEASE_FILE not in files or not all("sha256" in one for one in files.values()):
            return "does not name the files of the release"
    except (LookupError, TypeError, AttributeError):
        return "is not the manifest of a release"
    return None


def _fault_of_file(file: Path, entry: Mapping[str, Any], thorough: bool) -> str | None:
    try:
        found = file.stat()
        if found.st_size != entry["bytes"]:
            return f"has {found.st_size:,} bytes instead of {entry['bytes']:,}"
        recorded = entry.get("modified_at")
        is_same = recorded in (None, modified_at(file))
        if is_same and not thorough:
            return None
        is_whole = file_hash(file) == entry["sha256"]
        # Not everybody who may look may do so.
        with contextlib.suppress(PermissionError):
            if is_whole and not is_same:
                set_modified_at(file, recorded)
            elif not is_whole and is_same:
                os.utime(file)
    except PermissionError:
        raise
    except OSError as error:
        return _words(error)
    return None if is_whole else "has other bytes than were published"


def _words(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "is missing"
    return f"cannot be read: {error.strerror}"
