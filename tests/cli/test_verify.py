"""`winback verify` and `winback releases` as a person types them."""

import shutil
from pathlib import Path

import pytest
from support.releases import release, write_again
from support.small_source import GOOD

from dagster_project.cli.main import main
from dagster_project.paths import SourcePaths
from dagster_project.release.recover import recover


def verify(data_dir: Path, capsys: pytest.CaptureFixture) -> tuple[int, str, str]:
    code = 0
    try:
        main(["verify", "--source", "shop", "--data-dir", str(data_dir)])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    return code, said.out, said.err


def test_verify_says_what_is_whole_what_is_not_and_what_comes_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yml").write_text(GOOD)
    assert verify(tmp_path, capsys) == (0, "No whole release of shop.\n", "")

    paths = SourcePaths(tmp_path, "shop")
    first, second = (release(paths, marker).release_id for marker in "ab")
    code, out, err = verify(tmp_path, capsys)
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == sorted([f"{first} is whole", f"{second} is whole, current"])

    file = paths.releases / second / "parquet" / "customers.parquet"
    content = bytearray(file.read_bytes())
    content[-200] ^= 255
    write_again(file, bytes(content), keep_time=True)
    assert verify(tmp_path, capsys) == (
        1,
        f"{first} is whole\n",
        "winback: shop is not as it was published:\n"
        f"  {second} is damaged: parquet/customers.parquet has other bytes than were published; "
        f"the next run moves it to {paths.damaged}, makes {first} current and, if its files and "
        "settings are still the same, builds it again.\n",
    )


def test_releases_says_where_a_damaged_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yml").write_text(GOOD)
    paths = SourcePaths(tmp_path, "shop")
    ids = [release(paths, marker).release_id for marker in "abc"]
    shutil.rmtree(paths.releases / ids[0])
    (paths.releases / ids[1] / "winback.duckdb").unlink()
    recover(paths, lambda _: None)
    main(["releases", "--source", "shop", "--data-dir", str(tmp_path)])
    marks = {line.split()[0]: line.split("UTC")[1] for line in capsys.readouterr().out.splitlines()}
    assert marks == {
        ids[0]: "  files deleted",
        ids[1]: f"  damaged, moved to {paths.damaged / ids[1]}",
        ids[2]: "  current",
    }


def test_releases_that_the_state_has_lost_are_not_called_none(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yml").write_text(GOOD)
    arguments = ["releases", "--source", "shop", "--data-dir", str(tmp_path)]
    main(arguments)
    assert capsys.readouterr().out.startswith("No release of shop yet")
    paths = SourcePaths(tmp_path, "shop")
    release(paths, "a")
    shutil.rmtree(paths.state.parent)
    main(arguments)
    assert capsys.readouterr().out.startswith("The list of the releases of shop is missing, and")
