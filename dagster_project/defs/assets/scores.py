"""The tables of scores, made in Python between the models before and after them."""

from collections.abc import Iterator

import dagster as dg

from dagster_project.defs.assets.common import ONE_RUN, OWNERS, GivenRun, noting_built
from dagster_project.models import dbt_project
from dagster_project.scores import score_tables, scoring
from dagster_project.warehouse import connect


def score_assets() -> dg.AssetsDefinition:
    """Return the tables of scores, which stand between the intermediate models and the marts."""
    read = ("int_score_tests", "int_purchase_histories", "int_customer_days")

    @dg.multi_asset(
        name="scores",
        specs=[
            dg.AssetSpec(
                ["scores", table],
                deps=[dg.AssetKey(["intermediate", model]) for model in read],
                group_name="scores",
                kinds={"python", "duckdb"},
                owners=OWNERS,
                description=dbt_project.source_description("scores", table),
            )
            for table in score_tables.TABLES
        ],
        backfill_policy=ONE_RUN,
    )
    def scores(
        context: dg.AssetExecutionContext, source_run: GivenRun
    ) -> Iterator[dg.MaterializeResult]:
        settings = scoring.Settings.of(source_run.source, source_run.as_of)
        with noting_built(context, source_run), connect(source_run.paths) as connection:
            choices = scoring.write_scores(connection, settings)
            counts = {
                table: connection.execute(f"select count(*) from scores.{table}").fetchone()[0]
                for table in score_tables.TABLES
            }
        for score, choice in choices.items():
            context.log.info(f"{score}: {choice.published or 'none'} ({choice.reason})")
        published = {score: choice.published or "none" for score, choice in choices.items()}
        for table, row_count in counts.items():
            yield dg.MaterializeResult(
                asset_key=dg.AssetKey(["scores", table]),
                metadata={"dagster/row_count": row_count, **published},
            )

    return scores
