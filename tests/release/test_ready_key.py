"""The key of pseudonyms: a run has that of the ids there are, or does not begin."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.kept_shop import FILES, KeptShop, contents, cut, kept_shop, make_folder
from support.raw_shop import lines

from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.warehouse import connect


def lose(key: Path) -> None:
    key.unlink()


def change(key: Path) -> None:
    key.write_text("0" * 64)


KEYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "lost": (lose, "is missing, and ids in"),
    "empty": (lambda key: key.write_text(""), "is empty"),
    "cut": (lambda key: key.write_text("0" * 31), "is not whole: 31 characters"),
    "other": (change, "is another one than that of the ids in"),
    "binary": (lambda key: key.write_bytes(b"\xff" * 64), "it is no text"),
    "folder": (make_folder, "Is a directory"),
}


@pytest.mark.parametrize("has_warehouse", [True, False], ids=["raw", "manifest"])
@pytest.mark.parametrize("fault", KEYS)
def test_without_its_key_a_source_is_not_run(
    shop: KeptShop, fault: str, has_warehouse: bool
) -> None:
    change_it, expected = KEYS[fault]
    change_it(shop.paths.pseudonym_key)
    if not has_warehouse:
        cut(shop.paths.warehouse)
    before = contents(shop.paths.warehouse_dir)
    with pytest.raises(WinbackError) as raised:
        shop.ready()
    message = str(raised.value)
    assert expected in message
    where = "the warehouse" if has_warehouse else "the last release"
    assert where in message or "ids in" not in message
    for part in (
        "winback restore FILE",
        "--new-pseudonyms",
        "Nothing was read or changed. Readers of shop have no release",
    ):
        assert part in message
    assert contents(shop.paths.warehouse_dir) == before
    assert len(message.splitlines()) == 1


def test_where_no_id_is_a_pseudonym_a_lost_key_is_nothing(tmp_path: Path) -> None:
    shop = kept_shop(tmp_path / "data", more="pseudonymise_ids: never")
    assert not shop.paths.pseudonym_key.exists()
    shop.configure(files="**/*.csv")
    (shop.paths.landing / "mar.csv").unlink()
    shop.put("mar.csv", lines("d,2024-03-02,8"))
    shop.load_all()
    shop.release("r2", "2024-04-02T06:00:00")
    former = shop.paths.pseudonym_key.read_text()
    shop.paths.pseudonym_key.unlink()
    assert shop.ready() == []
    shop.load_all()
    assert shop.paths.pseudonym_key.read_text() != former


def test_a_warehouse_of_an_older_version_takes_the_key_that_stands(shop: KeptShop) -> None:
    with connect(shop.paths) as connection:
        connection.execute("drop table raw.pseudonym_key")
    manifest = shop.paths.releases / "r1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("pseudonym_key", "something_else"))
    assert shop.ready() == []
    key = shop.paths.pseudonym_key.read_text()
    shop.paths.pseudonym_key.unlink()
    # Nothing is noted, but the ids tell.
    with pytest.raises(WinbackError, match="is missing, and ids in the warehouse"):
        shop.ready()
    shop.paths.pseudonym_key.write_text(key)
    shop.load_all()
    change(shop.paths.pseudonym_key)
    with pytest.raises(WinbackError, match="is another one"):
        shop.ready()


def test_the_last_resort_gives_every_pseudonym_another_id(shop: KeptShop) -> None:
    former = shop.ids()
    key = shop.paths.pseudonym_key.read_text()
    shop.paths.pseudonym_key.unlink()
    said = shop.ready(new_pseudonyms=True)
    assert "made anew from the files." in said[-1]
    # Whatever stops this run, the next plain one goes on with the new key.
    assert shop.ready() == []
    shop.load_all()
    assert shop.ready() == []
    ids = shop.ids()
    assert ids[:3] == former[:3] == ["a", "b", "c"]
    assert ids[3] != former[3]
    assert ids[3].startswith("p-")
    # The former key is not the right one any more, also with the former release as current.
    shop.paths.current.symlink_to("releases/r1")
    shop.paths.pseudonym_key.write_text(key)
    with pytest.raises(WinbackError, match="is another one"):
        shop.ready()


def test_new_pseudonyms_outlive_a_warehouse_made_anew_before_they_are_published(
    shop: KeptShop,
) -> None:
    shop.ready(new_pseudonyms=True)
    shop.ready(rebuild=True)
    assert shop.ready() == []


def test_a_key_that_is_given_up_is_kept(shop: KeptShop) -> None:
    key = shop.paths.pseudonym_key.read_text()
    said = shop.ready(new_pseudonyms=True)
    (kept,) = shop.paths.state.parent.glob("replaced-*.key")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_text() == key
    assert str(kept) in said[0]
    assert shop.paths.pseudonym_key.read_text() != key
    assert shop.paths.pseudonym_key.stat().st_mode & 0o777 == 0o600


def test_new_pseudonyms_need_all_files(shop: KeptShop) -> None:
    (shop.paths.landing / "mar.csv").unlink()
    key = shop.paths.pseudonym_key.read_text()
    before = contents(shop.paths.warehouse_dir)
    with pytest.raises(WinbackError, match=r"mar\.csv.*--new-pseudonyms --rebuild-warehouse"):
        shop.ready(new_pseudonyms=True)
    assert contents(shop.paths.warehouse_dir) == before
    assert shop.paths.pseudonym_key.read_text() == key
    shop.ready(new_pseudonyms=True, rebuild=True)
    shop.configure(files="**/*.csv", more="pseudonymise_ids: never")
    with pytest.raises(ConfigurationError, match="never"):
        shop.ready(new_pseudonyms=True)


def test_a_load_lets_no_second_key_in(shop: KeptShop) -> None:
    change(shop.paths.pseudonym_key)
    shop.put("apr.csv", lines("joe@example.org,2024-04-02,1"))
    with pytest.raises(WinbackError, match="changed during this run"):
        shop.load_all()
    assert len(shop.ids()) == len(FILES) + 1
