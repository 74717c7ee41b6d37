"""The data docs: open from disk, show every outcome and no values."""

import json
import re
from pathlib import Path

import pytest
from great_expectations.data_context.store import HtmlSiteStore
from support.gate_cases import judge_raw, judge_release, make

from dagster_project.errors import WinbackError
from dagster_project.gates.data_docs import build_data_docs
from dagster_project.gates.outcomes import TableVerdict


def test_data_docs_open_from_disk_without_values(
    release: Path, warehouse: Path, tmp_path: Path
) -> None:
    make(warehouse, """
        insert into raw.customers by name
        select 'x' as customer_id, 'secret@example.org' as email, 'c.csv' as source_file,
            unnest([1, 2]) as source_row;
        insert into raw.interactions by name
        select 'x' as customer_id, timestamp '2024-01-01' as occurred_at,
            'secret@example.org' as interaction_type, 'i.csv' as source_file, 1 as source_row
    """)  # fmt: skip
    verdicts = [judge_raw(table, warehouse) for table in ("customers", "interactions", "loads")]
    verdicts.append(judge_release("customers", release, warehouse))
    # What another process stored can be shown too.
    verdicts = [
        TableVerdict.read(one.gate, one.table_name, json.loads(json.dumps(one.result)))
        for one in verdicts
    ]
    build_data_docs(verdicts, tmp_path / "docs")
    pages = {page: page.read_text() for page in (tmp_path / "docs").rglob("*.html")}
    index = pages[tmp_path / "docs" / "index.html"]
    assert (
        index.count('<tr class="passed">')
        == sum(len(one.result["results"]) for one in verdicts) - 2
    )
    assert index.count('<tr class="warns">') == 2
    assert "http" not in index
    for link in re.findall('href="([^"]+)"', index):
        assert (tmp_path / "docs" / link).is_file()
    results = [page for page in pages if "validations" in page.parts]
    assert {page.stem for page in results} == {"customers", "interactions", "loads"}
    assert len(results) == 4
    assert any("Every customer is in one of the six stages" in text for text in pages.values())
    assert any("0.50% of orders.csv (5 of 1000 lines)" in text for text in pages.values())
    assert not any("secret" in text for text in pages.values())
    assert not any("unexpected Exception" in text for text in pages.values())


def test_pages_that_cannot_be_written_are_no_pages(
    warehouse: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HtmlSiteStore, "set", fail)
    with pytest.raises(WinbackError, match="The disk is full: "):
        build_data_docs([judge_raw("loads", warehouse)], tmp_path / "docs")
    assert "Traceback" not in "".join(capfd.readouterr())
