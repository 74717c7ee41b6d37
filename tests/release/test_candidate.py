"""The candidate: described in full, or not built; finished, or none."""

from dataclasses import replace

import pytest
from support.releases import TABLES, build, identity, load_warehouse

from dagster_project.errors import WinbackError
from dagster_project.release.candidate import build_candidate, has_candidate, read_candidate


def test_a_column_without_description_is_named(paths):
    load_warehouse(paths, "a")
    tables = [replace(TABLES[0], columns={"customer_id": "The customer.", "gone": "Gone."})]
    with pytest.raises(WinbackError, match=r"customers.*gone, net_revenue"):
        build_candidate(paths, identity("a"), tables, currency="EUR", settings={})


def test_a_candidate_is_read_as_it_was_built(paths):
    made_from = build(paths, "a")
    read = read_candidate(paths)
    assert read.identity == made_from
    assert read.currency == "EUR"
    assert read.settings == {"lost_days": 183}
    assert has_candidate(paths)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"identity": {"source": "shop", "as_of": "2024-01-31", "input_fingerprint": "a"}}',
    ],
)
def test_one_that_was_written_otherwise_is_no_finished_candidate(paths, content):
    build(paths, "a")
    (paths.candidate / "candidate.json").write_text(content)
    with pytest.raises(WinbackError, match="no finished candidate"):
        read_candidate(paths)
