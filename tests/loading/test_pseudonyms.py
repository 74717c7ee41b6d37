"""Ids that are a person's address are replaced on the way in."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.raw_shop import day, lines, open_shop

from dagster_project import files
from dagster_project.errors import WinbackError
from dagster_project.loading import load
from dagster_project.loading.changes import changed_files, days_in
from dagster_project.loading.pseudonyms import (
    fingerprint,
    make_key,
    noted_fingerprint,
    read_key,
)
from dagster_project.paths import SourcePaths

CONTACTS = ["jane@example.org", "+49 30 1234567", "13800138000", "030-123456-78"]
ORDINARY = ["17850", "C-1234", "1234567890", "2024010112345", "abc"]


def test_ids_that_are_contacts_are_pseudonymised_alike_everywhere(tmp_path: Path) -> None:
    customers = """\
  customers:
    files: people/*.csv
    columns: {customer_id: id, region: region}
"""
    with open_shop(tmp_path, files="*.csv", tables=customers) as shop:
        ids = [*CONTACTS, "JANE@example.org", *ORDINARY]
        shop.put("f.csv", lines(*(f"{one},2024-01-02,1" for one in ids)))
        shop.put("people/p.csv", "id,region\n" + "".join(f"{one},x\n" for one in ids))
        shop.load()
        shop.load("customers")
        found = shop.values("customer_id")
        assert shop.values("customer_id", "customers") == found
        assert all(re.fullmatch("p-[0-9a-f]{24}", one) for one in found[:5])
        assert found[0] == found[4]
        assert len(set(found[:5])) == 4
        assert found[5:] == ORDINARY
        shop.load(full_refresh=True)
        assert shop.values("customer_id") == found
        shop.configure(files="*.csv", more="pseudonymise_ids: never")
        shop.load()
        assert shop.values("customer_id") == ids
        shop.configure(files="*.csv", more="pseudonymise_ids: always")
        shop.load()
        assert all(one.startswith("p-") for one in shop.values("customer_id"))
        assert shop.values("customer_id")[0] == found[0]
    with open_shop(tmp_path / "other", files="*.csv") as other:
        other.put("f.csv", lines("jane@example.org,2024-01-02,1"))
        other.load()
        assert other.values("customer_id") != found[:1]


def test_raw_says_which_key_its_pseudonyms_were_made_with(tmp_path: Path) -> None:
    with open_shop(tmp_path, files="*.csv") as shop:
        shop.put("a.csv", lines("17850,2024-01-02,1"))
        shop.load()
        key = shop.paths.pseudonym_key
        assert noted_fingerprint(shop.connection) is None
        assert key.stat().st_mode & 0o777 == 0o600
        shop.put("b.csv", lines("jane@example.org,2024-01-02,1"))
        shop.load()
        noted = noted_fingerprint(shop.connection)
        assert noted == fingerprint(key.read_text())
        # It tells nothing of the key, and is no hash of it that anybody else would make.
        assert re.fullmatch("[0-9a-f]{16}", noted)
        assert noted not in key.read_text()
        assert noted != hashlib.sha256(key.read_bytes()).hexdigest()[:16]
        shop.load(full_refresh=True)
        assert shop.rows("select count(*) from raw.pseudonym_key") == [(1,)]
        key.write_text("1" * 64)
        with pytest.raises(WinbackError, match="not the one that the ids"):
            shop.load(full_refresh=True)
        assert noted_fingerprint(shop.connection) == noted


def test_a_load_that_fails_notes_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise WinbackError("later")

    with open_shop(tmp_path, files="*.csv") as shop:
        shop.put("a.csv", lines("jane@example.org,2024-01-02,1"))
        noting = load.note_key
        monkeypatch.setattr(load, "note_key", lambda *given: (noting(*given), fail()))
        with pytest.raises(WinbackError, match="later"):
            shop.load()
        assert noted_fingerprint(shop.connection) is None


def test_only_one_key_is_ever_made(tmp_path: Path) -> None:
    paths = SourcePaths(tmp_path, "shop")
    with ThreadPoolExecutor(8) as pool:
        keys = {one.result() for one in [pool.submit(make_key, paths) for _ in range(32)]}
    assert keys == {paths.pseudonym_key.read_text()}


def test_half_a_key_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = SourcePaths(tmp_path, "shop")

    def stop(_: Path) -> None:
        raise KeyboardInterrupt

    # Killed as soon as the text is written, before it has its name.
    monkeypatch.setattr(files, "sync", stop)
    with pytest.raises(KeyboardInterrupt):
        make_key(paths)
    assert read_key(paths) is None
    monkeypatch.undo()
    assert make_key(paths) == read_key(paths)


def test_planning_and_never_make_no_key(tmp_path: Path) -> None:
    with open_shop(tmp_path, files="*.csv", more="pseudonymise_ids: never") as shop:
        shop.put("a.csv", lines("jane@example.org,2024-01-02,1"))
        shop.load()
        assert shop.values("customer_id") == ["jane@example.org"]
        shop.configure(files="*.csv")
        changed = changed_files(shop.connection, shop.source, shop.paths).transactions
        assert days_in(shop.connection, shop.source, shop.paths, changed) == (day(2), day(2))
        assert not shop.paths.pseudonym_key.exists()
