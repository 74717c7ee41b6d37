"""Judging: reads only, keeps no lock, takes paths as they are and prints nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from great_expectations.data_context.types.base import DataContextConfig
from support.gate_cases import judge_raw, judge_release, make
from support.kept_shop import damage_block
from support.small_release import PUBLISHED, RELEASE
from support.small_warehouse import LINES, WAREHOUSE

from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import DamagedDatabaseError, noticing_damage


@pytest.mark.parametrize("is_raising", [False, True])
def test_no_lock_is_held_afterwards(is_raising: bool, release: Path, warehouse: Path) -> None:
    if is_raising:
        make(release, "alter table customers drop lifecycle_rule_id")
        with pytest.raises(WinbackError):
            judge_release("customers", release, warehouse)
    else:
        judge_release("customers", release, warehouse)
    for file in (release, warehouse):
        write = (
            f"import duckdb; duckdb.connect({str(file)!r}).execute('create table written(i int)')"
        )
        subprocess.run([sys.executable, "-c", write], check=True)


def test_files_are_only_read(release: Path, warehouse: Path) -> None:
    before = release.read_bytes(), warehouse.read_bytes()
    release.chmod(0o444)
    assert judge_release("customers", release, warehouse).is_passed
    assert (release.read_bytes(), warehouse.read_bytes()) == before


def test_path_is_taken_literally(tmp_path: Path) -> None:
    folder = tmp_path / "it's ${HOME} 100%"
    folder.mkdir()
    warehouse = make(folder / "warehouse.duckdb", WAREHOUSE + LINES)
    release = make(folder / "winback.duckdb", RELEASE + PUBLISHED)
    assert judge_release("customers", release, warehouse).is_passed


def test_judging_prints_nothing(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> None:
    judge_raw("campaigns", warehouse)
    assert capfd.readouterr() == ("", "")


def test_judging_writes_no_configuration(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GX would write it as YAML with every table, a sixth of the time that judging takes."""
    written = []
    monkeypatch.setattr(DataContextConfig, "to_yaml_str", written.append)
    assert judge_raw("campaigns", warehouse).is_passed
    assert written == []


def test_a_damaged_warehouse_is_told_apart_from_a_gate_that_fails(warehouse: Path) -> None:
    damage_block(warehouse, "select bit_xor(hash(one)) from raw.transactions as one")
    paths = SourcePaths(warehouse.parent / "data", "shop")
    paths.warehouse_dir.mkdir(parents=True)
    with pytest.raises(DamagedDatabaseError, match="Run again"), noticing_damage(paths):
        judge_raw("transactions", warehouse)
    assert paths.doubt.exists()
