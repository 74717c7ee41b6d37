"""dbt, as `winback-dbt`: it ends with its parent, and parses the project only when it must.

A killed run orphans the dbt it started, and the orphan would hold the warehouse for as long as
its build takes. Left alone, dbt would parse everything anew for every source and day, for both
are in its variables.
"""

import os
import shutil
import sys
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.1
# Names the file of the parsed project; without it dbt parses as it likes.
PARSED_PROJECT = "WINBACK_PARSED_PROJECT"


def main() -> None:
    """Run dbt with the arguments of the command line, for as long as the parent lives."""
    if sys.argv[1:] == ["--version"]:
        # dagster-dbt asks before every call; dbt itself would look for news on the internet.
        print(metadata.version("dbt-core"))
        return
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    from dbt.cli.main import cli

    parsed = os.environ.get(PARSED_PROJECT)
    if parsed is None:
        sys.exit(cli())
    if Path(parsed).exists():
        sys.exit(cli(obj={"manifest": read_parsed(Path(parsed))}))
    try:
        cli()
    except SystemExit as end:
        if end.code == 0:
            keep_parsed(Path(os.environ["DBT_TARGET_PATH"]), Path(parsed))
        raise


def keep_parsed(target: Path, parsed: Path) -> None:
    """Move what dbt has parsed out of its target folder, with the time at which it did."""
    # The folders may be on two disks, and another source's run may read the file.
    whole = parsed.with_suffix(f".{os.getpid()}")
    shutil.move(target / "partial_parse.msgpack", whole)
    whole.replace(parsed)


def read_parsed(file: Path) -> Any:
    """Return the parsed project; dbt goes on from it as after parsing."""
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(file.read_bytes(), decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)
