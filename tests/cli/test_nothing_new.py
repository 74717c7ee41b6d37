"""A run that has nothing to build: it is well only if readers have a release."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.releases import release
from support.shop import make_shop

from dagster_project.cli import run as cli_run
from dagster_project.config.source import load_source
from dagster_project.errors import WinbackError
from dagster_project.release.publish import rollback
from dagster_project.release.state import Release, find_release


def test_after_a_rollback_to_what_is_damaged_now_a_run_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_shop(tmp_path / "data")
    source = load_source(paths)
    former, newest = release(paths, "a"), release(paths, "b")
    assert rollback(paths, inform=print).release_id == former.release_id
    shutil.rmtree(paths.releases / former.release_id)
    monkeypatch.setattr(cli_run, "make_ready", lambda *_, **__: None)
    monkeypatch.setattr(
        cli_run.planning, "plan_load", lambda *_, **__: SimpleNamespace(has_changes=False)
    )
    monkeypatch.setattr(cli_run, "_find_built", lambda *_: find_release(paths, newest.release_id))

    def run(*, make_current: bool) -> tuple[Release, bool]:
        options = {"full_refresh": False, "rebuild_warehouse": False, "new_pseudonyms": False}
        return cli_run.run(
            source, paths, as_of=None, make_current=make_current, inform=print, **options
        )

    with pytest.raises(WinbackError, match="readers have no release") as told:
        run(make_current=False)
    assert "winback run --make-current" in str(told.value)
    assert "winback rollback ID" in str(told.value)
    given, _ = run(make_current=True)
    assert (given.release_id, given.is_current) == (newest.release_id, True)
