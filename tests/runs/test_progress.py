"""What a person at a terminal is told of a run, and what not."""

import io
import logging
import sys
from types import SimpleNamespace

import pytest

from dagster_project.runs.progress import show_dbt_event, without_noise


def dbt_warning(text: str) -> SimpleNamespace:
    return SimpleNamespace(info=SimpleNamespace(name="Note", level="warn", msg=text))


class FullDisk(io.StringIO):
    """A stream that Dagster has led into a file on a disk without room."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_what_cannot_be_told_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in a thread of dbt, which waits for ever for one that ends with an error."""
    stream = FullDisk()
    monkeypatch.setattr(sys, "stderr", stream)
    show_dbt_event(dbt_warning("a note"))
    assert stream.getvalue() == "    a note\n"


def test_what_cannot_be_recorded_is_not_printed(capsys: pytest.CaptureFixture) -> None:
    record = logging.makeLogRecord({"msg": "a line of dbt.log"})
    with without_noise():
        sys.stderr.write("Exception while writing logger call to event log: disk I/O error\n")
        logging.StreamHandler(FullDisk()).emit(record)
        print("raw/transactions", file=sys.stderr, flush=True)
    assert capsys.readouterr().err == "raw/transactions\n"
    logging.StreamHandler(FullDisk()).emit(record)
    assert "--- Logging error ---" in capsys.readouterr().err
