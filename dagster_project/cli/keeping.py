"""`winback backup` and `winback restore`: what no run can make again, in one file and back."""

import argparse
from collections.abc import Callable
from pathlib import Path

from dagster_project.paths import SourcePaths


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_common: Callable[[argparse.ArgumentParser], None],
    paths_of: Callable[[argparse.Namespace], SourcePaths],
    say: Callable[[str], None],
) -> None:
    """Add both commands to the command line.

    Args:
        commands: Where commands are added.
        add_common: Adds the arguments that all commands of one source have.
        paths_of: Gives the folders of the source that these name.
        say: Tells a person of a wait.
    """
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
        from dagster_project.release.backup import back_up
        from dagster_project.release.backup import restore as bring_back
        from dagster_project.runs.locking import source_lock

        paths, file = paths_of(parsed), parsed.file.expanduser().resolve()
        work = back_up if parsed.is_backup else bring_back
        with source_lock(paths, say):
            print("\n".join(work(paths, file)))

    backup.set_defaults(command=run, is_backup=True)
    restore.set_defaults(command=run, is_backup=False)
