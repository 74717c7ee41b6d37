"""Small releases for the tests of what publishes them: a warehouse of two marts, and verdicts."""

import hashlib
import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb

from dagster_project.files import file_hash
from dagster_project.gates.verdicts import GateResult, record_verdict
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import build_candidate, candidate_file
from dagster_project.release.identity import CodeVersion, NamedInput, ReleaseIdentity
from dagster_project.release.publish import publish
from dagster_project.release.state import Release
from dagster_project.release.tables import PublishedTable

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
        con.execute(
            "create or replace table raw.load_days as select date '2024-01-02' as ordered_on, "
            f"3::bigint as row_count, '/somewhere/{marker}.csv' as source_file; "
            "create or replace table raw.interactions (occurred_at timestamp, source_file varchar)"
        )
        con.execute(
            f"create or replace table raw.pseudonym_key as select 'key-{marker}' as fingerprint"
        )


def identity(marker: str, as_of: date = date(2024, 1, 31)) -> ReleaseIdentity:
    inputs = (NamedInput("raw", marker),)
    return ReleaseIdentity("shop", as_of, inputs, "settings", CodeVersion("0.1.0", "py", "sql"))


def build(paths: SourcePaths, marker: str, as_of: date = date(2024, 1, 31)) -> ReleaseIdentity:
    load_warehouse(paths, marker)
    made_from = identity(marker, as_of)
    build_candidate(
        paths,
        made_from,
        TABLES,
        currency="EUR",
        settings={"lost_days": 183},
        feed={"days_without_data": 4},
    )
    return made_from


def judge(paths: SourcePaths, made_from: ReleaseIdentity, gate: str, *results: GateResult) -> bool:
    return record_verdict(
        paths,
        gate=gate,
        subject=made_from.release_id,
        input_fingerprint=made_from.raw_fingerprint,
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


def write_again(file: Path, content: bytes, *, keep_time: bool = False) -> None:
    """Write a file of a release anew, as a person or a disk might; by default with a new time."""
    before = file.stat()
    file.unlink()
    file.write_bytes(content)
    change = 0 if keep_time else 1_000_000_000
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + change))


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
        of_inputs = hashlib.sha256(f"raw {marker}".encode()).hexdigest()
        own = f"release_id = '{folder.name}' and input_fingerprint = '{of_inputs}'"
        assert con.execute(f"select count(*) from releases where {own}").fetchone() == (1,)
        assert con.execute(
            f"select count(*) from gate_results where release_id = '{folder.name}'"
        ).fetchone() == (4,)
    return marker
