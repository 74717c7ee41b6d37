"""Text files byte by byte."""

import gzip
from pathlib import Path

from dagster_project.loading.text_files import lines_at, lines_of


def test_positions_of_bytes(tmp_path: Path) -> None:
    file = tmp_path / "f.csv.gz"
    file.write_bytes(gzip.compress(b"a\nbb\n\nc"))
    assert list(lines_at(file, [0, 1, 2, 4, 5, 6])) == [1, 1, 2, 2, 3, 4]
    assert lines_of(file, [2, 4]) == ["bb", "c"]
