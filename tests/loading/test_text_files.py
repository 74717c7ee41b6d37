"""Text files byte by byte."""

import gzip
from pathlib import Path

import pytest

from dagster_project.loading import text_files
from dagster_project.loading.text_files import count_lines, lines_at, lines_of


def test_positions_of_bytes(tmp_path: Path) -> None:
    file = tmp_path / "f.csv.gz"
    file.write_bytes(gzip.compress(b"a\nbb\n\nc"))
    assert list(lines_at(file, [0, 1, 2, 4, 5, 6])) == [1, 1, 2, 2, 3, 4]
    assert lines_of(file, [2, 4]) == ["bb", "c"]


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("lengths", "has_long_line"),
    [
        ([], False), ([0, 0], False), ([5], False), ([6], True), ([5, 5, 5], False),
        ([1, 6, 1], True), ([6, 1], True), ([1, 1, 6], True), ([5, 0, 5, 20], True),
        ([1] * 20, False), ([2, 5] * 9, False), ([2, 5] * 9 + [6], True),
    ],
)  # fmt: skip
def test_long_lines_are_found(
    lengths: list[int],
    has_long_line: bool,
    chunk_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_files, "LONGEST_LINE", 5)
    monkeypatch.setattr(text_files, "CHUNK_BYTES", chunk_bytes)
    file = tmp_path / "f.csv"
    for end in (b"", b"\n"):
        content = b"\n".join(b"x" * length for length in lengths) + (end if lengths else b"")
        file.write_bytes(content)
        found = count_lines(file)
        assert (found.has_long_line, found.byte_count) == (has_long_line, len(content))
