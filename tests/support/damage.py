"""A history of small releases, and what may happen to it."""

from datetime import date
from pathlib import Path

from support.releases import checksums, identity, release, write_again

from dagster_project.paths import SourcePaths
from dagster_project.release.publish import rollback
from dagster_project.release.recover import recover

IDS = {marker: identity(marker).release_id for marker in "abcde"}
PAST = date(2023, 12, 31)


def publish_history(paths: SourcePaths) -> None:
    """Publish a, b, c, d, go back to c, build a past day that readers never see, publish e."""
    for marker in "abcd":
        release(paths, marker)
    rollback(paths)
    release(paths, "past", as_of=PAST, make_current=False)
    release(paths, "e")


def mend(paths: SourcePaths) -> list[str]:
    """Start a run; a second start has nothing left to mend."""
    said: list[str] = []
    recover(paths, said.append)
    before = checksums(paths.published), checksums(paths.state.parent)
    again: list[str] = []
    recover(paths, again.append)
    assert again == []
    assert (checksums(paths.published), checksums(paths.state.parent)) == before
    return said


def truncate(folder: Path) -> str:
    file = folder / "winback.duckdb"
    write_again(file, file.read_bytes()[:5_000])
    return "winback.duckdb has 5,000 bytes instead of"
