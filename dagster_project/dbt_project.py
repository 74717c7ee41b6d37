"""The dbt project as Dagster sees it: its manifest, and what of it is published."""

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from dagster_project.errors import WinbackError
from dagster_project.paths import DBT_DIR
from dagster_project.releases import PublishedTable

MANIFEST = DBT_DIR / "target" / "manifest.json"
DBT_EXECUTABLE = Path(sys.executable).with_name("winback-dbt")


def manifest_path() -> Path:
    """Return the manifest, parsing the project first if it is missing or older than a model.

    Raises:
        WinbackError: dbt cannot parse the project.
    """
    sources = [DBT_DIR / "dbt_project.yml"]
    for folder in ("models", "macros", "tests", "seeds"):
        sources += [path for path in (DBT_DIR / folder).rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime for path in sources)
    if not MANIFEST.exists() or MANIFEST.stat().st_mtime < newest:
        _parse()
    return MANIFEST


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


def _parse() -> None:
    # Into a folder of its own first: another process may be reading the manifest.
    MANIFEST.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=MANIFEST.parent) as target:
        command = [str(DBT_EXECUTABLE), "--quiet", "parse", "--target-path", target]
        command += ["--project-dir", str(DBT_DIR), "--profiles-dir", str(DBT_DIR)]
        command += ["--log-path", target]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise WinbackError(f"dbt cannot parse {DBT_DIR}:\n{result.stdout}{result.stderr}")
        (Path(target) / "manifest.json").replace(MANIFEST)
