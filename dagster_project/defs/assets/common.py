"""What assets of all layers share: their keys, their owners, how the UI shows a table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from dagster_project.config import canonical
from dagster_project.defs.resources import Run
from dagster_project.errors import WinbackError
from dagster_project.models.version import forget_built, missing_tables, note_built, other_than
from dagster_project.warehouse import connect

# What assets and checks take as `source_run`.
GivenRun = dg.ResourceParam[Run]
# What a person does whose run published nothing: the one thing that always can.
NEXT_STEP = (
    "To publish, start the job `daily` (Jobs, daily, Materialize, choose the days: one run does "
    "it all) or `winback run`."
)
OWNERS = ["team:data-engineering"]
# A range of days, with all that follows from it, is one run and not a run a day.
ONE_RUN = dg.BackfillPolicy.single_run()


@contextmanager
def noting_built(context: dg.AssetExecutionContext, source_run: Run) -> Iterator[None]:
    """Note of what release the chosen tables are, once they are built; see `note_built`."""
    keys = context.selected_asset_keys
    read = {key for chosen in keys for key in context.assets_def.asset_deps[chosen]} - keys
    tables = [table_name(key) for key in keys]
    missing = missing_tables(source_run.paths, [table_name(key) for key in read])
    if missing:
        raise WinbackError(
            f"{some(missing)}: not built yet, and what was chosen is made from them. {NEXT_STEP}"
        )
    # Raw is what it is now; its own part of the release's name says what.
    made_from = [table_name(key) for key in read if key.path[0] != "raw"]
    with connect(source_run.paths, read_only=True) as connection:
        identity = source_run.identity(connection)
    forget_built(source_run.paths, tables)
    try:
        yield
    except WinbackError as error:
        others = other_than(source_run.paths, made_from, identity.release_id)
        if not others:
            raise
        raise WinbackError(
            f"{error}\nThe likely cause: {some(others)}, from which it is made, were not built "
            f"from what is loaded now, as of {identity.as_of} with the present settings and code. "
            f"{NEXT_STEP}"
        ) from error
    note_built(source_run.paths, tables, made_from, identity.release_id)


def some(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are, for a message."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def table_name(key: dg.AssetKey) -> str:
    """Return the table behind an asset as a person reads it, `schema/table`."""
    return "/".join(key.path)


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
