"""Commands for what is kept: `releases`, `verify`, `rollback`, `backup`, `restore`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_common: Callable[[argparse.ArgumentParser], None],
    paths_of: Callable[[argparse.Namespace], SourcePaths],
    inform: Callable[[str], None],
) -> None:
    """Add the commands to the command line.

    Args:
        commands: Where commands are added.
        add_common: Adds the arguments that all commands of one source have.
        paths_of: Gives the folders of the source that these name.
        inform: Tells a person of a wait.
    """
    listing = commands.add_parser("releases", help="list the releases of a source")
    add_common(listing)
    listing.set_defaults(command=lambda parsed: _releases(paths_of(parsed)))

    verify = commands.add_parser(
        "verify",
        help="compare every byte of every kept release with its manifest",
        description="Each run compares sizes and times of the files, this command their hashes. "
        "Ends with 1 if anything is wrong, and says what the next run does about it.",
    )
    add_common(verify)
    verify.set_defaults(command=lambda parsed: _verify(paths_of(parsed)))

    rollback = commands.add_parser("rollback", help="make a former release current again")
    rollback.add_argument("release_id", nargs="?", help="by default the one before the current")
    add_common(rollback)
    rollback.set_defaults(
        command=lambda parsed: _rollback(paths_of(parsed), parsed.release_id, inform)
    )

    backup = commands.add_parser(
        "backup",
        help="write a source's state and key of pseudonyms into a file",
        description="Writes what no run can make again into a new file that only its owner can "
        "read: the history of releases, the key of pseudonyms, what has been told, and the "
        "source's own YAML if it is in the data directory. The files of the landing folder are "
        "not in it; copy those too.",
    )
    restore = commands.add_parser(
        "restore",
        help="bring back a source's state and key of pseudonyms from a backup",
        description="Puts in place what is missing, damaged or lacks what the backup has, keeps "
        "what it replaces beside it, and says what is where. What knows as much as the backup "
        "stays. A key other than that of the present pseudonyms is refused.",
    )
    for parser, verb in ((backup, "write"), (restore, "read")):
        parser.add_argument(
            "file", type=Path, metavar="FILE", help=f"the backup to {verb}, .tar.gz"
        )
        add_common(parser)

    def run(parsed: argparse.Namespace) -> None:
        from dagster_project.access import keep_to_owner
        from dagster_project.release.backup import back_up, look_through, may_back_up
        from dagster_project.release.backup import restore as bring_back
        from dagster_project.runs.locking import source_lock

        paths, file = paths_of(parsed), parsed.file.expanduser().resolve()
        look, work = (may_back_up, back_up) if parsed.is_backup else (look_through, bring_back)
        # Not even the lock's file is left of what is refused.
        look(paths, file)
        keep_to_owner(paths)
        with source_lock(paths, inform):
            print("\n".join(work(paths, file)))

    backup.set_defaults(command=run, is_backup=True)
    restore.set_defaults(command=run, is_backup=False)


def _releases(paths: SourcePaths) -> None:
    from dagster_project.config.source import load_source
    from dagster_project.release.state import list_releases

    load_source(paths)
    found = list_releases(paths)
    if not found and any(paths.releases.glob("[!.]*/manifest.json")):
        print(
            f"The list of the releases of {paths.source} is missing, and they are there: the next "
            "run takes them up, `winback verify` names them."
        )
    elif not found:
        print(f"No release of {paths.source} yet; make one with `winback run`.")
    for release in found:
        is_aside = not release.is_kept and (paths.damaged / release.release_id).is_dir()
        marks = [
            mark
            for mark, holds in (
                ("current", release.is_current),
                ("rolled back", release.is_rolled_back),
                (f"damaged, moved to {paths.damaged / release.release_id}", is_aside),
                ("files deleted", not (release.is_kept or is_aside)),
            )
            if holds
        ]
        print(
            f"{release.release_id}  as of {release.as_of}  "
            f"published {release.published_at:%Y-%m-%d %H:%M} UTC  {', '.join(marks)}".rstrip()
        )


def _verify(paths: SourcePaths) -> None:
    from dagster_project.config.source import load_source
    from dagster_project.release.verify import verify

    load_source(paths)
    whole, faults = verify(paths)
    print("\n".join(whole) or f"No whole release of {paths.source}.")
    if faults:
        raise WinbackError("\n  ".join([f"{paths.source} is not as it was published:", *faults]))


def _rollback(paths: SourcePaths, release_id: str | None, inform: Callable[[str], None]) -> None:
    from dagster_project.access import keep_to_owner
    from dagster_project.config.source import load_source
    from dagster_project.release.publish import rollback
    from dagster_project.release.recover import recover
    from dagster_project.runs.locking import source_lock

    load_source(paths)
    keep_to_owner(paths)
    with source_lock(paths, inform):
        recover(paths, inform)
        release = rollback(paths, release_id, inform=inform)
    print(f"{release.release_id} (as of {release.as_of}) is current.")
