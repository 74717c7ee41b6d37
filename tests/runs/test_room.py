"""The room a run needs on the disk, told before it begins."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from support.small_source import GOOD

from dagster_project.config.source import Source, load_source
from dagster_project.errors import WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.runs import room
from dagster_project.runs.room import check_room, needed

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def shop(tmp_path: Path) -> tuple[SourcePaths, Source]:
    paths = SourcePaths(tmp_path, "shop")
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yml").write_text(GOOD, encoding="utf-8")
    paths.landing.mkdir(parents=True)
    (paths.landing / "orders.csv").write_bytes(b"x" * 10_000_000)
    paths.warehouse_dir.mkdir(parents=True)
    return paths, load_source(paths)


def publish(paths: SourcePaths) -> None:
    """Leave a release of 6 MB with a former one of 2 MB, and a warehouse of 20 MB."""
    for name, size in (("former", 2), ("latest", 6)):
        (paths.releases / name).mkdir(parents=True)
        (paths.releases / name / "winback.duckdb").write_bytes(b"x" * size * 1_000_000)
    paths.current.symlink_to("releases/latest")
    paths.warehouse.write_bytes(b"x" * 20_000_000)


def has_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free))


def test_a_first_run_is_measured_by_its_files(shop: tuple[SourcePaths, Source]) -> None:
    assert needed(*shop) == (32_000_000 + 5_000_000, 32_000_000 + 40_000_000)


def test_later_ones_by_the_last(shop: tuple[SourcePaths, Source]) -> None:
    publish(shop[0])
    assert needed(*shop) == (6_000_000, 26_000_000)


def test_enough_too_little_and_perhaps(
    shop: tuple[SourcePaths, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = shop
    publish(paths)
    has_free(monkeypatch, 26_000_000)
    assert check_room(*shop) is None
    has_free(monkeypatch, 25_999_999)
    assert check_room(*shop).startswith(
        f"26.0 MB are free on the disk of {paths.data_dir}, and this run may need up to 26.0 MB"
    )
    has_free(monkeypatch, 5_999_999)
    with pytest.raises(WinbackError) as raised:
        check_room(*shop)
    assert raised.value.exit_code == 1
    assert str(raised.value) == (
        f"6.0 MB are free on the disk of {paths.data_dir}, and this run needs 6.0 MB at the least "
        "(6,000,000 bytes; free: 5,999,999). Nothing was begun. Free space there, then run again. "
        "This source holds 1 former release (lower `kept_releases` in the source's file): 2.0 MB."
    )


def test_sizes_are_told_in_words() -> None:
    sizes = [room._size(size) for size in (0, 999, 1000, 1_500_000, 2_000_000_000, 3e12)]
    assert sizes == ["0 bytes", "999 bytes", "1.0 KB", "1.5 MB", "2.0 GB", "3.0 TB"]
