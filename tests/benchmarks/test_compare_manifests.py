"""Comparing two dbt manifests: files may move, nothing else may change unsaid."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare_manifests

MANIFEST = {
    "metadata": {"generated_at": "2024-01-01"},
    "nodes": {
        "model.winback.customers": {
            "path": "marts/customers.sql",
            "original_file_path": "models/marts/customers.sql",
            "patch_path": "winback://models/marts/_marts__models.yml",
            "fqn": ["winback", "marts", "customers"],
            "created_at": 1,
            "checksum": {"name": "sha256", "checksum": "abc"},
            "config": {"materialized": "table"},
            "depends_on": {"macros": ["macro.b", "macro.a"], "nodes": []},
        },
        "seed.winback.rules": {"root_path": "/one/place", "checksum": {"checksum": "def"}},
    },
    "unit_tests": {"unit_test.winback.customers.zero": {"checksum": "1"}},
    "sources": {"source.winback.raw.loads": {"columns": {}}},
    "macros": {"macro.winback.as_of_date": {"macro_sql": "x"}},
}


def outcome(
    folder: Path, capsys: pytest.CaptureFixture[str], after: dict[str, Any]
) -> tuple[int, list[str]]:
    """Return the exit code and the differences shown."""
    files = folder / "before.json", folder / "after.json"
    for file, manifest in zip(files, (MANIFEST, after), strict=True):
        file.write_text(json.dumps(manifest))
    code = compare_manifests.main([*map(str, files)])
    shown = capsys.readouterr().out.splitlines()
    return code, [line.removeprefix("- ") for line in shown if line.startswith("- ")]


def test_moved_files_are_the_same_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = copy.deepcopy(MANIFEST)
    after["nodes"]["model.winback.customers"] |= {
        "path": "marts/customers/customers.sql",
        "original_file_path": "models/marts/customers/customers.sql",
        "patch_path": "winback://models/marts/customers/_customers__models.yml",
        "fqn": ["winback", "marts", "customers", "customers"],
        "created_at": 2,
        "depends_on": {"macros": ["macro.a", "macro.b"], "nodes": []},
    }
    after["nodes"]["seed.winback.rules"]["root_path"] = "/another/place"
    after["metadata"]["generated_at"] = "2024-01-02"
    assert outcome(tmp_path, capsys, after) == (0, [])


@pytest.mark.parametrize(
    ("kind", "name", "change", "expected"),
    [
        ("nodes", "model.winback.customers", {"checksum": {"checksum": "x"}}, "checksum"),
        ("nodes", "model.winback.customers", {"config": {}, "schema": "x"}, "config, schema"),
        ("nodes", "seed.winback.rules", {"checksum": {"checksum": "x"}}, "checksum"),
        ("unit_tests", "unit_test.winback.customers.zero", {"checksum": "2"}, "checksum"),
        ("sources", "source.winback.raw.loads", {"columns": {"a": {}}}, "columns"),
        ("macros", "macro.winback.as_of_date", {"macro_sql": "y"}, "macro_sql"),
    ],
)
def test_changes_are_named(
    kind: str,
    name: str,
    change: dict[str, Any],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    after = copy.deepcopy(MANIFEST)
    after[kind][name] |= change
    assert outcome(tmp_path, capsys, after) == (1, [f"{name}: {expected}"])


def test_added_and_removed_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = copy.deepcopy(MANIFEST)
    after["nodes"]["model.winback.cases"] = after["nodes"].pop("model.winback.customers")
    after["macros"] = {}
    assert outcome(tmp_path, capsys, after) == (
        1,
        [
            "model.winback.customers: only before",
            "model.winback.cases: only after",
            "macro.winback.as_of_date: only before",
        ],
    )


def test_unreadable_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.json").write_text("{")
    arguments = [str(tmp_path / "one.json"), str(tmp_path / "none.json")]
    assert compare_manifests.main(arguments) == 2
    assert "one.json cannot be read as a manifest" in capsys.readouterr().err
