"""Who may read what a run makes."""

import grp
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from support.releases import build, identity, judge

from dagster_project.access import GROUP, keep_to_owner
from dagster_project.errors import ConfigurationError
from dagster_project.paths import SourcePaths
from dagster_project.release.publish import publish, recover, rollback
from dagster_project.warehouse import connect


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    former = os.umask(0o022)
    yield
    os.umask(former)


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path / "data", "shop")


def release(paths: SourcePaths, content: str) -> str:
    """Publish a small release and return its id."""
    build(paths, content)
    judge(paths, identity(content), "raw")
    judge(paths, identity(content), "release")
    return publish(paths, make_current=True).release_id


def modes(folder: Path) -> set[tuple[str, str]]:
    """Return kind and mode of all that is in a folder, and of itself; links have none."""
    return {
        ("folder" if path.is_dir() else "file", oct(stat.S_IMODE(path.stat().st_mode)))
        for path in (folder, *folder.rglob("*"))
        if not path.is_symlink()
    }


def former_version(paths: SourcePaths) -> None:
    """Make what a former version left, which everybody could read."""
    for folder in paths.private:
        (folder / "within").mkdir(parents=True)
        (folder / "within" / "file").write_text("x")
        (folder / "link").symlink_to("/etc/hostname")
    paths.pseudonym_key.write_text("key")
    paths.pseudonym_key.chmod(0o600)
    program = paths.dagster_home / "program"
    program.write_text("x")
    program.chmod(0o755)


def test_only_what_is_published_is_for_others(paths: SourcePaths) -> None:
    paths.landing.mkdir(parents=True)
    keep_to_owner(paths)
    release(paths, "a")
    with connect(paths) as connection:
        connection.execute("create table one as select 1")
        # The log of what is not in the file yet stands beside it.
        assert modes(paths.warehouse_dir) == {("folder", "0o700"), ("file", "0o600")}
    for folder in (paths.warehouse_dir, paths.state.parent):
        assert modes(folder) == {("folder", "0o700"), ("file", "0o600")}
    assert modes(paths.published) == {("folder", "0o755"), ("file", "0o444")}
    # A candidate is no reader's yet.
    build(paths, "b")
    assert modes(paths.candidate) == {("folder", "0o700"), ("file", "0o600")}
    # The way there is made as the user makes folders, and what is theirs is left alone.
    for folder in (paths.data_dir, paths.published.parent, paths.landing):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_what_a_former_version_left_is_closed_at_the_next_start(paths: SourcePaths) -> None:
    former_version(paths)
    linked = stat.S_IMODE(Path("/etc/hostname").stat().st_mode)
    keep_to_owner(paths)
    for folder in paths.private:
        assert modes(folder) <= {("folder", "0o700"), ("file", "0o600"), ("file", "0o700")}
    assert stat.S_IMODE((paths.dagster_home / "program").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path("/etc/hostname").stat().st_mode) == linked


def test_a_group_alone_may_read_what_is_published(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting holds for the releases that are there already, and again when it is gone."""
    own = os.getegid()
    # Root may give files to any group, others to their own ones.
    group = next(
        (one for one in grp.getgrall() if one.gr_gid != own and not os.geteuid()),
        grp.getgrgid(own),
    )
    keep_to_owner(paths)
    first = release(paths, "a")
    monkeypatch.setenv(GROUP, group.gr_name)
    keep_to_owner(paths)
    recover(paths, print)
    release(paths, "b")
    assert modes(paths.published) == {("folder", "0o750"), ("file", "0o440")}
    parts = [path for path in (paths.published, *paths.published.rglob("*"))
             if not path.is_symlink()]  # fmt: skip
    assert {path.stat().st_gid for path in parts} == {group.gr_gid}
    assert rollback(paths).release_id == first
    with duckdb.connect(str(paths.published_file), read_only=True) as connection:
        assert connection.execute("select count(*) > 0 from customers").fetchone() == (True,)
    monkeypatch.delenv(GROUP)
    keep_to_owner(paths)
    assert modes(paths.published) == {("folder", "0o755"), ("file", "0o444")}


def test_an_unknown_group_stops_before_anything_is_written(
    paths: SourcePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GROUP, "nobody-has-it")
    with pytest.raises(ConfigurationError, match=f"{GROUP}: this machine has no group"):
        keep_to_owner(paths)
    assert not paths.data_dir.exists()
