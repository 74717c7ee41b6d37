"""What a run stands on, looked at before it reads anything: the warehouse, the key of pseudonyms.

A warehouse can be made again from the files, but for what it holds of files that have gone; a key
cannot be made again at all. What there has been is told by the last release.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import duckdb

from dagster_project.config.source import Source
from dagster_project.errors import ConfigurationError, WinbackError, counted, first_line
from dagster_project.files import delete
from dagster_project.loading.files import present_files
from dagster_project.loading.pseudonyms import (
    fingerprint,
    has_pseudonyms,
    make_key,
    noted_fingerprint,
    read_key,
)
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.release.made_from import (
    LastRelease,
    LoadedFile,
    if_there,
    last_release,
    loaded,
)
from dagster_project.standing import what_stands
from dagster_project.warehouse import (
    DamagedDatabaseError,
    connect,
    create_table,
    fault,
    insert,
    utc_now,
    wal_of,
)

# So many file names stand in a message.
NAMED_FILES = 3
_FILES = "parse_filename(source_file) as file_name, table_name, file_hash, row_count"


@dataclass(frozen=True)
class Raw:
    """What a warehouse says of itself.

    It knows the last release if that was made here, or if a person has decided what to do without.
    """

    files: tuple[LoadedFile, ...]
    key: str | None
    knows_release: bool


def make_ready(
    paths: SourcePaths,
    source: Source,
    inform: Callable[[str], None],
    *,
    rebuild: bool = False,
    new_pseudonyms: bool = False,
) -> None:
    """Let a run begin with a warehouse and a key that are right, or not at all.

    A warehouse that is damaged or missing is made anew where the files hold all that the last
    release was made from. Call under the source's lock.

    Args:
        paths: Folders of the source.
        source: The source as the run read it.
        inform: Is told what was done.
        rebuild: Make the warehouse anew whatever it is, and without the files that have gone.
        new_pseudonyms: Make a new key and, with it, the warehouse anew.

    Raises:
        ConfigurationError: the source has no pseudonyms.
        WinbackError: something is missing that only a person can bring back.
    """
    if new_pseudonyms and source.pseudonymise_ids == "never":
        raise ConfigurationError(
            f"{source.path.name}, pseudonymise_ids: never: there are no pseudonyms to make anew."
        )
    last = last_release(paths)
    damage = fault(paths, reads_all=paths.doubt.exists())
    if not paths.warehouse.exists():
        if paths.warehouse.is_symlink():
            raise WinbackError(
                f"{paths.warehouse} is a link to {paths.warehouse.readlink()}, which is not there. "
                "Mount its disk, or delete the link and run again."
            )
        damage = "is missing" if last is not None else None
    raw = None
    try:
        is_sound = damage is None and paths.warehouse.exists()
        raw = (_raw if is_sound else read_raw)(paths, last)
    except DamagedDatabaseError as error:
        damage = damage or f"cannot be read: {first_line(str(error.__cause__)).rstrip('.')}"
    if not new_pseudonyms and source.pseudonymise_ids != "never":
        require_key(paths, raw, last)
    if damage is None:
        # What raised the doubt was another file, or has been mended since.
        delete(paths.doubt)
        if not (rebuild or new_pseudonyms):
            _require_files(paths, source, raw, last)
            return
    gone = gone_files(_held(raw, last), source, paths)
    if gone and not rebuild:
        raise WinbackError(
            f"The warehouse {paths.warehouse} {damage or 'was to be made anew'}, and not all the "
            f"files are there to make it from: {_listed(gone)} that it held {_are(gone)} no longer "
            f"in {paths.landing} and would be missing from the next release. {_unchanged(paths)} "
            f"{_way_back(paths, source, new_pseudonyms)}"
        )
    if new_pseudonyms and paths.pseudonym_key.exists():
        former = paths.pseudonym_key.with_name(f"replaced-{stamp()}.key")
        paths.pseudonym_key.chmod(0o600)
        paths.pseudonym_key.rename(former)
        inform(f"The former key of pseudonyms is {former} now.")
    kept = _put_aside(paths, is_complete=not gone)
    with connect(paths) as connection:
        prepare_raw(connection)
        if new_pseudonyms:
            key = fingerprint(make_key(paths))
            inform(
                "A new key of pseudonyms is made: customers whose ids are pseudonyms get others."
            )
        else:
            key = raw.key if raw else None
        if key is not None:
            insert(connection, "raw.pseudonym_key", {"fingerprint": key})
        if last is not None:
            _note_known(connection, last.release_id)
    inform(
        f"The warehouse {paths.warehouse} {damage or 'was put aside'}; it is made anew from the "
        f"files{f', without {_listed(gone)} that {_are(gone)} no longer there' if gone else ''}."
        + (f" The old one is {kept} now; delete it if nobody needs it." if kept else "")
    )


def read_raw(paths: SourcePaths, last: LastRelease | None) -> Raw | None:
    """Return what the warehouse says of itself; null if there is none or it cannot be opened.

    Raises:
        DamagedDatabaseError: it can be opened, but what it says of itself cannot be read.
    """
    return _raw(paths, last) if paths.warehouse.exists() and not fault(paths) else None


def _raw(paths: SourcePaths, last: LastRelease | None) -> Raw:
    with connect(paths, read_only=True) as con:
        loads = if_there(con, f"select {_FILES} from raw.loads")
        knows_release = last is not None and any(
            if_there(con, f"select 1 from audit.{table} where {column} = ?", last.release_id)
            for table, column in (("verdicts", "subject"), ("rebuilt", "release_id"))
        )
        return Raw(loaded(loads), noted_fingerprint(con), knows_release)


def recorded_keys(raw: Raw | None, last: LastRelease | None) -> frozenset[str]:
    """Return the fingerprints of which the key must have one; empty where nothing is known.

    Raw counts for more than releases: after new pseudonyms the last release has the former ones.
    """
    if raw is not None and raw.key is not None:
        return frozenset({raw.key})
    return last.keys if last is not None else frozenset()


def require_key(paths: SourcePaths, raw: Raw | None, last: LastRelease | None) -> None:
    """Let nobody make pseudonyms with another key than that of the present ones.

    Raises:
        WinbackError: the key is missing, empty or garbled, or another one.
    """
    file, wanted = paths.pseudonym_key, recorded_keys(raw, last)
    way_back = (
        f"{_unchanged(paths)} Put the file back, or run `winback restore FILE --source "
        f"{paths.source}` with a backup. If there is no copy: `winback run --source "
        f"{paths.source} --new-pseudonyms` "
        "makes a new key; every customer whose id is a pseudonym then gets another id, and all "
        f"files are read again, which must all be in {paths.landing}."
    )
    try:
        key = read_key(paths)
    except WinbackError as error:
        raise WinbackError(f"{error} {way_back}") from error
    where = "the warehouse" if raw is not None and raw.key else "the last release"
    if key is None:
        if not wanted and raw is not None and raw_has_pseudonyms(paths):
            wanted, where = frozenset({"not noted"}), "the warehouse"
        if wanted:
            raise WinbackError(
                f"The key of pseudonyms {file} is missing, and ids in {where} were made with it. "
                f"{way_back}"
            )
    elif wanted and fingerprint(key) not in wanted:
        raise WinbackError(
            f"The key of pseudonyms {file} is another one than that of the ids in {where}. "
            f"{way_back}"
        )


def raw_has_pseudonyms(paths: SourcePaths) -> bool:
    """Return whether an id in the warehouse is a pseudonym."""
    with connect(paths, read_only=True) as connection:
        return has_pseudonyms(connection)


def gone_files(
    held: Iterable[LoadedFile],
    source: Source,
    paths: SourcePaths,
    elsewhere: Sequence[LoadedFile] = (),
) -> list[LoadedFile]:
    """Return which of the files that were loaded are lost, with lines that count.

    A file is there if its content is, under whatever name, or a newer content under its name.
    Tables that the source no longer has are nobody's loss.

    Args:
        held: What was loaded.
        source: The source, whose files are looked for.
        paths: Folders of the source.
        elsewhere: What is held apart from the source's folder, and counts as being there.
    """
    wanted: dict[str, dict[tuple[str, str], LoadedFile]] = {}
    for one in held:
        if one.table in source.tables and one.row_count:
            wanted.setdefault(one.table, {})[one.name, one.content_hash] = one
    gone = []
    for table, files in wanted.items():
        there = [
            (PurePosixPath(file.name).name, file.content_hash)
            for file in present_files(source, paths, table)
        ]
        there += [(one.name, one.content_hash) for one in elsewhere if one.table == table]
        contents = {content for _, content in there}
        known = {content for _, content in files}
        newer = Counter(name for name, content in there if content not in known)
        for (name, content), file in files.items():
            if content in contents:
                continue
            # Folders are not known: one newer file stands for one of its name.
            newer[name] -= 1
            if newer[name] < 0:
                gone.append(file)
    return sorted(gone, key=lambda one: (one.table, one.name))


def stamp() -> str:
    """Return the moment for the name of something put aside."""
    return f"{utc_now():%Y%m%dT%H%M%S}"


def _require_files(
    paths: SourcePaths, source: Source, raw: Raw | None, last: LastRelease | None
) -> None:
    """Let no older warehouse, from a copy for instance, publish less than there was."""
    if raw is None or last is None or raw.knows_release:
        return
    gone = gone_files(last.made_from, source, paths, raw.files)
    if gone:
        raise WinbackError(
            f"The warehouse {paths.warehouse} is not the one that release {last.release_id} was "
            f"made from: {_listed(gone)} of it {_are(gone)} neither there nor in {paths.landing} "
            f"and would be missing from the next release. {_unchanged(paths)} "
            f"{_way_back(paths, source)}"
        )


def _held(raw: Raw | None, last: LastRelease | None) -> list[LoadedFile]:
    """Return what the warehouse holds, or may have held where it says nothing."""
    if raw is not None and raw.knows_release:
        return [*raw.files]
    return [*(raw.files if raw else ()), *(last.made_from if last else ())]


def _put_aside(paths: SourcePaths, *, is_complete: bool) -> Path | None:
    """Move a warehouse out of the way, if there is one; return where it is now.

    One that the files can make again is kept once, any other as long as nobody deletes it.
    """
    name = "warehouse.old.duckdb" if is_complete else f"warehouse.{stamp()}.duckdb"
    kept = paths.warehouse_dir / name
    is_there = paths.warehouse.exists()
    for file, aside in ((paths.warehouse, kept), (wal_of(paths.warehouse), wal_of(kept))):
        delete(aside)
        if file.exists():
            file.rename(aside)
    delete(paths.spill)
    delete(paths.doubt)
    return kept if is_there else None


def _note_known(connection: duckdb.DuckDBPyConnection, release_id: str) -> None:
    """Note in a new warehouse which release's files have been asked after."""
    connection.execute("create schema if not exists audit")
    create_table(connection, "audit.rebuilt", {"release_id": "varchar"})
    insert(connection, "audit.rebuilt", {"release_id": release_id})


def _unchanged(paths: SourcePaths) -> str:
    return f"Nothing was read or changed. {what_stands(paths)}"


def _way_back(paths: SourcePaths, source: Source, new_pseudonyms: bool = False) -> str:
    also = " --new-pseudonyms" if new_pseudonyms else ""
    if not present_files(source, paths, "transactions"):
        # There would be nothing to make it from, and no release of nothing.
        return "Put the files back and run again."
    return (
        f"Put the files back and run again; or `winback run --source {paths.source}{also} "
        "--rebuild-warehouse` makes it anew from what is there."
    )


def _listed(files: Sequence[LoadedFile]) -> str:
    names = list(dict.fromkeys(file.name for file in files))
    more = f" and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    lines = sum(file.row_count for file in files)
    return (
        f"{counted('file', len(names))} with {counted('line', lines)} "
        f"({', '.join(names[:NAMED_FILES])}{more})"
    )


def _are(files: Sequence[LoadedFile]) -> str:
    return "is" if len({file.name for file in files}) == 1 else "are"
