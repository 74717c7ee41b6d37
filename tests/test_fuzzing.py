"""Property tests say the same in every run; a campaign draws anew and stops by itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from dagster_project.paths import PROJECT_DIR

PROPERTY = """
from hypothesis import given, settings, strategies as st

@settings(max_examples=3)
@given(st.integers(0, 10**9))
def test_property(number):
    with open("drawn.txt", "a") as file:
        print(number, file=file)
    assert HOLDS

def test_something_else():
    raise AssertionError("is no property")
"""


def run(folder: Path, *arguments: str, fails: bool = False) -> tuple[str, list[str]]:
    """Run a suite of its own; return what it said and the examples that it drew."""
    folder.mkdir()
    (folder / "conftest.py").write_text('pytest_plugins = ("support.fuzzing",)\n')
    property_test = PROPERTY.replace("HOLDS", "number < 0" if fails else "True")
    (folder / "test_made_up.py").write_text(property_test)
    environment = os.environ | {"PYTHONPATH": str(PROJECT_DIR / "tests")}
    environment.pop("PYTEST_XDIST_WORKER_COUNT", None)
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout, (folder / "drawn.txt").read_text().split()


def test_every_run_draws_the_same_examples(tmp_path: Path) -> None:
    (_, first), (_, second) = (run(tmp_path / name) for name in ("first", "second"))
    assert len(first) == 3
    assert first == second


def test_a_campaign_repeats_property_tests_alone_with_new_examples(tmp_path: Path) -> None:
    _, steady = run(tmp_path / "steady")
    said, drawn = run(tmp_path / "campaign", "--fuzz-minutes", "0.02")
    (rounds,) = re.findall(r"(\d+) rounds of test_made_up.py::test_property: nothing found", said)
    assert int(rounds) > 1
    # Hypothesis may draw a number twice in a round, and then not run it again.
    assert len(drawn) > 3
    assert set(drawn) - set(steady)
    assert "1 passed, 1 deselected" in said


def test_a_campaign_prints_what_it_found(tmp_path: Path) -> None:
    said, _ = run(tmp_path / "campaign", "--fuzz-minutes", "0.02", fails=True)
    assert "test_property(\n" in said
    assert "number=0" in said
    assert "1 failed, 1 deselected" in said


def test_this_suite_is_one_of_these(request: pytest.FixtureRequest) -> None:
    assert settings.default.derandomize is not bool(request.config.getoption("fuzz_minutes"))
    assert settings.default.database is None
