"""A small source with its warehouse on disk and a release's manifest, for what runs stand on."""

import contextlib
import json
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import duckdb
from support.raw_shop import Shop, lines

from dagster_project import warehouse
from dagster_project.config.source import load_source
from dagster_project.loading.pseudonyms import noted_fingerprint
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths
from dagster_project.release.ready import make_ready

FILES = {
    "jan.csv": lines("a,2024-01-02,1", "b,2024-01-03,2"),
    "feb.csv": lines("c,2024-02-02,4"),
    "mar.csv": lines("jane@example.org,2024-03-02,8"),
}
# Where a DuckDB file has its two headers, and in each its own version.
HEADERS, VERSION = (4096, 8192), 56
FIRST_BLOCK, BLOCK = 12_288, 262_144


class KeptShop(Shop):
    """A shop whose raw layer is opened for each load, as a run does it."""

    def copied(self, folder: Path) -> "KeptShop":
        """Return the same shop in another folder."""
        shutil.copytree(self.paths.data_dir, folder)
        other = copy(self)
        other.paths = SourcePaths(folder, self.paths.source)
        other.source = load_source(other.paths)
        return other

    @contextmanager
    def opened(self) -> Iterator[None]:
        with warehouse.connect(self.paths) as self.connection:
            prepare_raw(self.connection)
            yield

    def load_all(self) -> None:
        """Load every table that the source has."""
        with self.opened():
            for table in self.source.tables:
                self.load(table)

    def release(self, release_id: str = "r1", published: str = "2024-04-01T06:00:00") -> None:
        """Let a release have been made of what is loaded, by this warehouse."""
        with self.opened():
            inputs = warehouse.rows(
                self.connection,
                "select table_name, parse_filename(source_file) as file_name, file_hash, row_count"
                " from raw.loads",
            )
            key = noted_fingerprint(self.connection)
            self.connection.execute("create schema if not exists audit")
            self.connection.execute("create table if not exists audit.verdicts (subject varchar)")
            self.connection.execute("insert into audit.verdicts values (?)", [release_id])
        manifest = {
            "release_id": release_id,
            "published_at": f"{published}Z",
            "inputs": inputs,
            "pseudonym_key": key,
        }
        folder = self.paths.releases / release_id
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps(manifest))

    def ready(self, **options: Any) -> list[str]:
        """Make the source ready for a run; return what was said."""
        said: list[str] = []
        make_ready(self.paths, self.source, said.append, **options)
        return said

    def ids(self) -> list[str]:
        """Return the customers in raw."""
        with duckdb.connect(str(self.paths.warehouse), read_only=True) as connection:
            found = connection.execute("select customer_id from raw.transactions order by all")
            return [one for (one,) in found.fetchall()]


def kept_shop(folder: Path, **parts: str) -> KeptShop:
    """Return a shop with three files, loaded and released."""
    with duckdb.connect() as connection:
        shop = KeptShop(folder, connection, **({"files": "**/*.csv"} | parts))
    for name, content in FILES.items():
        shop.put(name, content)
    shop.load_all()
    shop.release()
    return shop


def flip(file: Path, place: int) -> None:
    """Change a byte of a file."""
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)


def cut(file: Path) -> None:
    """Let a file have lost its second half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def make_folder(file: Path) -> None:
    """Let a folder stand in a file's place."""
    file.unlink()
    file.mkdir()


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return what is in a folder, but for what is there for the moment and the mark of a doubt."""
    return {
        path.name: path.read_bytes() if path.is_file() else None
        for path in folder.iterdir()
        if path.name not in ("spill", "damaged")
    }


def damage_block(file: Path, query: str) -> None:
    """Change a byte of a DuckDB file that can be opened all the same, until a query reads it."""
    whole = file.read_bytes()
    for place in range(FIRST_BLOCK + 99, len(whole), BLOCK):
        flip(file, place)
        with contextlib.suppress(duckdb.Error), duckdb.connect(str(file), read_only=True) as con:
            try:
                con.execute(query).fetchall()
            except duckdb.Error:
                return
        file.write_bytes(whole)
    raise AssertionError("no block is read by the query alone")


def make_later(file: Path) -> None:
    """Let a DuckDB file be of a version that does not exist yet."""
    content = bytearray(file.read_bytes())
    for place in HEADERS:
        struct.pack_into("<Q", content, place + VERSION, 999)
        checksum = 5381
        for (word,) in struct.iter_unpack("<Q", content[place + 8 : place + 4096]):
            checksum ^= word * 0xBF58476D1CE4E5B9 & 2**64 - 1
        struct.pack_into("<Q", content, place, checksum)
    file.write_bytes(content)
