"""What assets of all layers share: their keys, their owners, how the UI shows a table."""

from typing import Any

import dagster as dg

from dagster_project.config import canonical
from dagster_project.defs.resources import Run

# What assets and checks take as `source_run`.
GivenRun = dg.ResourceParam[Run]
OWNERS = ["team:data-engineering"]
# A range of days, with all that follows from it, is one run and not a run a day.
ONE_RUN = dg.BackfillPolicy.single_run()


def raw_key(table: str) -> dg.AssetKey:
    """Return the key of a raw table."""
    return dg.AssetKey(["raw", table])


CANDIDATE = dg.AssetKey(["release", "candidate"])
CURRENT = dg.AssetKey(["release", "current"])
TRANSACTIONS = raw_key("transactions")
RAW_KEYS = [raw_key(name) for name in canonical.TABLES]


def markdown_table(result: Any) -> dg.MetadataValue:
    """Return the rows of a query as a table for the UI."""
    names = [column[0] for column in result.description]
    rows = [names, ["---"] * len(names), *result.fetchall()]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(map(str, row))} |" for row in rows))
