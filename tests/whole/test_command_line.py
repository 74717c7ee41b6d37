"""What goes wrong at a person's terminal: the exit code, one clear message, nothing lost."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from support.shop import SHOP, SHOP_YML, add_sales, make_shop, sales, shop_paths, winback, write_csv

from dagster_project.cli import main
from dagster_project.files import file_hash
from dagster_project.paths import SourcePaths

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def environment() -> object:
    """Give back the environment that the command line sets for its process."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def run(
    capsys: pytest.CaptureFixture[str], data_dir: Path, *arguments: str, source: str = SHOP
) -> tuple[int, str]:
    """Run the command line in this process: most of these runs end before they begin."""
    command = ["run", "--source", source, "--data-dir", str(data_dir), *arguments]
    code = 0
    try:
        main.main(command)
    except SystemExit as end:
        code = end.code
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return code, shown.err


def configure(paths: SourcePaths, old: str, new: str) -> None:
    assert old in SHOP_YML
    (paths.data_dir / "sources" / f"{SHOP}.yml").write_text(SHOP_YML.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("currency: EUR", "currency: EUR\ncolour: red", ["unknown key", "colour", "line"]),
        ("currency: EUR", "currency: EUR\ncurrency: USD", ["currency", "repeated", "line"]),
        ('"%Y-%m-%d %H:%M"', '"%H:%M"', ["date_format", "year", "line"]),
        ("time_zone: Europe/Berlin", "time_zone: Europe/Berlim", ["Europe/Berlin"]),
        ("      amount: amount\n", "", ["amount", "required"]),
        ("first_day: 2024-01-01", "first_day: soon", ["first_day"]),
    ],
)
def test_a_mistake_in_the_configuration(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    expected: list[str],
) -> None:
    paths = make_shop(tmp_path / "data")
    configure(paths, old, new)
    code, message = run(capsys, paths.data_dir)
    assert code == 2
    assert f"{SHOP}.yml" in message
    assert len(message.splitlines()) == 1, message
    for text in expected:
        assert text in message


def test_a_wrong_source_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = run(capsys, tmp_path, source="completejurney")
    assert code == 2
    assert "Did you mean completejourney?" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("day", ["2024-02-30", "yesterday", "2023-12-31", "2024-04-01"])
def test_an_impossible_as_of_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], day: str
) -> None:
    paths = make_shop(tmp_path / "data")
    code, message = run(capsys, paths.data_dir, "--as-of", day)
    assert code == 2
    assert day in message


def test_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, tmp_path, "--as-if", "2024-01-01")[0] == 2


def no_files(paths: SourcePaths) -> None:
    for file in paths.landing.glob("sales-*"):
        file.unlink()


def only_file_empty(paths: SourcePaths) -> None:
    no_files(paths)
    (paths.landing / "sales-2024-01.csv").touch()


def column_missing(paths: SourcePaths) -> None:
    rows = [{name: value for name, value in row.items() if name != "amount"} for row in sales()]
    no_files(paths)
    write_csv(paths.landing / "sales-2024.csv", rows)


def stray_quote(paths: SourcePaths) -> None:
    file = paths.landing / "sales-2024-01.csv"
    lines = file.read_text().splitlines()
    lines[5] = lines[5].replace(",C", ',"C', 1)
    file.write_text("\n".join(lines) + "\n")


def truncated(paths: SourcePaths) -> None:
    configure(paths, '"sales-*.csv"', '"sales-*.csv.gz"')
    rows = (paths.landing / "sales-2024-01.csv").read_bytes() * 50
    packed = gzip.compress(rows)
    (paths.landing / "sales-2024-01.csv.gz").write_bytes(packed[: len(packed) // 2])


def wrong_encoding(paths: SourcePaths) -> None:
    configure(paths, "    encoding: gbk\n", "")


def repeated_key(paths: SourcePaths) -> None:
    write_csv(paths.landing / "sales-late.csv", sales()[:3])


@pytest.mark.parametrize(
    ("spoil", "code", "expected"),
    [
        (no_files, 1, "sales-*.csv"),
        (only_file_empty, 1, "sales-2024-01.csv"),
        (column_missing, 2, "amount"),
        (stray_quote, 3, "sales-2024-01.csv"),
        (truncated, 1, "sales-2024-01.csv.gz"),
        (wrong_encoding, 3, "members.csv"),
        (repeated_key, 3, "transaction_id"),
    ],
)
def test_a_spoilt_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[SourcePaths], None],
    code: int,
    expected: str,
) -> None:
    paths = make_shop(tmp_path / "data")
    spoil(paths)
    found, messages = run(capsys, paths.data_dir)
    (_, _, message) = messages.partition("winback: ")
    assert (found, expected in message) == (code, True), messages
    # One message: what a blocked expectation observed takes six lines, what to do next the last.
    shown = message.splitlines()
    blocked_count = sum(one.endswith(" failed") for one in shown)
    assert len(shown) == (1 if code < 3 else 6 * blocked_count + 1)
    assert shown[-1].startswith("Nothing is published") == (code == 3)
    assert not paths.published_file.exists()


def test_nothing_published_is_lost_when_a_file_is_spoilt_later(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = shop_paths(shop)
    before = file_hash(paths.published_file)
    stray_quote(paths)
    assert run(capsys, shop)[0] == 3
    assert file_hash(paths.published_file) == before
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        (loaded,) = connection.execute("select count(*) from raw.transactions").fetchone()
        (rejected,) = connection.execute("select count(*) from raw.rejected_rows").fetchone()
    assert loaded + rejected == len(sales())


def test_an_expectation_that_raises_is_a_failure_and_no_verdict(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = shop_paths(shop)
    add_sales(paths, 3)
    from dagster_project.gates import suites

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites, "suite_tables", lambda gate: ["missing_table"])
        code, messages = run(capsys, shop)
    assert code == 1, messages
    assert not paths.blocked.exists()


def test_the_lists_for_people(published_shop: Path) -> None:
    listed = winback("sources", data_dir=published_shop)
    assert listed.code == 0
    assert {line.split()[0] for line in listed.output.splitlines()} >= {
        "cdnow",
        "cdnow_sample",
        "completejourney",
        "online_retail",
        SHOP,
    }
    releases = winback("releases", "--source", SHOP, data_dir=published_shop)
    assert "as of 2024-03-31" in releases.output and "current" in releases.output
