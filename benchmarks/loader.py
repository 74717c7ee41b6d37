"""The loader alone: a source's files into raw, without Dagster, gates and models.

Run as a program of its own, so that its memory can be measured; prints the seconds as JSON.
"""

import argparse
import json
import time
from pathlib import Path

from dagster_project.config.source import load_source
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths, setting
from dagster_project.warehouse import connect


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("database", type=Path)
    parsed = parser.parse_args()
    paths = SourcePaths(Path(setting("WINBACK_DATA_DIR", "data")), parsed.source)
    print(json.dumps({"load": load(paths, parsed.database)}))


def load(paths: SourcePaths, database: Path) -> float:
    """Load every table of the source into a new DuckDB file; return the seconds."""
    database.unlink(missing_ok=True)
    source = load_source(paths)
    started = time.monotonic()
    with connect(paths, database) as connection:
        prepare_raw(connection)
        for table in source.tables:
            load_table(connection, source, paths, table, batch_id="benchmark")
        connection.execute("checkpoint")
    return time.monotonic() - started


if __name__ == "__main__":
    main()
