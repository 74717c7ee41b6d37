"""Publishing: whole or not at all, and refused without passing verdicts."""

import json
import shutil
import stat
from datetime import date, timedelta

import duckdb
import pytest
from support.releases import (
    FAILED,
    PASSED,
    WARNED,
    build,
    checksums,
    identity,
    judge,
    query,
    read_whole,
    release,
)

from dagster_project.errors import GateBlockedError, WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import candidate_file, read_candidate
from dagster_project.release.check import faults_of
from dagster_project.release.identity import ReleaseIdentity
from dagster_project.release.publish import publish
from dagster_project.release.recover import recover
from dagster_project.release.state import current_release, list_releases


def test_publish_writes_file_parquet_manifest_comments_and_links(paths):
    build(paths, "a")
    (paths.candidate / "data_docs").mkdir()
    (paths.candidate / "data_docs" / "index.html").write_text("<html>")
    made_from = read_candidate(paths).identity
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    published = publish(paths, make_current=True)

    assert published.release_id == made_from.release_id == identity("a").release_id
    assert published.is_current
    assert published.is_kept
    assert not published.is_rolled_back
    assert not paths.candidate.exists()
    assert str(paths.published_file.readlink()) == "current/winback.duckdb"
    assert str(paths.current.readlink()) == f"releases/{published.release_id}"
    assert read_whole(paths) == "a"

    folder = paths.current.resolve()
    names = ["customers", "gate_results", "lifecycle_flow", "releases"]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    parquet = {f"parquet/{name}.parquet" for name in names}
    assert files == {"winback.duckdb", "manifest.json", "data_docs/index.html"} | parquet
    assert all(stat.S_IMODE((folder / file).stat().st_mode) == 0o444 for file in files)
    for name in names:
        rows = query(paths.published_file, f"from {name}")
        assert query(paths.published_file, f"from '{folder}/parquet/{name}.parquet'") == rows

    (options,) = query(
        paths.published_file, "select tags from duckdb_databases() where not internal"
    )
    assert options[0]["storage_version"].startswith("v1.0.0")
    assert query(paths.published_file, "from duckdb_constraints()") == []
    comments = query(paths.published_file, "select table_name, comment from duckdb_tables()")
    assert ("customers", "One row per customer; it's a test.") in comments
    columns = query(paths.published_file, "select comment from duckdb_columns() where not internal")
    assert all(comment for (comment,) in [*columns, *((comment,) for _, comment in comments)])

    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema_version"] == "3.0"
    assert manifest["made_current"] is True
    assert manifest["switches"] == []
    assert faults_of(folder, "shop", thorough=True) == []
    assert "major" in manifest["compatibility"]
    assert manifest["source"] == "shop"
    assert manifest["as_of_date"] == "2024-01-31"
    assert manifest["currency"] == "EUR"
    assert manifest["pseudonym_key"] == "key-a"
    assert manifest["feed"] == {"days_without_data": 4}
    assert manifest["settings"] == {"lost_days": 183}
    assert manifest["code_version"] == made_from.code.text
    assert manifest["fingerprint"][:10] == published.release_id[-10:]
    assert manifest["published_at"] >= manifest["built_at"]
    inputs = [
        {
            "table_name": "transactions",
            "file_name": "a.csv",
            "file_hash": "hash-a",
            "row_count": 3,
        }
    ]
    assert manifest["inputs"] == inputs
    assert manifest["lines_by_day"] == {"transactions": {"2024-01-02": 3}, "interactions": {}}
    assert manifest["first_days"] == {"transactions": {"a.csv": "2024-01-02"}, "interactions": {}}
    assert set(manifest["files"]) == {"winback.duckdb"} | parquet
    assert {table["name"]: table["row_count"] for table in manifest["tables"]} == {
        "customers": 3,
        "gate_results": 4,
        "lifecycle_flow": 1,
        "releases": 1,
    }
    assert manifest["tables"][0]["columns"][1] == {
        "name": "net_revenue",
        "type": "DECIMAL(18,2)",
        "description": "Lifetime revenue.",
    }

    row = query(
        paths.published_file,
        "select source_name, as_of_date, input_fingerprint, inputs, row_counts from releases",
    )
    row_counts = [
        {"table_name": "customers", "row_count": 3},
        {"table_name": "lifecycle_flow", "row_count": 1},
    ]
    assert row == [("shop", date(2024, 1, 31), made_from.input_fingerprint, inputs, row_counts)]
    assert query(
        paths.published_file,
        "select gate, expectation, severity, is_passed, observed_value from gate_results "
        "order by all",
    ) == [
        (gate, result.expectation, result.severity, result.is_passed, result.observed_value)
        for gate in ("raw", "release")
        for result in (PASSED, WARNED)
    ]


def test_only_the_latest_results_of_a_gate_enter_the_release(paths):
    made_from = build(paths, "a")
    assert not judge(paths, made_from, "raw", FAILED)
    assert judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    publish(paths, make_current=True)
    assert query(paths.published_file, "select count(*) from gate_results") == [(4,)]
    assert query(paths.warehouse, "select count(*) from audit.verdicts") == [(3,)]


def test_file_and_links_need_nothing_outside_the_published_folder(paths, tmp_path):
    release(paths, "a")
    shutil.copytree(paths.published, tmp_path / "elsewhere", symlinks=True)
    assert query(
        tmp_path / "elsewhere" / "winback.duckdb", "select marker from lifecycle_flow"
    ) == [("a",)]


def test_publishing_the_same_release_again_keeps_the_first_files(paths):
    first = release(paths, "a")
    before = checksums(paths.published)
    assert release(paths, "a") == first
    assert checksums(paths.published) == before
    assert query(paths.state, "select count(*) from releases") == [(1,)]
    assert query(paths.state, "select count(*) from switches") == [(1,)]


def test_a_finished_candidate_survives_the_start_of_the_next_run(paths):
    made_from = build(paths, "a")
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    recover(paths, print)
    assert publish(paths, make_current=True).is_current
    assert read_whole(paths) == "a"


# --- refusals ---------------------------------------------------------------------------------


def no_verdicts(paths: SourcePaths, made_from: ReleaseIdentity) -> str:
    return "no verdict of the raw gate"


def no_release_verdict(paths: SourcePaths, made_from: ReleaseIdentity) -> str:
    judge(paths, made_from, "raw")
    return "no verdict of the release gate"


def verdict_on_another_input(paths: SourcePaths, made_from: ReleaseIdentity) -> str:
    judge(paths, identity("former"), "raw")
    judge(paths, made_from, "release")
    return "no verdict of the raw gate"


def raw_verdict_of_another_day(paths: SourcePaths, made_from: ReleaseIdentity) -> str:
    """What came in on time for one day has been silent too long for another."""
    judge(paths, identity("next", made_from.as_of - timedelta(days=1)), "raw")
    judge(paths, made_from, "release")
    return "no verdict of the raw gate on it is recorded; materialise raw/transactions"


def raw_failed_later(paths: SourcePaths, made_from: ReleaseIdentity) -> str:
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    judge(paths, made_from, "raw", PASSED, FAILED)
    return r"raw gate refused it: customers: net_revenue_equals_raw \(observed 7, expected 0\)"


def release_failed_later(paths: SourcePaths, made_from: ReleaseIdentity) -> str:
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    judge(paths, made_from, "release", FAILED)
    return "release gate refused it: customers: net_revenue_equals_raw"


def clock_was_set_back(paths: SourcePaths, made_from: ReleaseIdentity) -> str:
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    judge(paths, made_from, "release", FAILED)
    with duckdb.connect(str(paths.warehouse)) as con:
        con.execute("create temp table verdicts as from audit.verdicts")
        con.execute("delete from audit.verdicts")
        con.execute(
            "insert into audit.verdicts select * replace (case when is_passed then evaluated_at "
            "else evaluated_at - interval 1 hour end as evaluated_at) from verdicts"
        )
    return "release gate refused it"


def file_changed(paths: SourcePaths, made_from: ReleaseIdentity) -> str:
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    with duckdb.connect(str(candidate_file(paths))) as con:
        con.execute("update customers set net_revenue = 0")
    return "changed since the release gate judged it"


@pytest.mark.parametrize(
    "prepare",
    [
        no_verdicts,
        no_release_verdict,
        verdict_on_another_input,
        raw_verdict_of_another_day,
        raw_failed_later,
        release_failed_later,
        clock_was_set_back,
        file_changed,
    ],
)
def test_publish_refuses_and_the_former_release_stands(paths, prepare):
    former = release(paths, "former")
    made_from = build(paths, "next")
    message = prepare(paths, made_from)
    before = checksums(paths.published), checksums(paths.state.parent)
    with pytest.raises(GateBlockedError, match=message):
        publish(paths, make_current=True)
    # A run of the publication alone comes after the start of a run.
    recover(paths, print)
    with pytest.raises(GateBlockedError, match=message):
        publish(paths, make_current=True)
    assert (checksums(paths.published), checksums(paths.state.parent)) == before
    assert current_release(paths) == former
    assert read_whole(paths) == "former"
    release(paths, "mended")
    assert read_whole(paths) == "mended"


def test_without_any_verdict_in_the_warehouse_nothing_is_published(paths):
    build(paths, "a")
    with pytest.raises(GateBlockedError, match="no verdict of the raw gate"):
        publish(paths, make_current=True)
    assert not paths.published_file.is_symlink()
    assert list_releases(paths) == []


def test_publish_without_candidate_says_so(paths):
    with pytest.raises(WinbackError, match="no finished candidate"):
        publish(paths, make_current=True)
