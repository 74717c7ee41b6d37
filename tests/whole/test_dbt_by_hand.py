"""dbt as people of dbt use it: through `winback dbt`, and plainly, which is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.shop import Outcome

from dagster_project.cli import main
from dagster_project.models.dbt_runner import engine_environment
from dagster_project.paths import DBT_DIR, SourcePaths

CUSTOMERS = "select count(*), sum(net_revenue), sum(days_since_last_purchase) from marts.customers"


@pytest.fixture
def copied(published_cdnow: tuple[SourcePaths, Outcome], tmp_path: Path) -> SourcePaths:
    """Return a copy of the CDNOW sample's warehouse."""
    paths = published_cdnow[0]
    copy = SourcePaths(tmp_path, paths.source)
    shutil.copytree(paths.warehouse_dir, copy.warehouse_dir)
    return copy


def figures(paths: SourcePaths) -> tuple:
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        return connection.execute(CUSTOMERS).fetchone()


def by_hand(
    capsys: pytest.CaptureFixture[str], data_dir: Path, source: str, *arguments: str
) -> tuple[int, str]:
    """Return the exit code and the messages of `winback dbt`."""
    try:
        main.main(["dbt", "--source", source, "--data-dir", str(data_dir), "--", *arguments])
    except SystemExit as end:
        return end.code, capsys.readouterr().err
    return 0, capsys.readouterr().err


def test_a_model_is_built_again_as_the_run_built_it(
    copied: SourcePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    before = figures(copied)
    with duckdb.connect(str(copied.warehouse)) as connection:
        connection.execute("delete from marts.customers where net_revenue > 100")
    code, messages = by_hand(capsys, copied.data_dir, copied.source, "build", "-s", "customers")
    assert code == 0, messages
    assert figures(copied) == before


def test_without_a_run_there_is_nothing_to_work_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, messages = by_hand(capsys, tmp_path, "cdnow", "run")
    assert code == 1
    assert "start with `winback run --source cdnow`" in messages


def test_plain_dbt_is_refused_and_changes_nothing(copied: SourcePaths, tmp_path: Path) -> None:
    before = figures(copied)
    environment = {**os.environ, **engine_environment(copied)}
    folders = ["--project-dir", DBT_DIR, "--profiles-dir", DBT_DIR]
    folders += ["--target-path", tmp_path / "target", "--log-path", tmp_path / "target"]

    def plain_dbt(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("dbt"), *arguments, *folders]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    refused = plain_dbt("run", "-s", "customers")
    assert refused.returncode == 2
    assert "winback dbt --source NAME -- run" in refused.stdout
    assert plain_dbt("compile", "-s", "customers").returncode == 0
    assert figures(copied) == before
