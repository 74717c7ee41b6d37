"""A shop whose customers' ids are their addresses: none gets out, however they are mapped."""

from pathlib import Path

import duckdb
import pytest
from support.contacts import CONTACTS
from support.shop import SHOP, SHOP_YML, Outcome, make_shop, sales, winback_process, write_csv

from dagster_project.files import file_hash

pytestmark = pytest.mark.timeout(900)
CONFIG = (
    SHOP_YML.partition("tables:")[0]
    + """\
tables:
  transactions:
    files: "sales-*.csv"
    date_format: "%Y-%m-%d %H:%M"
    columns:
      transaction_id: order
      customer_id: {sql: "coalesce(nullif(member, '0'), contact)"}
      ordered_at: time
      amount: amount
      product_id: product
    inputs: {member: {column: member}, contact: {column: customer}}
  customers:
    files: people.csv
    columns: {customer_id: customer, region: region, email: customer, owner_id: owner}
  interactions:
    files: visits.csv
    columns:
      interaction_id: card
      customer_id: {lookup: cards, column: customer}
      occurred_at: time
      interaction_type: {constant: visit}
      staff_id: {constant: staff@example.org}
    lookups:
      cards: {files: cards.csv, key: card, match: interaction_id}
"""
)


def texts(folder: Path) -> str:
    """Return all bytes of the files in a folder, and the values of those that are compressed."""
    found = []
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        found.append(file.read_bytes().decode(errors="replace"))
        if file.suffix == ".parquet":
            found.append(str(duckdb.execute("from read_parquet(?)", [str(file)]).fetchall()))
        if file.suffix == ".duckdb":
            with duckdb.connect(str(file), read_only=True) as connection:
                for (table,) in connection.execute("show tables").fetchall():
                    found.append(str(connection.execute(f"from {table}").fetchall()))
    return "\n".join(found)


def test_no_contact_gets_out(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    paths = make_shop(data_dir, config=CONFIG)
    for file in paths.landing.iterdir():
        file.unlink()
    rows = sales()
    customers = sorted({row["customer"] for row in rows})
    contact = dict(zip(customers, CONTACTS, strict=False))
    rows = [row | {"member": "0", "customer": contact.get(row["customer"], row["customer"])}
            for row in rows]  # fmt: skip
    # A file's name may hold one as well.
    write_csv(paths.landing / "sales-1_jane.roe@example.org.csv", rows)
    people = [{"customer": one, "region": "north", "owner": CONTACTS[0]} for one in CONTACTS]
    write_csv(paths.landing / "people.csv", people)
    cards = [{"card": f"K{n}", "customer": one} for n, one in enumerate(CONTACTS)]
    write_csv(paths.landing / "cards.csv", cards)
    write_csv(
        paths.landing / "visits.csv", [{"card": one["card"], "time": "2024-02-03"} for one in cards]
    )
    outcome = winback_process("run", "--source", SHOP, data_dir=data_dir)
    assert outcome.code == 0, outcome.messages
    with duckdb.connect(str(paths.published_file), read_only=True) as release:
        (count,) = release.execute(
            "select count(*) from customers where customer_id like 'p-%'"
        ).fetchone()
    assert count == len(CONTACTS)
    with duckdb.connect(str(paths.warehouse), read_only=True) as warehouse:
        for table in ("transactions", "customers", "interactions"):
            (found,) = warehouse.execute(
                f"select count(distinct customer_id) from raw.{table} where customer_id like 'p-%'"
            ).fetchone()
            assert found == len(CONTACTS), table
    wanted = {*CONTACTS, "john@example.com", "staff@example.org", "example.org", "example.com",
              "jane.roe", "call me"}  # fmt: skip

    def got_out(outcome: Outcome) -> list[str]:
        """Return what is found outside the landing folder, the warehouse and the state."""
        places = (paths.published, paths.dagster_home, paths.blocked)
        seen = "".join(map(texts, places)) + outcome.output + outcome.messages
        return [one for one in wanted if one in seen]

    assert got_out(outcome) == []
    # A blocked run says and keeps what is wrong: here lines that hold an address, and a copy.
    # Digits alone would be an amount, which the gate may show.
    late = [row | {"amount": f"call me {row['customer']}"} for row in rows[:9]]
    write_csv(paths.landing / "sales-2_+49 30 1234567.csv", late)
    write_csv(paths.landing / "sales-3.csv", rows[::-1])
    before = file_hash(paths.published_file)
    blocked = winback_process("run", "--source", SHOP, data_dir=data_dir)
    assert blocked.code == 3, blocked.messages
    assert "rejected_share_within_limit" in blocked.messages
    assert "no_lines_delivered_twice" in blocked.messages
    assert [*paths.blocked.rglob("*.html")] and [*paths.blocked.rglob("verdict.json")]
    assert file_hash(paths.published_file) == before
    assert got_out(blocked) == []
    # Nobody else may read what holds them.
    for folder in paths.private:
        for path in (folder, *folder.rglob("*")):
            assert path.is_symlink() or not path.stat().st_mode & 0o077, path
    published = [path for path in paths.current.resolve().rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in published} == {0o444}
