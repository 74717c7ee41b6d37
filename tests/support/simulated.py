"""Simulating a business in a test, and looking at what was written."""

from pathlib import Path
from typing import Any

import duckdb

from dagster_project.config.source import Source, load_source
from dagster_project.paths import PROJECT_DIR, SourcePaths
from dagster_project.simulation import simulation
from dagster_project.simulation.simulation import Business


def simulate(data_dir: Path, lines: int, seed: int = 1, **options: Any) -> Business:
    """Simulate a business, `source` by its name, and say nothing."""
    paths = SourcePaths(data_dir, options.pop("source", "simulated"))
    return simulation.simulate(
        load_source(paths), paths, lines=lines, seed=seed, inform=lambda text: None, **options
    )


def everything(data_dir: Path) -> dict[str, bytes]:
    """Return every file that a simulation may have written, the hidden ones too."""
    folders = (data_dir / "landing", data_dir / "simulated_truth")
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(data_dir).as_posix(): file.read_bytes() for file in sorted(files)}


def content(data_dir: Path) -> dict[str, list[tuple]]:
    """Return the rows of every written file, in their order."""
    with duckdb.connect() as connection:
        return {
            name: connection.execute(f"from '{data_dir / name}'").fetchall()
            for name in everything(data_dir)
        }


class Look:
    """Answers questions about a simulated business in plain SQL."""

    def __init__(self, data_dir: Path) -> None:
        self.connection = duckdb.connect()
        landing = SourcePaths(data_dir, "simulated").landing
        self.connection.execute(f"""
            create view lines as from '{landing}/sales-*.parquet';
            create view members as from '{landing}/customers-*.parquet';
            create view truth as from '{data_dir}/simulated_truth/simulated.parquet';
            create table baskets as
                select distinct transaction_id, customer_id, ordered_at::date as ordered_on
                from lines where amount >= 0;
            create table buyers as
                select
                    customer_id, count(*) - 1 as repeat_count, min(ordered_on) as first_on,
                    max(ordered_on) as last_on
                from baskets group by customer_id;
        """)

    def one(self, select: str) -> Any:
        """Return the only value of a query."""
        return self.connection.execute(select).fetchone()[0]


def configure(data_dir: Path, industry: str) -> Source:
    """Write the file of a simulated business in another industry, named like it."""
    written = (PROJECT_DIR / "data" / "sources" / "simulated.yml").read_text()
    assert "industry: grocery" in written
    file = data_dir / "sources" / f"{industry}.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(written.replace("industry: grocery", f"industry: {industry}"))
    return load_source(SourcePaths(data_dir, industry))
