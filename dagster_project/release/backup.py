"""A source's state and key in one file, and back: what no run can make again.

Belongs here: what goes into the file, and what of it may take a present file's place. The state
that stands may know more than a backup, so a backup brings back what is missing, damaged or
lacking; what it replaces is kept beside it.
"""

import json
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import duckdb

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.files import TEMPORARY, appearing_whole, delete, file_hash, write_text
from dagster_project.loading.pseudonyms import KEY, fingerprint, read_key
from dagster_project.paths import SourcePaths
from dagster_project.release.made_from import last_release
from dagster_project.release.ready import (
    raw_has_pseudonyms,
    read_raw,
    recorded_keys,
    require_key,
)
from dagster_project.release.ready import stamp as moment
from dagster_project.release.state import fault_of_state
from dagster_project.warehouse import (
    MEMORY,
    DamagedDatabaseError,
    attach,
    connect,
    utc_now,
    wal_of,
)

FORMAT = 1
CONTENTS = "backup.json"
# In the file, the source's own YAML and the folder of all else.
SOURCE, STATE = "source.yml", "state/"
# Of the state's folder: what is only for the moment, was put aside, or is a backup itself.
_LEFT_OUT = re.compile(r"\..*|replaced-.*|.*\.(lock|wal|gz)")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Tables of the state that only grow.
_HISTORY = ("releases", "switches")


@dataclass(frozen=True)
class Backup:
    """A backup whose files were found to be whole, unpacked into a folder for the moment."""

    made_at: str
    folder: Path
    names: tuple[str, ...]

    def file(self, name: str) -> Path:
        """Return where a file of the backup is now."""
        return self.folder / name


def may_back_up(paths: SourcePaths, file: Path) -> None:
    """Refuse a backup of nothing, or over a file, before anything is made for it.

    Raises:
        WinbackError: there is nothing to back up, or `file` is there.
    """
    if file.exists() or file.is_symlink():
        raise WinbackError(f"{file} is there already; a backup takes no file's place. Name another")
    if not file.parent.is_dir():
        raise WinbackError(f"The folder {file.parent} is not there; make it, or name another.")
    if not _state_files(paths):
        raise WinbackError(f"There is nothing to back up: {paths.source} has no state yet.")


def look_through(paths: SourcePaths, file: Path) -> None:
    """Refuse what is no whole backup of the source, before anything is made for it.

    Raises:
        ConfigurationError: it is a backup of another source.
        WinbackError: it is none, or is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        _unpack(paths, file, Path(folder) / "backup")


def back_up(paths: SourcePaths, file: Path) -> list[str]:
    """Write a source's state, key and own YAML into a new file; call under the source's lock.

    Returns:
        What is to be told of it.

    Raises:
        WinbackError: there is nothing to back up, the state cannot be read, the key is not that of
            the present pseudonyms, or `file` is there.
    """
    may_back_up(paths, file)
    _complete_state(paths)
    parts = {f"{STATE}{one.name}": one for one in _state_files(paths)}
    _require_key(paths)
    if _own_yaml(paths).is_file():
        parts[SOURCE] = _own_yaml(paths)
    contents = {
        "format": FORMAT,
        "source": paths.source,
        "made_at": f"{utc_now():%Y-%m-%d %H:%M} UTC",
        "program": metadata.version("winback"),
        "files": {
            name: {"sha256": file_hash(part), "bytes": part.stat().st_size}
            for name, part in parts.items()
        },
    }
    with (
        appearing_whole(file, mode=0o600) as temporary,
        tarfile.open(temporary, "w:gz", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, CONTENTS, BytesIO(json.dumps(contents, indent=2).encode()))
        for name, part in parts.items():
            with part.open("rb") as stream:
                _add(archive, name, stream)
    said = [f"{file} holds {', '.join(parts)} of {paths.source}."]
    if paths.pseudonym_key.name not in {one.name for one in parts.values()}:
        said.append("No id of this source is a pseudonym, so there is no key in it.")
    return [*said, "It holds no file of the landing folder; copy those too."]


def restore(paths: SourcePaths, file: Path) -> list[str]:
    """Bring back from a backup what is missing, damaged or lacking; under the source's lock.

    Returns:
        What is to be told of it: what was put where.

    Raises:
        ConfigurationError: it is a backup of another source.
        WinbackError: it is none, is damaged, or holds another key than the present pseudonyms'.
    """
    with _unpacked(paths, file) as backup:
        wanted = {
            name.removeprefix(STATE): backup.file(name)
            for name in backup.names
            if name.startswith(STATE)
        }
        replaced = _Replaced(paths.state.parent / f"replaced-{moment()}")
        said = [f"{file} is a backup of {paths.source} of {backup.made_at}."]
        # Refused before anything is moved.
        is_key_wanted = _is_key_wanted(paths, file, wanted.get(paths.pseudonym_key.name))
        for name, part in wanted.items():
            present = paths.state.parent / name
            if name == paths.state.name:
                is_wanted, why = not _knows_all(paths, part), "knows all that the backup does"
            elif name == paths.pseudonym_key.name:
                is_wanted, why = is_key_wanted, "is as in the backup"
            else:
                is_wanted, why = not present.exists(), "is there"
            if not is_wanted:
                said.append(f"{present} {why}; left as it is.")
                continue
            replaced.keep(present, wal_of(present))
            # A log of what stood there belongs to nothing any more.
            delete(wal_of(present))
            said.append(_put(part, present))
        if SOURCE in backup.names:
            said.append(_put_yaml(paths, backup.file(SOURCE), file))
    if replaced.names:
        said.append(f"What was replaced is in {replaced.folder}: {', '.join(replaced.names)}.")
    return [*said, f"Next: winback run --source {paths.source}"]


class _Replaced:
    """The folder for what is replaced, which is made when something is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def keep(self, *files: Path) -> None:
        for file in files:
            if file.is_file():
                self.folder.mkdir(mode=0o700, exist_ok=True)
                shutil.copy2(file, self.folder / file.name)
                # A person may have put it there for everybody to read.
                (self.folder / file.name).chmod(0o600)
                self.names.append(file.name)


@contextmanager
def _unpacked(paths: SourcePaths, file: Path) -> Iterator[Backup]:
    """Yield a backup, checked and unpacked beside what it shall replace."""
    folder = paths.state.parent / f"{TEMPORARY}restore"
    delete(folder)
    try:
        yield _unpack(paths, file, folder)
    finally:
        delete(folder)


def _unpack(paths: SourcePaths, file: Path, folder: Path) -> Backup:
    try:
        with tarfile.open(file, "r:gz") as archive:
            contents, members = _contents(archive, file)
            if contents["source"] != paths.source:
                raise ConfigurationError(
                    f"{file} is a backup of {contents['source']}, not of {paths.source}; "
                    f"name its source: `winback restore {file} --source {contents['source']}`."
                )
            for made in (folder, folder / STATE):
                made.mkdir(parents=True, mode=0o700)
            backup = Backup(contents["made_at"], folder, tuple(contents["files"]))
            for name, member in members.items():
                with backup.file(name).open("xb") as target:
                    shutil.copyfileobj(archive.extractfile(member), target)
                if file_hash(backup.file(name)) != contents["files"][name]["sha256"]:
                    raise WinbackError(f"{file} is damaged: {name} is not what was backed up.")
            key = f"{STATE}{paths.pseudonym_key.name}"
            if key in backup.names and not KEY.fullmatch(_key_in(backup.file(key))):
                raise WinbackError(f"The key of pseudonyms in {file} is none; nothing was changed.")
            return backup
    except FileNotFoundError as error:
        raise WinbackError(f"The file {error.filename} is missing.") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise WinbackError(f"{file} is no backup of winback, or is damaged: {error}.") from error
    except OSError as error:
        # Also where there is no room to unpack it.
        raise WinbackError(
            f"{error.filename or file} cannot be used: {error.strerror or error}."
        ) from error


def _contents(
    archive: tarfile.TarFile, file: Path
) -> tuple[dict[str, Any], Mapping[str, tarfile.TarInfo]]:
    """Return what a backup says it holds, and its members, which must be exactly these files."""
    first = archive.next()
    if first is None or first.name != CONTENTS or not first.isreg():
        raise WinbackError(f"{file} is no backup of winback: it does not begin with {CONTENTS}.")
    try:
        contents = json.load(archive.extractfile(first))
        if contents["format"] != FORMAT:
            raise WinbackError(
                f"{file} was written by a later version of winback ({contents['program']}); "
                "restore it with that one."
            )
        sizes = {name: one["bytes"] for name, one in contents["files"].items()}
        _ = contents["source"], contents["made_at"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise WinbackError(f"{file} is no backup of winback: {CONTENTS} is garbled.") from error
    members: dict[str, tarfile.TarInfo] = {}
    for member in archive.getmembers()[1:]:
        plain = member.name.removeprefix(STATE)
        is_state = member.name.startswith(STATE) and _NAME.fullmatch(plain)
        is_known = member.name == SOURCE or (is_state and not _LEFT_OUT.fullmatch(plain))
        if not (is_known and member.isreg() and sizes.get(member.name) == member.size):
            raise WinbackError(f"{file} holds what no backup does: {member.name!r}; not restored.")
        if member.name in members:
            raise WinbackError(f"{file} holds {member.name} twice; not restored.")
        members[member.name] = member
    if missing := sorted(sizes.keys() - members.keys()):
        raise WinbackError(f"{file} is damaged: {', '.join(missing)} is missing from it.")
    return contents, members


def _key_in(part: Path) -> str:
    return part.read_text(encoding="utf-8", errors="replace").strip()


def _is_key_wanted(paths: SourcePaths, file: Path, part: Path | None) -> bool:
    """Return whether a backup's key is to take its place.

    Raises:
        WinbackError: it is none, or another one than that of the present pseudonyms.
    """
    if part is None:
        return False
    given = _key_in(part)
    last = last_release(paths)
    raw = read_raw(paths, last)
    wanted = recorded_keys(raw, last)
    try:
        present = read_key(paths)
    except WinbackError:
        present = None
    is_other = present is not None and present != given
    if (wanted and fingerprint(given) not in wanted) or (
        not wanted and is_other and raw is not None and raw_has_pseudonyms(paths)
    ):
        raise WinbackError(
            f"The key of pseudonyms in {file} is another one than that of the present ids, which "
            "would all change; nothing was changed. Take a backup made with the present key."
        )
    return present is None or is_other


def _knows_all(paths: SourcePaths, given: Path) -> bool:
    """Return whether the present state can be read and has all that a backup's has."""
    if not paths.state.exists():
        return False
    with connect(paths, MEMORY) as con:
        attach(con, given, "given", read_only=True)
        try:
            attach(con, paths.state, "present", read_only=True)
            return not any(
                con.execute(f"from given.main.{table} except from present.main.{table}").fetchone()
                for table in _HISTORY
            )
        except (WinbackError, duckdb.Error):
            return False


def _complete_state(paths: SourcePaths) -> None:
    """Let the state's file hold all of it, without a log beside it; a damaged one is no backup."""
    if paths.state.exists():
        fault = fault_of_state(paths, paths.state)
        if fault is not None:
            raise WinbackError(
                f"{paths.state} {fault}. Nothing is backed up; `winback run` mends the state "
                "first, then back up again."
            )
        with connect(paths, MEMORY) as con:
            attach(con, paths.state, "state")
            con.execute("checkpoint state")


def _require_key(paths: SourcePaths) -> None:
    """Let no backup be made without the key of the present pseudonyms, or with another one."""
    last = last_release(paths)
    try:
        raw = read_raw(paths, last)
    except DamagedDatabaseError:
        # The last release knows the key as well.
        raw = None
    require_key(paths, raw, last)


def _state_files(paths: SourcePaths) -> list[Path]:
    folder = paths.state.parent
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [one for one in found if one.is_file() and not _LEFT_OUT.fullmatch(one.name)]


def _own_yaml(paths: SourcePaths) -> Path:
    return paths.data_dir / "sources" / f"{paths.source}.yml"


def _put(part: Path, target: Path) -> str:
    with (
        appearing_whole(target, mode=0o600) as temporary,
        part.open("rb") as stream,
        temporary.open("wb") as made,
    ):
        shutil.copyfileobj(stream, made)
    return f"{target} is that of the backup."


def _put_yaml(paths: SourcePaths, part: Path, file: Path) -> str:
    """Bring back the source's own YAML where there is none; a person's later edit stays."""
    target, text = _own_yaml(paths), part.read_text(encoding="utf-8")
    if not target.exists():
        write_text(target, text)
        return f"{target} is that of the backup."
    if target.read_text(encoding="utf-8", errors="replace") == text:
        return f"{target} is as in the backup."
    return (
        f"{target} differs from the backup's and is left as it is; to look at that one: "
        f"tar -xzOf {file} {SOURCE}"
    )


def _add(archive: tarfile.TarFile, name: str, stream: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = stream.seek(0, os.SEEK_END)
    member.mode = 0o600
    stream.seek(0)
    archive.addfile(member, stream)
