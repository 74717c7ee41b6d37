"""Releases: whole or not at all, refused without verdicts, read without pause, rolled back."""

import hashlib
import json
import linecache
import multiprocessing
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from dagster_project.errors import ConfigurationError, GateBlockedError, WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.release import releases
from dagster_project.release.releases import (
    GateResult,
    PublishedTable,
    Release,
    ReleaseIdentity,
    build_candidate,
    candidate_file,
    candidate_identity,
    code_version,
    current_release,
    file_hash,
    find_release,
    list_releases,
    publish,
    record_verdict,
    recover,
    rollback,
    switch_to,
)

TABLES = (
    PublishedTable(
        "customers",
        "One row per customer; it's a test.",
        {"customer_id": "The customer.", "net_revenue": "Lifetime revenue."},
        ("customer_id",),
    ),
    PublishedTable(
        "lifecycle_flow", "One row per month.", {"month": "Month.", "marker": "Marker."}, ("month",)
    ),
)
PASSED = GateResult("customers", "customer_id_is_unique", "critical", True, "0", "0", 3, 0)
FAILED = replace(PASSED, expectation="net_revenue_equals_raw", is_passed=False, observed_value="7")
WARNED = replace(FAILED, expectation="stage_shares_drift", severity="warning")


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path, "shop")


def load_warehouse(paths: SourcePaths, marker: str) -> None:
    """Write a warehouse every table of which carries the marker."""
    paths.warehouse_dir.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(paths.warehouse)) as con:
        con.execute("create schema if not exists raw; create schema if not exists marts")
        con.execute(
            "create or replace table marts.customers as "
            f"select '{marker}-' || (3 - range) as customer_id, "
            "(10 * range)::decimal(18, 2) as net_revenue from range(3)"
        )
        con.execute(
            "create or replace table marts.lifecycle_flow as "
            f"select date '2024-01-01' as month, '{marker}' as marker"
        )
        con.execute(
            "create or replace table raw.loads as select 'transactions' as table_name, "
            f"'/somewhere/{marker}.csv' as source_file, 'hash-{marker}' as file_hash, "
            "3::bigint as row_count"
        )


def identity(marker: str, as_of: date = date(2024, 1, 31)) -> ReleaseIdentity:
    return ReleaseIdentity("shop", as_of, marker, "settings", "0.1.0+code")


def build(paths: SourcePaths, marker: str, as_of: date = date(2024, 1, 31)) -> ReleaseIdentity:
    load_warehouse(paths, marker)
    made_from = identity(marker, as_of)
    build_candidate(paths, made_from, TABLES, currency="EUR", settings={"lost_days": 183})
    return made_from


def judge(paths: SourcePaths, made_from: ReleaseIdentity, gate: str, *results: GateResult) -> bool:
    return record_verdict(
        paths,
        gate=gate,
        subject=made_from.input_fingerprint if gate == "raw" else made_from.release_id,
        input_fingerprint=made_from.input_fingerprint,
        results=results or (PASSED, WARNED),
        run_id="run-1",
        file_hash=file_hash(candidate_file(paths)) if gate == "release" else None,
    )


def release(
    paths: SourcePaths,
    marker: str,
    *,
    as_of: date = date(2024, 1, 31),
    make_current: bool = True,
    keep: int = 7,
) -> Release:
    """Build, audit and publish a release whose tables carry the marker."""
    made_from = build(paths, marker, as_of)
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    return publish(paths, make_current=make_current, keep=keep)


def checksums(folder: Path) -> dict[str, str]:
    """Hash every file and link below a folder."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def query(file: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(file), read_only=True) as con:
        return con.execute(sql).fetchall()


def read_whole(paths: SourcePaths) -> str:
    """Return the marker of the published file, after checking that the release is whole."""
    folder = paths.current.resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["release_id"] == folder.name
    for name, file in manifest["files"].items():
        assert file_hash(folder / name) == file["sha256"]
    with duckdb.connect(str(paths.published_file), read_only=True) as con:
        (marker,) = con.execute("select marker from lifecycle_flow").fetchone()
        assert con.execute("select customer_id from customers").fetchall() == [
            (f"{marker}-{number}",) for number in (1, 2, 3)
        ]
        own = f"from releases where release_id = '{folder.name}' and input_fingerprint = '{marker}'"
        assert con.execute(f"select count(*) {own}").fetchone() == (1,)
        assert con.execute(
            f"select count(*) from gate_results where release_id = '{folder.name}'"
        ).fetchone() == (4,)
    return marker


# --- identity ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"as_of": date(2024, 2, 1)},
        {"input_fingerprint": "other"},
        {"settings_fingerprint": "other"},
        {"code_version": "other"},
    ],
)
def test_release_id_follows_everything_that_decides_the_content(change):
    base = identity("a")
    assert base.release_id == identity("a").release_id
    assert replace(base, **change).release_id != base.release_id
    assert base.release_id.startswith("2024-01-31-")
    assert len(base.release_id) == len("2024-01-31-") + 10


def test_code_version_follows_uncommitted_edits(tmp_path, monkeypatch):
    for folder in ("dagster_project", "dbt/models/marts", "expectations"):
        (tmp_path / folder).mkdir(parents=True)
    model = tmp_path / "dbt/models/marts/customers.sql"
    model.write_text("select 1")
    (tmp_path / "dbt/dbt_project.yml").write_text("name: winback")
    monkeypatch.setattr(releases, "PROJECT_DIR", tmp_path)
    monkeypatch.setattr(releases, "DBT_DIR", tmp_path / "dbt")
    monkeypatch.setattr(releases, "EXPECTATIONS_DIR", tmp_path / "expectations")
    before = code_version()
    (tmp_path / "dbt/models/marts/.customers.sql.swp").write_text("editor")
    assert code_version() == before
    model.write_text("select 2")
    edited = code_version()
    assert edited != before
    (tmp_path / "expectations/customers.json").write_text("{}")
    assert code_version() != edited


# --- what a release holds ---------------------------------------------------------------------


def test_publish_writes_file_parquet_manifest_comments_and_links(paths):
    build(paths, "a")
    (paths.candidate / "data_docs").mkdir()
    (paths.candidate / "data_docs" / "index.html").write_text("<html>")
    made_from = candidate_identity(paths)
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
    assert manifest["schema_version"] == "2.1"
    assert "major" in manifest["compatibility"]
    assert manifest["source"] == "shop"
    assert manifest["as_of"] == "2024-01-31"
    assert manifest["currency"] == "EUR"
    assert manifest["settings"] == {"lost_days": 183}
    assert manifest["code_version"] == "0.1.0+code"
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
    assert row == [("shop", date(2024, 1, 31), "a", inputs, row_counts)]
    assert query(
        paths.published_file,
        "select gate, expectation, severity, is_passed, observed_value from gate_results "
        "order by all",
    ) == [
        (gate, result.expectation, result.severity, result.is_passed, result.observed_value)
        for gate in ("raw", "release")
        for result in (PASSED, WARNED)
    ]


def test_each_release_carries_the_history_before_it(paths):
    ids = [release(paths, marker).release_id for marker in "abc"]
    assert [row[0] for row in query(paths.published_file, "select release_id from releases")] == ids
    assert query(
        paths.published_file,
        "select release_id, count(*) from gate_results group by all order by all",
    ) == [(release_id, 4) for release_id in sorted(ids)]
    assert [r.release_id for r in list_releases(paths)] == ids[::-1]


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


def test_a_column_without_description_is_named(paths):
    load_warehouse(paths, "a")
    tables = [replace(TABLES[0], columns={"customer_id": "The customer.", "gone": "Gone."})]
    with pytest.raises(WinbackError, match=r"customers.*gone, net_revenue"):
        build_candidate(paths, identity("a"), tables, currency="EUR", settings={})


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
    recover(paths)
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


def test_a_gate_without_expectations_is_no_verdict(paths):
    made_from = build(paths, "a")
    with pytest.raises(WinbackError, match="evaluated no expectation"):
        record_verdict(
            paths, gate="raw", subject="a", input_fingerprint="a", results=(), run_id="run-1"
        )
    with pytest.raises(ValueError, match="hash"):
        record_verdict(
            paths,
            gate="release",
            subject=made_from.release_id,
            input_fingerprint="a",
            results=(PASSED,),
            run_id="run-1",
        )


# --- switching --------------------------------------------------------------------------------


def test_a_release_kept_back_becomes_current_without_a_rebuild(paths):
    newer = release(paths, "newer")
    older = release(paths, "older", as_of=date(2023, 12, 31), make_current=False)
    assert not older.is_current
    assert read_whole(paths) == "newer"
    found = find_release(paths, older.release_id)
    assert found == older
    assert not found.was_current
    assert switch_to(paths, older.release_id).is_current
    assert read_whole(paths) == "older"
    assert find_release(paths, newer.release_id).is_current is False
    assert find_release(paths, identity("unknown").release_id) is None


def test_publishing_the_same_release_again_keeps_the_first_files(paths):
    first = release(paths, "a")
    before = checksums(paths.published)
    assert release(paths, "a") == first
    assert checksums(paths.published) == before
    assert query(paths.state, "select count(*) from releases") == [(1,)]
    assert query(paths.state, "select count(*) from switches") == [(1,)]


def test_rollback_and_back(paths):
    ids = [release(paths, marker).release_id for marker in "abc"]
    before = checksums(paths.releases)
    assert rollback(paths).release_id == ids[1]
    assert read_whole(paths) == "b"
    # An unchanged run finds its release and sees that somebody has withdrawn it.
    assert find_release(paths, ids[2]).is_rolled_back
    assert rollback(paths).release_id == ids[0]
    assert read_whole(paths) == "a"
    with pytest.raises(WinbackError, match="no former release"):
        rollback(paths)
    assert rollback(paths, ids[2]).is_current
    assert read_whole(paths) == "c"
    assert not find_release(paths, ids[2]).is_rolled_back
    assert checksums(paths.releases) == before
    assert query(paths.state, "select release_id, kind from switches order by rowid") == [
        *((release_id, "publish") for release_id in ids),
        *((release_id, "rollback") for release_id in (ids[1], ids[0], ids[2])),
    ]


def test_rollback_passes_over_what_was_withdrawn_or_never_current(paths):
    good = release(paths, "good")
    release(paths, "bad")
    rollback(paths)
    release(paths, "past", as_of=date(2023, 12, 31), make_current=False)
    release(paths, "mended")
    assert rollback(paths).release_id == good.release_id


def test_rolling_forward_again_does_not_withdraw_the_earlier_release(paths):
    earlier, later = release(paths, "a"), release(paths, "b")
    rollback(paths)
    rollback(paths, later.release_id)
    assert not find_release(paths, earlier.release_id).is_rolled_back
    assert rollback(paths).release_id == earlier.release_id


@pytest.mark.parametrize("release_id", ["2024-01-31-0000000000", "../candidate", ""])
def test_rollback_to_an_unknown_release_lists_the_kept_ones(paths, release_id):
    kept = release(paths, "a")
    with pytest.raises(ConfigurationError, match=kept.release_id):
        rollback(paths, release_id)
    assert read_whole(paths) == "a"


def test_rollback_without_any_release(paths):
    with pytest.raises(WinbackError, match="no former release"):
        rollback(paths)
    assert current_release(paths) is None


def test_prune_keeps_the_last_and_the_current(paths):
    ids = [release(paths, marker, keep=2).release_id for marker in "ab"]
    rollback(paths)
    ids += [release(paths, marker, keep=2, make_current=False).release_id for marker in "cde"]
    kept = {path.name for path in paths.releases.iterdir()}
    assert kept == {ids[0], ids[3], ids[4]}
    assert read_whole(paths) == "a"
    assert [r.is_kept for r in list_releases(paths)] == [True, True, False, False, True]
    with pytest.raises(ConfigurationError):
        rollback(paths, ids[1])
    assert len(query(paths.state, "from releases")) == 5


def test_a_pruned_release_can_be_built_again(paths):
    first = release(paths, "a", keep=1)
    release(paths, "b", keep=1)
    assert find_release(paths, first.release_id) is None
    again = release(paths, "a", keep=1)
    assert again.release_id == first.release_id
    assert again.published_at > first.published_at
    assert read_whole(paths) == "a"
    assert [r.is_current for r in list_releases(paths)] == [True, False]
    assert query(paths.state, "select count(*), count(distinct release_id) from releases") == [
        (2, 2)
    ]
    release(paths, "c", keep=1)
    assert query(
        paths.published_file, "select count(*), count(distinct release_id) from releases"
    ) == [(3, 3)]


# --- readers ----------------------------------------------------------------------------------

READER = """
import pathlib, sys, time, duckdb
file, stop, started = sys.argv[1:]
held, count, seen = None, 0, set()
def marker(con):
    first = con.execute("select marker from lifecycle_flow").fetchone()[0]
    customers = con.execute("select distinct split_part(customer_id, '-', 1) from customers")
    assert customers.fetchall() == [(first,)]
    own = con.execute("select count(*) from releases where input_fingerprint = ?", [first])
    assert own.fetchone() == (1,)
    assert con.execute("select marker from lifecycle_flow").fetchone()[0] == first
    return first
# A second name for the same file, else this process would get its own open instance again.
held = duckdb.connect(str(pathlib.Path(file).resolve()), read_only=True)
former = marker(held)
while not pathlib.Path(stop).exists():
    with duckdb.connect(file, read_only=True) as con:
        seen.add(marker(con))
    count += 1
    time.sleep(0.005)
    pathlib.Path(started).touch()
    assert marker(held) == former
print(count, len(seen))
"""


def test_readers_see_neither_failure_nor_mixture_during_fifty_switches(paths, tmp_path):
    release(paths, "first")
    stop, started = tmp_path / "stop", tmp_path / "started"
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(paths.published_file), str(stop), str(started)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not started.exists() and reader.poll() is None:
            pass
        switches = 0
        for number in range(10):
            # Only two are kept, so the reader's first release is deleted under its hands.
            newest = release(paths, f"m{number}", keep=2)
            switches += 1
            for _ in range(2):
                rollback(paths)
                switch_to(paths, newest.release_id)
                switches += 2
        assert switches == 50
    finally:
        stop.touch()
        out, err = reader.communicate(timeout=60)
    assert reader.returncode == 0, err
    opened, markers = map(int, out.split())
    assert opened > 50
    assert markers > 2


def test_a_reader_of_the_state_is_waited_for(paths):
    release(paths, "a")
    reader = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys, time; con = duckdb.connect(sys.argv[1], read_only=True); "
            "print('open', flush=True); time.sleep(1)",
            str(paths.state),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout.readline() == "open\n"
    release(paths, "b")
    assert read_whole(paths) == "b"
    assert reader.wait() == 0


def test_nothing_moves_where_the_state_cannot_be_written(paths, monkeypatch):
    release(paths, "a")
    monkeypatch.setattr(releases, "LOCK_PATIENCE_SECONDS", 0.2)
    reader = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True); "
            "print('open', flush=True); sys.stdin.read()",
            str(paths.state),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout.readline() == "open\n"
    before = checksums(paths.published)
    with pytest.raises(WinbackError, match="open in another program"):
        switch_to(paths, identity("a").release_id)
    with pytest.raises(WinbackError, match="open in another program"):
        release(paths, "b")
    reader.communicate()
    shutil.rmtree(paths.candidate)
    assert checksums(paths.published) == before
    release(paths, "b")
    assert read_whole(paths) == "b"


# --- kills and recovery -----------------------------------------------------------------------


def publish_once(paths: SourcePaths, marker: str) -> None:
    release(paths, marker, keep=2)


def switch_once(paths: SourcePaths, marker: str) -> None:
    """Roll back if the later release is current, else go forward again."""
    former = current_release(paths)
    target = next(r.release_id for r in list_releases(paths) if r != former)
    rollback(paths, target)


# Statements, so the selects, whose result is assigned, are not among them.
CHANGES_SOMETHING = re.compile(
    r"^\s*(?!return )(con\.execute|_sync|shutil\.rmtree|"
    r".*\.(rename|replace|unlink|symlink_to|mkdir|chmod|write_text))\("
)


def act_and_die(action, paths: SourcePaths, marker: str, step: int) -> None:
    """Do it, but kill -9 this process before the n-th different step that changes something."""
    seen: set[tuple[int, int]] = set()

    def trace(frame, event, _):
        if frame.f_code.co_filename != releases.__file__:
            return None
        line = linecache.getline(releases.__file__, frame.f_lineno)
        if event == "line" and CHANGES_SOMETHING.match(line):
            # A helper called from two places is two steps.
            seen.add((frame.f_lineno, frame.f_back.f_lineno))
            if len(seen) == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    action(paths, marker)
    sys.settrace(None)


@pytest.mark.parametrize(("action", "least_steps"), [(publish_once, 40), (switch_once, 10)])
def test_killed_at_any_step_the_published_file_is_whole_and_the_next_run_works(
    paths, action, least_steps
):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dagster_project.release.releases"])
    release(paths, "a", keep=2)
    release(paths, "b", keep=2)
    has_switched = set()
    for step in range(1, 1_000):
        former, marker = read_whole(paths), f"m{step}"
        process = context.Process(target=act_and_die, args=(action, paths, marker, step))
        process.start()
        process.join()
        found = read_whole(paths)
        assert found in ({former, marker} if action is publish_once else {"a", "b"})
        if process.exitcode == 0:
            break
        # Not 1: this run got as far as it should over what the one before had left.
        assert process.exitcode == -signal.SIGKILL
        has_switched.add(found != former)
        recover(paths)
        assert read_whole(paths) == found
        current = paths.current.readlink().name
        switches = query(paths.state, "select release_id from switches order by rowid")
        assert switches[-1] == (current,)
        assert all(one != other for one, other in pairwise(switches))
        known = {r.release_id for r in list_releases(paths) if r.is_kept}
        assert current in known
        assert {path.name for path in paths.releases.iterdir()} == known
        assert not [path for path in paths.published.iterdir() if path.name.startswith(".")]
    assert has_switched == {True, False}
    assert found != former
    assert step > least_steps


def test_killed_first_publication(paths):
    """Between the two links and the state of the very first release."""
    first = release(paths, "a")
    paths.state.unlink()
    paths.published_file.unlink()
    recover(paths)
    assert read_whole(paths) == "a"
    assert current_release(paths).release_id == first.release_id


def test_recover_mends_a_lost_state_from_the_current_release(paths):
    before = [release(paths, marker) for marker in "abc"]
    results = query(paths.state, "from gate_results order by all")
    paths.state.unlink()
    recover(paths)
    assert [r.release_id for r in list_releases(paths)] == [r.release_id for r in before[::-1]]
    assert query(paths.state, "from gate_results order by all") == results
    assert read_whole(paths) == "c"
    recover(paths)
    assert len(query(paths.state, "from switches")) == 1


def test_recover_clears_what_was_left(paths):
    release(paths, "a")
    before = checksums(paths.published)
    (paths.published / ".tmp-current").symlink_to("releases/gone")
    (paths.releases / ".tmp-2024-01-01-abc").mkdir()
    (paths.releases / ".tmp-2024-01-01-abc" / "winback.duckdb").write_text("half")
    (paths.releases / "2024-01-30-unrecorded").mkdir()
    paths.candidate.mkdir()
    candidate_file(paths).write_text("half")
    recover(paths)
    assert checksums(paths.published) == before
    assert not paths.candidate.exists()
    assert [path.name for path in paths.releases.iterdir()] == [identity("a").release_id]


def test_a_run_killed_while_it_created_the_state_does_no_harm(paths):
    paths.state.parent.mkdir(parents=True)
    (paths.state.parent / ".tmp-state.duckdb").touch()
    release(paths, "a")
    assert [path.name for path in paths.state.parent.iterdir()] == ["state.duckdb"]


def test_recover_before_anything_was_published(paths):
    recover(paths)
    assert not paths.data_dir.joinpath("published").exists()


def test_a_finished_candidate_survives_the_start_of_the_next_run(paths):
    made_from = build(paths, "a")
    judge(paths, made_from, "raw")
    judge(paths, made_from, "release")
    recover(paths)
    assert publish(paths, make_current=True).is_current
    assert read_whole(paths) == "a"
