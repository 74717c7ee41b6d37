"""State and key in one file and back: whole, and never over what knows more."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from support.kept_shop import KeptShop, flip, kept_shop
from support.shop import winback

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.paths import SourcePaths
from dagster_project.release.backup import back_up, restore
from dagster_project.release.state import open_state
from dagster_project.warehouse import connect, rows


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> KeptShop:
    shop = kept_shop(tmp_path_factory.mktemp("loaded") / "data")
    record(shop.paths, "r1")
    shop.paths.notices.write_text("{}")
    return shop


@pytest.fixture
def file(shop: KeptShop, tmp_path: Path) -> Path:
    """Return a backup of the shop."""
    back_up(shop.paths, tmp_path / "backup.tar.gz")
    return tmp_path / "backup.tar.gz"


def record(paths: SourcePaths, release_id: str) -> None:
    with open_state(paths) as con:
        con.execute("insert into state.main.releases (release_id) values (?)", [release_id])


def recorded(paths: SourcePaths) -> list[str]:
    with connect(paths, paths.state, read_only=True) as con:
        return [
            row["release_id"] for row in rows(con, "select release_id from releases order by 1")
        ]


def kept(paths: SourcePaths) -> dict[str, bytes]:
    folder = paths.state.parent
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def test_a_lost_machine_has_its_state_key_and_yaml_back(
    shop: KeptShop, file: Path, tmp_path: Path
) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".tmp-*"))
    new = SourcePaths(tmp_path / "new", "shop")
    said = "\n".join(restore(new, file))
    assert kept(new) == kept(shop.paths)
    assert kept(new).keys() == {"state.duckdb", "pseudonym.key", "notices.json"}
    assert {path.stat().st_mode & 0o777 for path in new.state.parent.glob("*.*")} == {0o600}
    yaml = new.data_dir / "sources" / "shop.yml"
    assert yaml.read_bytes() == shop.source.path.read_bytes()
    for part in (new.state, new.pseudonym_key, yaml, "Next: winback run --source shop"):
        assert str(part) in said
    # Once more changes nothing.
    assert "is that of the backup" not in "\n".join(restore(new, file))
    assert kept(new) == kept(shop.paths)


def test_a_lost_key_comes_back_and_newer_state_stays(shop: KeptShop, file: Path) -> None:
    record(shop.paths, "r2")
    before = kept(shop.paths)
    for lost in (Path.unlink, lambda key: key.write_text("")):
        lost(shop.paths.pseudonym_key)
        with pytest.raises(WinbackError, match="winback restore FILE"):
            shop.ready()
        said = "\n".join(restore(shop.paths, file))
        assert f"{shop.paths.state} knows all that the backup does; left as it is." in said
        assert shop.ready() == []
    now = kept(shop.paths)
    assert {name: now[name] for name in before} == before
    # The empty one was kept beside it.
    assert [text for name, text in now.items() if name.startswith("replaced-")] == [b""]


def test_a_state_that_is_damaged_or_lacks_something_is_replaced_and_kept(
    shop: KeptShop, file: Path
) -> None:
    good = shop.paths.state.read_bytes()
    flip(shop.paths.state, 4200)
    damaged = shop.paths.state.read_bytes()
    said = restore(shop.paths, file)
    assert shop.paths.state.read_bytes() == good
    (copy,) = shop.paths.state.parent.glob("replaced-*/state.duckdb")
    assert copy.read_bytes() == damaged
    assert str(copy.parent) in said[-2]
    shutil.rmtree(copy.parent)
    shop.paths.state.unlink()
    record(shop.paths, "other")
    restore(shop.paths, file)
    assert recorded(shop.paths) == ["r1"]


def test_a_persons_later_edit_of_the_yaml_stays(shop: KeptShop, file: Path) -> None:
    edited = shop.source.path.read_text().replace("A shop", "My shop")
    shop.source.path.write_text(edited)
    said = "\n".join(restore(shop.paths, file))
    assert shop.source.path.read_text() == edited
    assert "differs from the backup's" in said


def test_another_key_than_that_of_the_present_ids_is_refused(shop: KeptShop, file: Path) -> None:
    shop.ready(new_pseudonyms=True)
    shop.paths.state.unlink()
    before = kept(shop.paths)
    with pytest.raises(WinbackError, match="another one than that of the present ids"):
        restore(shop.paths, file)
    assert kept(shop.paths) == before
    # Nor where raw is lost and the last release alone knows.
    manifest = shop.paths.releases / "r1" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"pseudonym_key": "0" * 16}))
    shop.paths.warehouse.unlink()
    with pytest.raises(WinbackError, match="another one than that of the present ids"):
        restore(shop.paths, file)


def test_a_backup_takes_no_files_place_and_is_of_something(shop: KeptShop, tmp_path: Path) -> None:
    there = tmp_path / "there.tar.gz"
    there.write_text("mine")
    with pytest.raises(WinbackError, match="is there already"):
        back_up(shop.paths, there)
    assert there.read_text() == "mine"
    # One beside the state is not packed into the next.
    inside = shop.paths.state.parent / "b.tar.gz"
    back_up(shop.paths, inside)
    back_up(shop.paths, tmp_path / "next.tar.gz")
    with tarfile.open(tmp_path / "next.tar.gz") as archive:
        assert f"state/{inside.name}" not in archive.getnames()
    with pytest.raises(WinbackError, match=r"The folder .*disk is not there"):
        back_up(shop.paths, tmp_path / "disk" / "b.tar.gz")
    with pytest.raises(WinbackError, match="nothing has no state yet"):
        back_up(SourcePaths(shop.paths.data_dir, "nothing"), tmp_path / "b.tar.gz")
    # A damaged state is no backup, wherever the damage is.
    flip(shop.paths.state, shop.paths.state.stat().st_size - 100_000)
    with pytest.raises(WinbackError):
        back_up(shop.paths, tmp_path / "b.tar.gz")
    assert not (tmp_path / "b.tar.gz").exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (Path.unlink, "is missing"),
        (lambda key: key.write_text("0" * 64), "is another one than that of the ids"),
        (lambda key: key.write_text("garbled"), "pseudonym.key"),
    ],
)
def test_no_backup_is_made_without_the_key_of_the_present_ids(
    shop: KeptShop, tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    """A scheduled backup would take the place of those that have it."""
    spoil(shop.paths.pseudonym_key)
    with pytest.raises(WinbackError, match=said):
        back_up(shop.paths, tmp_path / "b.tar.gz")
    assert not (tmp_path / "b.tar.gz").exists()


def test_what_is_left_of_a_kill_is_in_the_backup(shop: KeptShop, tmp_path: Path) -> None:
    # What was committed and not yet written into the file itself.
    with duckdb.connect(str(shop.paths.state)) as con:
        con.execute("set checkpoint_threshold = '1GB'")
        con.execute("insert into releases (release_id) values ('r9')")
        log = shop.paths.state.with_name("state.duckdb.wal")
        shutil.copy(shop.paths.state, tmp_path / "state.duckdb")
        shutil.copy(log, tmp_path / "state.duckdb.wal")
    shutil.copy(tmp_path / "state.duckdb", shop.paths.state)
    shutil.copy(tmp_path / "state.duckdb.wal", log)
    back_up(shop.paths, tmp_path / "b.tar.gz")
    new = SourcePaths(tmp_path / "new", "shop")
    restore(new, tmp_path / "b.tar.gz")
    assert recorded(new) == ["r1", "r9"]


Members = list[tuple[tarfile.TarInfo, bytes]]


def add(name: str, text: bytes = b"x", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(text)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member, text


def listed(members: Members, **changes: object) -> Members:
    """Change what a backup says of itself."""
    contents = json.loads(members[0][1]) | changes
    return [add("backup.json", json.dumps(contents).encode()), *members[1:]]


def with_file(members: Members, name: str, **attributes: object) -> Members:
    """Add a file that the list names as well."""
    files = json.loads(members[0][1])["files"] | {name: {"sha256": "0" * 64, "bytes": 1}}
    return [*listed(members, files=files), add(name, **attributes)]


TAMPERED: dict[str, tuple[Callable[[Members], Members], str]] = {
    "out of its folder": (lambda m: with_file(m, "state/../../evil"), "holds what no backup does"),
    "absolute": (lambda m: with_file(m, "/tmp/evil"), "holds what no backup does"),
    "hidden": (lambda m: with_file(m, "state/.bashrc"), "holds what no backup does"),
    "elsewhere": (lambda m: with_file(m, "warehouse/x"), "holds what no backup does"),
    "a log": (lambda m: with_file(m, "state/state.duckdb.wal"), "holds what no backup does"),
    "a link": (
        lambda m: with_file(m, "state/x", type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
        "holds what no backup does",
    ),
    "not listed": (lambda m: [*m, add("state/more")], "holds what no backup does"),
    "another content": (lambda m: with_file(m, "state/x"), "is not what was backed up"),
    "another length": (lambda m: [*m[:-1], add(m[-1][0].name)], "holds what no backup does"),
    "twice": (lambda m: [*m, m[1]], "twice"),
    "one lacks": (lambda m: m[:-1], "is missing from it"),
    "no list": (lambda m: m[1:], "does not begin with"),
    "garbled list": (lambda m: [add("backup.json", b"{"), *m[1:]], "is garbled"),
    "list of another kind": (lambda m: [add("backup.json", b"[1]"), *m[1:]], "is garbled"),
    "a later version": (lambda m: listed(m, format=2), "later version"),
    "empty": (lambda m: [], "is no backup"),
}


@pytest.mark.parametrize("fault", TAMPERED)
def test_what_is_no_backup_changes_nothing(shop: KeptShop, file: Path, fault: str) -> None:
    change, expected = TAMPERED[fault]
    with tarfile.open(file) as archive:
        members = [(one, archive.extractfile(one).read()) for one in archive.getmembers()]
    with tarfile.open(file, "w:gz") as archive:
        for member, text in change(members):
            archive.addfile(member, io.BytesIO(text))
    shop.paths.pseudonym_key.unlink()
    before = kept(shop.paths)
    with pytest.raises(WinbackError, match=expected):
        restore(shop.paths, file)
    assert kept(shop.paths) == before
    assert not (shop.paths.data_dir / "evil").exists()


def test_a_cut_or_other_file_is_no_backup(shop: KeptShop, file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-999], b"", b"hello", whole[::-1]):
        file.write_bytes(content)
        with pytest.raises(WinbackError, match=r"backup\.tar\.gz is no backup|is damaged"):
            restore(shop.paths, file)
    with pytest.raises(WinbackError, match="is missing"):
        restore(shop.paths, tmp_path / "absent")
    with pytest.raises(WinbackError, match="Is a directory"):
        restore(shop.paths, tmp_path)


def test_a_backup_of_another_source_is_refused(shop: KeptShop, file: Path) -> None:
    other = SourcePaths(shop.paths.data_dir, "other")
    with pytest.raises(ConfigurationError, match="is a backup of shop, not of other"):
        restore(other, file)
    assert not other.state.parent.exists()


def test_at_a_persons_terminal(shop: KeptShop, tmp_path: Path) -> None:
    data, file = shop.paths.data_dir, tmp_path / "b.tar.gz"
    made = winback("backup", file, "--source", "shop", data_dir=data)
    assert (made.code, made.messages) == (0, "")
    assert "pseudonym.key" in made.output
    assert winback("backup", file, "--source", "shop", data_dir=data).code == 1
    shutil.rmtree(shop.paths.state.parent)
    shop.source.path.unlink()
    # The source's file comes with it.
    back = winback("restore", file, "--source", "shop", data_dir=data)
    assert (back.code, back.messages) == (0, "")
    assert shop.paths.pseudonym_key.exists()
    wrong = winback("restore", file, "--source", "other", data_dir=data)
    assert wrong.code == 2
    assert "--source shop" in wrong.messages


def test_what_is_refused_leaves_nothing_and_what_is_made_is_private(
    shop: KeptShop, file: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(file.read_bytes()[:-999])
    for command, given, source in (
        ("restore", file, "other"),
        ("restore", cut, "shop"),
        ("backup", tmp_path / "b.tar.gz", "other"),
    ):
        assert winback(command, given, "--source", source, data_dir=new).code in (1, 2)
        assert list(new.iterdir()) == []
    assert not (tmp_path / "b.tar.gz").exists()
    assert winback("restore", file, "--source", "shop", data_dir=new).code == 0
    paths = SourcePaths(new, "shop")
    for folder in (paths.warehouse_dir, paths.state.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_key_that_everybody_could_read_is_put_aside_for_its_owner(
    shop: KeptShop, file: Path
) -> None:
    shop.paths.pseudonym_key.write_text("")
    shop.paths.pseudonym_key.chmod(0o644)
    restore(shop.paths, file)
    (aside,) = shop.paths.state.parent.glob("replaced-*/pseudonym.key")
    assert aside.stat().st_mode & 0o777 == 0o600
