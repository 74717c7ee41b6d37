"""dbt, as `winback-dbt`: it ends with its parent, and parses the project only when it must.

A killed run orphans the dbt it started, and the orphan would hold the warehouse for as long as
its build takes. Left alone, dbt would parse everything anew every day, for the as-of date is one
of its variables.
"""

import os
import sys
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.1
# Names what the project is parsed from; without it dbt parses as it likes.
PARSE_FINGERPRINT = "WINBACK_PARSE_FINGERPRINT"


def main() -> None:
    """Run dbt with the arguments of the command line, for as long as the parent lives."""
    if sys.argv[1:] == ["--version"]:
        # dagster-dbt asks before every call; dbt itself would look for news on the internet.
        print(metadata.version("dbt-core"))
        return
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    from dbt.cli.main import cli

    fingerprint = os.environ.get(PARSE_FINGERPRINT)
    if fingerprint is None:
        sys.exit(cli())
    target = Path(os.environ["DBT_TARGET_PATH"])
    kept = target / f"parsed-{fingerprint}.msgpack"
    if kept.exists():
        sys.exit(cli(obj={"manifest": _manifest(kept)}))
    for stale in target.glob("parsed-*.msgpack"):
        stale.unlink()
    try:
        cli()
    except SystemExit as end:
        if end.code == 0:
            # What dbt has written for itself after parsing.
            (target / "partial_parse.msgpack").rename(kept)
        raise


def _manifest(file: Path) -> Any:
    """Read the parsed project; dbt goes on from it as after parsing."""
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(file.read_bytes(), decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)
