"""Simulating: of the asked size, all files together or none, and the command that does it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.simulated import Look, everything, simulate

from dagster_project.cli import main
from dagster_project.config.source import load_source
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.simulation import simulation


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    before = dict(os.environ)

    def run(data_dir: Path, *arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main.main(["simulate", "--data-dir", str(data_dir), *arguments])
        except SystemExit as end:
            code = end.code
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    yield run
    os.environ.clear()
    os.environ.update(before)


# Size


@pytest.mark.parametrize("lines", [1, 300, 5_000, 250_000])
def test_as_many_lines_as_asked_for(lines: int, tmp_path: Path) -> None:
    business = simulate(tmp_path, lines)
    written = Look(tmp_path).one("select count(*) from lines")
    assert written == business.line_count
    assert written == pytest.approx(lines, rel=0.05, abs=20)


def test_every_line_is_loaded_and_every_customer_known(tmp_path: Path) -> None:
    business = simulate(tmp_path, 5_000)
    paths = SourcePaths(tmp_path, "simulated")
    source = load_source(paths)
    with duckdb.connect() as connection:
        prepare_raw(connection)
        for table in source.tables:
            load_table(connection, source, paths, table, batch_id="b1")
        assert connection.execute(
            "select count(*), count(*) filter (line_type = 'return'), count(distinct customer_id) "
            "from raw.transactions where ordered_on between ? and ?",
            [source.first_day, source.last_day],
        ).fetchone() == (business.line_count, business.return_count, business.customer_count)
        assert connection.execute(
            "select count(*) from raw.customers semi join raw.transactions using (customer_id)"
        ).fetchone() == (business.customer_count,)
        assert connection.execute("select count(*) from raw.rejected_rows").fetchone() == (0,)


# Replacing a former business


def test_running_again_replaces_everything(tmp_path: Path) -> None:
    simulate(tmp_path / "once", 5_000, seed=2)
    simulate(tmp_path / "twice", 20_000, seed=1)
    simulate(tmp_path / "twice", 5_000, seed=2)
    assert everything(tmp_path / "once") == everything(tmp_path / "twice")


def test_a_landing_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "elsewhere").mkdir()
    landing = tmp_path / "landing" / "simulated"
    landing.symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        simulate(tmp_path, 500)
        assert landing.is_symlink()
        assert list(landing.glob("sales-*.parquet"))
    assert {file.name for file in tmp_path.iterdir() if file.name.startswith(".")} == set()


@pytest.mark.parametrize("has_former", [False, True])
@pytest.mark.parametrize("step", ["draw_customers", "write_customers", "write_truth"])
def test_nothing_is_left_of_a_simulation_that_dies(
    step: str, has_former: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_former:
        simulate(tmp_path, 500)
    before = everything(tmp_path)

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, step, die)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, 1_000)
    assert everything(tmp_path) == before
    assert not list((tmp_path / "landing").glob(".*"))


@pytest.mark.parametrize("stopped_at", ["simulated", ".simulated.new"])
def test_a_failed_rename_gives_the_former_business_back(
    stopped_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(tmp_path, 500)
    before = everything(tmp_path)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == stopped_at:
            raise OSError("no")
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail)
        with pytest.raises(OSError, match="no"):
            simulate(tmp_path, 1_000)
    left = everything(tmp_path)
    # Without its truth, which may have been replaced already, but never with another one's.
    assert left == {name: rows for name, rows in before.items() if "truth" not in name}


def test_a_killed_simulation_is_cleared_by_the_next_one(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("winback")
    command = [program, "simulate", "--lines", "3000000", "--data-dir", tmp_path]
    unfinished = tmp_path / "landing" / ".simulated.new"
    with subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL) as process:
        while not list(unfinished.glob("*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "landing" / "simulated").exists()
    assert not (tmp_path / "simulated_truth" / "simulated.parquet").exists()
    simulate(tmp_path, 500)
    simulate(tmp_path / "fresh", 500)
    assert everything(tmp_path / "fresh") == everything(tmp_path)


# The command


def test_the_command_tells_what_it_wrote(tmp_path: Path, run_cli: Any) -> None:
    code, output, _ = run_cli(tmp_path, "--lines", "2000", "--seed", "5")
    assert code == 0
    assert "customers from 2023-01-01 to 2025-12-31" in output
    assert str(tmp_path / "simulated_truth" / "simulated.parquet") in output
    assert "winback run --source simulated" in output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--source", "simulatet"], "Did you mean simulated?"),
        (["--source", "completejourney"], "completejourney is not a simulated source"),
        (["--lines", "0"], "--lines 0: give a number of lines of at least 1."),
        (["--lines", "many"], "--lines"),
        (["--seed", "none"], "--seed"),
    ],
)
def test_bad_usage(arguments: list[str], expected: str, tmp_path: Path, run_cli: Any) -> None:
    code, _, message = run_cli(tmp_path, *arguments)
    assert code == 2
    assert expected in message
    assert not list(tmp_path.iterdir())


def test_files_of_another_origin_are_not_replaced(tmp_path: Path, run_cli: Any) -> None:
    simulate(tmp_path, 500)
    (tmp_path / "landing" / "simulated" / "orders.csv").write_text("id\n")
    before = everything(tmp_path)
    code, _, message = run_cli(tmp_path, "--lines", "500")
    assert code == 1
    assert "holds orders.csv, which was not simulated" in message
    assert everything(tmp_path) == before
