"""Inputs and source files as nobody would write them, through the command line's own entry point.

Each ends with one message in words and an exit code, and no traceback. The runs are cut where the
models would begin. WINBACK_DAMAGED_INPUTS=300 and WINBACK_DAMAGED_SOURCES=50 try as many.
"""

import os
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.damaged_inputs import damaged_yaml, put_damaged
from support.raw_shop import CONFIG
from support.shop import Outcome, winback
from support.small_source import SOURCE_HEAD

from dagster_project.cli import run
from dagster_project.config.source import Source
from dagster_project.errors import GateBlockedError
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.warehouse import connect

INPUTS = int(os.environ.get("WINBACK_DAMAGED_INPUTS", "15"))
SOURCES = int(os.environ.get("WINBACK_DAMAGED_SOURCES", "10"))
SECONDS = 10
FILES = '    files: ["*", "*/*"]\n'
YML = CONFIG.format(
    head=SOURCE_HEAD,
    more="",
    files="*",
    amount="amount",
    columns="",
    table="    exclude: [{reason: odd, when: \"customer_id = 'c3'\"}]\n",
    tables='  customers:\n    files: "members*"\n    columns: {customer_id: customer}\n',
)


def load_only(
    source: Source, paths: SourcePaths, plan: Any, as_of: date, settings: dict[str, bool]
) -> str:
    """Load as a run does and end there."""
    with connect(paths) as connection:
        prepare_raw(connection)
        for table in source.tables:
            load_table(connection, source, paths, table, batch_id="b1")
    raise GateBlockedError("cut here")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourcePaths:
    monkeypatch.setattr(run, "_execute", load_only)
    paths = SourcePaths(tmp_path / "data", "shop")
    (paths.data_dir / "sources").mkdir(parents=True)
    (paths.data_dir / "sources" / "shop.yml").write_text(YML, encoding="utf-8")
    paths.landing.mkdir(parents=True)
    (paths.landing / "members.csv").write_text("customer\nc1\nc2\n")
    return paths


def ends_in_words(*arguments: str, paths: SourcePaths) -> Outcome:
    started = time.process_time()
    outcome = winback(*arguments, "--source", "shop", data_dir=paths.data_dir)
    assert outcome.code in (0, 1, 2, 3)
    assert "Traceback" not in outcome.messages
    assert "not foreseen" not in outcome.messages
    assert (outcome.code == 0) == ("winback: " not in outcome.messages)
    # By the clock too, on a machine that does other things beside.
    assert time.process_time() - started < SECONDS and outcome.seconds < 6 * SECONDS
    return outcome


@pytest.mark.parametrize("seed", range(INPUTS))
def test_a_damaged_file(seed: int, shop: SourcePaths) -> None:
    yml = YML.replace('"*"', '"new*"')
    (shop.data_dir / "sources" / "shop.yml").write_text(yml, encoding="utf-8")
    (shop.landing / "new-0.csv").write_text("customer,day,amount\nc1,2024-01-02,3\n")
    if seed % 2:
        # Another file was loaded before: the plan of the next run looks into the new one.
        assert ends_in_words("run", paths=shop).code == 3
    done = put_damaged(shop.landing, seed)
    print(done)
    ends_in_words("run", paths=shop)
    ends_in_words("check", paths=shop)


@pytest.mark.parametrize("seed", range(SOURCES))
def test_a_damaged_source_file(seed: int, shop: SourcePaths) -> None:
    (shop.landing / "new-0.csv").write_text("customer,day,amount\nc1,2024-01-02,3\n")
    file = shop.data_dir / "sources" / "shop.yml"
    file.write_bytes(damaged_yaml(YML.replace('"*"', '"new*"'), seed))
    ends_in_words("check", paths=shop)
    ends_in_words("run", paths=shop)
