"""Horizons of scores, which dbt and the program read in one place."""

import duckdb
import yaml

from dagster_project.models import dbt_project
from dagster_project.paths import DBT_DIR
from dagster_project.scores import score_tables
from dagster_project.scores.horizons import DECIDING_HORIZON, expected_purchase_days, horizons
from dagster_project.scores.score_choice import CANDIDATES


def test_horizons_are_the_variable_of_the_models() -> None:
    variables = yaml.safe_load((DBT_DIR / "dbt_project.yml").read_text())["vars"]
    assert horizons() == tuple(variables["score_horizons"]) == (30, 90, 365)
    nodes = dbt_project.manifest()["nodes"]
    for model in ("int_score_cutoffs", "customer_scores"):
        assert 'var("score_horizons")' in nodes[f"model.winback.{model}"]["raw_code"]


def test_every_horizon_has_its_column_wherever_scores_stand() -> None:
    with duckdb.connect() as connection:
        score_tables.create_tables(connection)
        rows = connection.execute("describe scores.customer_scores").fetchall()
    made = [name for name, *_ in rows]
    published = list(dbt_project.manifest()["nodes"]["model.winback.customer_scores"]["columns"])
    for columns in (made, published):
        counts = [name for name in columns if name.startswith("expected_purchase_days_")]
        assert counts == [expected_purchase_days(days) for days in horizons()]


def test_the_deciding_horizon_is_one_of_them_and_in_the_name_of_its_score() -> None:
    assert DECIDING_HORIZON in horizons()
    assert f"repurchase_probability_{DECIDING_HORIZON}d" in CANDIDATES
