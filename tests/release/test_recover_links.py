"""What each start mends of the links that readers go through: they lead to what readers had."""

import shutil

import pytest
from support.damage import IDS, mend
from support.releases import read_whole

from dagster_project.paths import SourcePaths
from dagster_project.release.publish import rollback
from dagster_project.release.state import is_rolled_back
from dagster_project.release.verify import verify


def remove_link(paths: SourcePaths) -> str:
    paths.current.unlink()
    return "was missing"


def link_to(target: str, paths: SourcePaths) -> str:
    paths.current.unlink()
    paths.current.symlink_to(target)
    return f"pointed to {target}"


def link_to_nowhere(paths: SourcePaths) -> str:
    return link_to("releases/2020-01-01-0000000000", paths)


def link_to_elsewhere(paths: SourcePaths) -> str:
    return link_to("/nowhere/releases", paths)


def absolute_link(paths: SourcePaths) -> str:
    """As a folder has that was moved from another place."""
    return link_to(f"/nowhere/releases/{paths.current.readlink().name}", paths)


def link_to_itself(paths: SourcePaths) -> str:
    return link_to("current", paths)


def file_for_a_link(paths: SourcePaths) -> str:
    paths.current.unlink()
    paths.current.write_text("2024-01-31-abc")
    return "was no link"


def folder_for_a_link(paths: SourcePaths) -> str:
    """As a copy has that was made without links."""
    folder = paths.current.resolve()
    paths.current.unlink()
    shutil.copytree(folder, paths.current)
    return "was a folder instead of a link"


def folder_alone(paths: SourcePaths) -> str:
    folder = paths.current.resolve()
    paths.current.unlink()
    folder.rename(paths.current)
    return "was a folder instead of a link"


@pytest.mark.parametrize(
    "spoil",
    [
        remove_link,
        link_to_nowhere,
        link_to_elsewhere,
        absolute_link,
        link_to_itself,
        file_for_a_link,
        folder_for_a_link,
        folder_alone,
    ],
)
def test_the_link_points_again_to_what_readers_had(history, spoil):
    rollback(history)
    fault = spoil(history)
    _, (foretold, *_) = verify(history)
    assert foretold.startswith(f"{history.current} ")
    assert f"; the next run makes {IDS['c']} current" in foretold
    said = mend(history)
    assert verify(history)[1] == []
    assert fault in said[0]
    assert f"it points to {IDS['c']} again" in said[-1]
    assert read_whole(history) == "c"
    assert is_rolled_back(history, IDS["e"])
    assert len(list(history.releases.iterdir())) == 6


@pytest.mark.parametrize("spoil", ["missing", "elsewhere", "a file", "a folder"])
def test_the_file_of_readers_is_a_link_again(history, spoil):
    file = history.published_file
    content = file.read_bytes()
    file.unlink()
    if spoil == "elsewhere":
        file.symlink_to("releases/gone/winback.duckdb")
    elif spoil == "a file":
        file.write_bytes(content)
    elif spoil == "a folder":
        file.mkdir()
    assert verify(history)[1] == [f"{file} is not the link it should be; the next run restores it."]
    (said,) = mend(history)
    assert verify(history)[1] == []
    assert "winback.duckdb was not the link it should be; it is restored" in said
    assert str(file.readlink()) == "current/winback.duckdb"
    assert read_whole(history) == "e"


def test_verify_says_of_a_current_release_that_is_gone_what_the_next_run_makes_of_it(history):
    shutil.rmtree(history.releases / IDS["e"])
    assert verify(history)[1] == [
        f"{history.current} points to releases/{IDS['e']}, which is gone; the next run makes "
        f"{IDS['c']} current and, if the files and settings of {IDS['e']} are still the same, "
        "builds it again."
    ]
    (said,) = mend(history)
    assert f"Readers have {IDS['c']} now" in said


def test_verify_says_that_the_link_is_gone_though_the_state_is_too(history):
    history.current.unlink()
    shutil.rmtree(history.state.parent)
    of_state, of_link = verify(history)[1]
    assert of_state.startswith(f"{history.state} is missing; ")
    assert of_link == (
        f"{history.current} is missing; the next run makes the newest whole release current that "
        "readers had."
    )
    mend(history)
    assert verify(history)[1] == []
    assert read_whole(history) == "e"


def test_verify_says_that_all_that_was_published_is_gone(history):
    shutil.rmtree(history.published)
    assert verify(history) == (
        [],
        [
            f"{history.current} is missing; the next run leaves readers without a release until it "
            "publishes."
        ],
    )
