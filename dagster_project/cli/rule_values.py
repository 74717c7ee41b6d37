"""The values of the columns that rules look at, as `winback check` prints them."""

from dagster_project.config.source import Source
from dagster_project.loading.compared_values import compared_columns
from dagster_project.paths import SourcePaths

# Longer values are cut.
WIDTH = 40


def describe(source: Source, paths: SourcePaths) -> list[str]:
    """Return a line for each value, by column; see `compared_columns` for what is raised."""
    lines = []
    for column in compared_columns(source, paths):
        if column.hidden:
            lines.append(f"values      {column.name}: not listed, for {column.hidden}")
            continue
        lines.append(f"values      {column.name}:")
        lines += [f"  {_shown(value):<{WIDTH}}{count:>12,}" for value, count in column.values]
        if column.more_count:
            lines.append(f"  and {column.more_count:,} more")
    return lines


def _shown(value: str | None) -> str:
    """Return a value as a rule writes it, what is invisible as an escape."""
    if value is None:
        return "none"
    visible = "".join(
        one if one.isprintable() and (one == " " or not one.isspace()) else ascii(one)[1:-1]
        for one in value.replace("'", "''")
    )
    return f"'{visible}'" if len(visible) <= WIDTH - 3 else f"'{visible[: WIDTH - 4]}…'"
