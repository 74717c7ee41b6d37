"""A hundred inputs that look clean and are wrong: each is refused, blocked, told or read right."""

from pathlib import Path

import pytest
from support.gate_shop import told, write_audit
from support.wrong_inputs import SPOILERS, Figures, WrongInput, clean, wrong_input

from dagster_project import warehouse
from dagster_project.config.source import load_source
from dagster_project.errors import WinbackError
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import SourcePaths

SEEDS = range(5)
FIGURES = """
select
    customer_id, sum(amount),
    list(distinct ordered_on order by ordered_on) filter (line_type = 'sale')
from raw.transactions where excluded_reason is null group by customer_id
"""


def load(one: WrongInput, folder: Path) -> tuple[SourcePaths, Figures]:
    """Load an input as a run does; return what raw says of each customer."""
    paths = SourcePaths(folder, "shop")
    (folder / "sources").mkdir(parents=True)
    (folder / "sources" / "shop.yml").write_text(one.config, encoding="utf-8")
    paths.landing.mkdir(parents=True)
    for name, content in one.contents().items():
        (paths.landing / name).write_text(content, encoding="utf-8")
    source = load_source(paths)
    with warehouse.connect(paths) as connection:
        prepare_raw(connection)
        load_table(connection, source, paths, "transactions", batch_id="b1")
        rows = connection.execute(FIGURES).fetchall()
    write_audit(paths, source)
    return paths, {customer: (net, tuple(days or ())) for customer, net, days in rows}


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_inputs_are_read_right_and_nothing_is_said(seed: int, tmp_path: Path) -> None:
    one = clean(seed)
    paths, figures = load(one, tmp_path)
    assert figures == one.right()
    assert told(paths) == {}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_no_wrong_number_in_silence(spoil, seed: int, tmp_path: Path) -> None:
    one = wrong_input(spoil, seed)
    try:
        paths, figures = load(one, tmp_path)
    except WinbackError:
        return
    if one.secrets:
        # Pseudonyms stand for the ids: who has what stays.
        assert not {*one.secrets} & {*figures}
        assert sorted(figures.values()) == sorted(one.right().values())
    elif figures != one.right():
        assert told(paths), "a wrong number, and nothing is said"
