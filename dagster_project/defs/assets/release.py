"""The candidate and the current release."""

import dagster as dg

from dagster_project.config.source import Source
from dagster_project.defs.assets.common import (
    CANDIDATE,
    CURRENT,
    NEXT_STEP,
    ONE_RUN,
    OWNERS,
    RAW_KEYS,
    GivenRun,
    markdown_table,
    some,
    table_name,
)
from dagster_project.errors import WinbackError
from dagster_project.loading.feed import read_feeds
from dagster_project.models import dbt_project
from dagster_project.models.version import other_than
from dagster_project.release.candidate import (
    build_candidate,
    candidate_file,
    read_candidate,
)
from dagster_project.release.identity import code_version
from dagster_project.release.manifest import churn_backtest
from dagster_project.release.publish import publish
from dagster_project.release.state import current_release, is_rolled_back
from dagster_project.warehouse import connect


def release_assets(source: Source) -> list[dg.AssetsDefinition]:
    """Return the candidate and the current release."""
    marts = [dg.AssetKey(["marts", table.name]) for table in dbt_project.published_tables()]

    @dg.asset(
        key=CANDIDATE,
        deps=[
            *marts,
            # The list of inputs names every table's files, also of tables no model reads yet.
            *RAW_KEYS,
        ],
        backfill_policy=ONE_RUN,
        group_name="release",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description=(
            "The next release, written beside the current one and not yet seen by any reader: "
            "DuckDB file, Parquet copies, manifest. The release gate audits this very file."
        ),
    )
    def candidate(context: dg.AssetExecutionContext, source_run: GivenRun) -> dg.MaterializeResult:
        paths, config = source_run.paths, source_run.source
        if code_version() != source_run.code:
            raise WinbackError(
                "The program's files were changed while this run was going, so that what it built "
                "is of neither version; run again."
            )
        with connect(paths, read_only=True) as connection:
            identity = source_run.identity(connection)
            backtest = churn_backtest(connection, "marts")
            feeds = read_feeds(connection, config, source_run.as_of)
        reach = {feed.silence.table: feed.silence.facts() for feed in feeds}
        others = other_than(paths, [table_name(key) for key in marts], identity.release_id)
        if others:
            raise WinbackError(
                f"{some(others)}: not built, with all before them, from what is loaded now, as of "
                f"{identity.as_of} with the present settings and code, so that a release would mix "
                f"the old and the new. {NEXT_STEP}"
            )
        build_candidate(
            paths,
            identity,
            dbt_project.published_tables(),
            currency=config.currency,
            settings=config.model_settings(),
            churn_backtest=backtest,
            feed=reach,
        )
        context.log.info(f"built candidate {identity.release_id}")
        with connect(paths, candidate_file(paths), read_only=True) as connection:
            stages = markdown_table(
                connection.execute(
                    "select lifecycle_stage, count(*) as customers, "
                    "sum(value_at_stake) as value_at_stake from customers group by all order by all"
                )
            )
            (customer_count,) = connection.execute("select count(*) from customers").fetchone()
        return dg.MaterializeResult(
            metadata={
                "release_id": identity.release_id,
                "as_of_date": identity.as_of.isoformat(),
                **{
                    f"{table}_{name}": fact
                    for table, facts in reach.items()
                    for name, fact in facts.items()
                },
                "dagster/row_count": customer_count,
                "stages": stages,
                "file": dg.MetadataValue.path(candidate_file(paths)),
            }
        )

    @dg.asset(
        key=CURRENT,
        deps=[CANDIDATE],
        backfill_policy=ONE_RUN,
        group_name="release",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description=(
            "The release that readers open. Switches to the candidate by one rename, and only if "
            "passing verdicts of the raw and the release gate are recorded for it."
        ),
    )
    def current(context: dg.AssetExecutionContext, source_run: GivenRun) -> dg.MaterializeResult:
        paths, config = source_run.paths, source_run.source
        identity = read_candidate(paths).identity
        former = current_release(paths)
        is_newer = former is None or identity.as_of >= former.as_of
        is_unwanted = is_rolled_back(paths, identity.release_id)
        release = publish(
            paths,
            make_current=source_run.is_made_current or (is_newer and not is_unwanted),
            keep=config.settings.kept_releases,
        )
        if release.is_current:
            context.log.info(f"release {release.release_id} is current")
        else:
            reason = (
                "it was rolled back from"
                if is_unwanted
                else "its as-of date is before the current's"
            )
            context.log.warning(
                f"release {release.release_id} is kept but not current: {reason}. To make "
                f"it current, start the job `daily` again with `as_of: '{release.as_of}'` and "
                "`make_current: true` below `resources: source_run: config:` in its Launchpad, or "
                f"`winback run --as-of {release.as_of} --make-current`."
            )
        return dg.MaterializeResult(
            metadata={
                "release_id": release.release_id,
                "is_current": release.is_current,
                "file": dg.MetadataValue.path(paths.published_file),
            }
        )

    return [candidate, current]
