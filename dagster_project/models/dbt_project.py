"""The dbt project as Dagster sees it: its manifest, and what of it is published."""

import contextlib
import fcntl
import hashlib
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from dagster_project.models.dbt_runner import run_dbt
from dagster_project.paths import DBT_DIR, SourcePaths
from dagster_project.release.tables import PublishedTable

MANIFEST = DBT_DIR / "target" / "manifest.json"


def manifest_path() -> Path:
    """Return the manifest, parsing the project first if it is missing or older than a model.

    Raises:
        WinbackError: dbt cannot parse the project.
    """
    if not _is_parsed():
        MANIFEST.parent.mkdir(exist_ok=True)
        # Two processes that start at once need not both parse.
        with MANIFEST.with_name("parsing.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_parsed():
                _parse()
    return MANIFEST


def _is_parsed() -> bool:
    return MANIFEST.exists() and MANIFEST.stat().st_mtime >= _changed_at()


def _changed_at() -> float:
    sources = [DBT_DIR / "dbt_project.yml"]
    for folder in ("models", "macros", "tests", "seeds"):
        sources += [path for path in (DBT_DIR / folder).rglob("*") if path.is_file()]
    return max(path.stat().st_mtime for path in sources)


@cache
def _manifest(path: Path, modified_at: float) -> dict[str, Any]:
    return json.loads(path.read_text())


def manifest() -> dict[str, Any]:
    """Return the content of the manifest."""
    path = manifest_path()
    return _manifest(path, path.stat().st_mtime)


def published_tables() -> list[PublishedTable]:
    """Return the models and seeds of schema `marts` with the descriptions their readers get."""
    nodes = [
        node
        for node in manifest()["nodes"].values()
        if node["resource_type"] in ("model", "seed") and node["schema"] == "marts"
    ]
    return [
        PublishedTable(
            name=node["name"],
            description=node["description"],
            columns={name: column["description"] for name, column in node["columns"].items()},
            order_by=node["meta"]["order_by"],
        )
        for node in sorted(nodes, key=lambda node: node["name"])
    ]


def source_description(source: str, table: str) -> str:
    """Return what the project says of a table that it reads and does not build."""
    return manifest()["sources"][f"source.winback.{source}.{table}"]["description"]


def default_variables() -> dict[str, Any]:
    """Return the variables with which the project can be parsed on its own."""
    return yaml.safe_load((DBT_DIR / "dbt_project.yml").read_text())["vars"]


def parsed_project(variables: Mapping[str, Any]) -> Path:
    """Return the file of the project as dbt parses it with these variables, there or not yet.

    All that are older than a model are removed, also those of versions no longer in use. Models
    read variables when they are compiled, so that one parsed project serves every source and day.
    Parsing itself asks only how `int_silences` is stored: as a view where purchases alone count and
    no season does.
    """
    methods = {definition["method"] for definition in variables["churn_definitions"]}
    is_projection = variables["churn_basis"] == "purchase" and "season" not in methods
    asked = f"{metadata.version('dbt-core')} {is_projection}"
    file = MANIFEST.with_name(f"parsed-{hashlib.sha256(asked.encode()).hexdigest()[:8]}.msgpack")
    changed_at = _changed_at()
    for parsed in MANIFEST.parent.glob("parsed-*.msgpack"):
        with contextlib.suppress(FileNotFoundError):  # Another source's run may be quicker.
            if parsed.stat().st_mtime < changed_at:
                parsed.unlink()
    return file


def _parse() -> None:
    # Into a folder of its own first: another process may be reading the manifest.
    with tempfile.TemporaryDirectory(dir=MANIFEST.parent) as target:
        variables = default_variables()
        parsed = parsed_project(variables)
        # With it dbt would go on from what is parsed and write no manifest.
        parsed.unlink(missing_ok=True)
        run_dbt(
            ["parse"],
            target=Path(target),
            variables=variables,
            # Relations are named after the file of the warehouse while the project is parsed.
            environment={"WINBACK_WAREHOUSE": SourcePaths(Path(), "").warehouse.name},
            parsed=parsed,
        )
        (Path(target) / "manifest.json").replace(MANIFEST)
