"""dbt, as `winback-dbt`: it ends with its parent instead of keeping DuckDB's write lock.

A killed run orphans the dbt it started, and the orphan would hold the warehouse for as long as
its build takes.
"""

import os
import sys
import threading
import time
from importlib import metadata

POLL_SECONDS = 0.1


def main() -> None:
    """Run dbt with the arguments of the command line, for as long as the parent lives."""
    if sys.argv[1:] == ["--version"]:
        # dagster-dbt asks before every call; dbt itself would look for news on the internet.
        print(metadata.version("dbt-core"))
        return
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    from dbt.cli.main import cli

    sys.exit(cli())


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)
