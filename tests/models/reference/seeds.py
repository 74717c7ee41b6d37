"""The seeds of the dbt project: they are the rules, for the models and here."""

import csv

from dagster_project.paths import DBT_DIR

SEEDS = DBT_DIR / "seeds"


def seed(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


RULES = {row["rule_id"]: row for row in seed("stage_rules")}
RFM_GROUPS = {(int(row["recency_score"]), int(row["fm_score"])): row for row in seed("rfm_groups")}
