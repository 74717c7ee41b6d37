"""Dagster asset checks: the raw gate and the release gate, both blocking.

Belongs here: which asset a suite of `expectations/` judges and what a person sees of its verdict.
The suites are run by `gates`; dbt's own tests become checks of the models by themselves.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import dagster as dg

from dagster_project.config import canonical
from dagster_project.defs.assets.common import CANDIDATE, NEXT_STEP, GivenRun, raw_key
from dagster_project.errors import GateBlockedError
from dagster_project.files import file_hash
from dagster_project.gates import limits, lost_lines, suites, verdicts
from dagster_project.gates.outcomes import Outcome, TableVerdict, blocked_message
from dagster_project.loading.feed import read_feed
from dagster_project.paths import SourcePaths
from dagster_project.release.candidate import candidate_file, read_candidate
from dagster_project.release.identity import ReleaseIdentity
from dagster_project.release.manifest import current_manifest
from dagster_project.warehouse import connect, noticing_damage


def raw_gate() -> dg.AssetChecksDefinition:
    """Return the gate that judges everything dbt will read."""
    specs = [_spec("raw", table, _judged_raw_asset(table)) for table in suites.suite_tables("raw")]

    @dg.multi_asset_check(name="raw_gate", specs=specs, can_subset=True)
    def gate(
        context: dg.AssetCheckExecutionContext, source_run: GivenRun
    ) -> Iterator[dg.AssetCheckResult]:
        paths = source_run.paths
        limits.write_limits(paths, source_run.source, source_run.as_of, source_run.today)
        former = current_manifest(paths)
        lost_lines.write_lost_lines(paths, former, is_accepted=source_run.is_full_refresh)
        with noticing_damage(paths):
            judged = suites.validate("raw", suites.suite_tables("raw"), paths.warehouse, "raw")
        with connect(paths, read_only=True) as connection:
            identity = source_run.identity(connection)
        yield from _conclude(context, paths, "raw", judged, identity, _judged_raw_asset)

    return gate


def release_gate() -> dg.AssetChecksDefinition:
    """Return the gate that audits the candidate file itself."""
    specs = [_spec("release", table, CANDIDATE) for table in suites.suite_tables("release")]

    @dg.multi_asset_check(name="release_gate", specs=specs, can_subset=True)
    def gate(
        context: dg.AssetCheckExecutionContext, source_run: GivenRun
    ) -> Iterator[dg.AssetCheckResult]:
        paths = source_run.paths
        limits.write_former_stages(paths)
        identity = read_candidate(paths).identity
        file = candidate_file(paths)
        tables, beside = suites.suite_tables("release"), {"warehouse": paths.warehouse}
        with noticing_damage(paths):
            judged = suites.validate("release", tables, file, "main", beside)
        yield from _conclude(
            context,
            paths,
            "release",
            judged,
            identity,
            lambda _: CANDIDATE,
            audited_hash=file_hash(file),
        )

    return gate


def freshness(table: str) -> dg.AssetChecksDefinition:
    """Return the check of how far a table of a live source reaches; it blocks nothing itself."""

    @dg.asset_check(
        asset=raw_key(table),
        name="freshness",
        description=(
            "Freshness is that of the data, not of the runs: the last business day with lines that "
            "count, up to the as-of date, against the source's own pattern. The raw gate blocks "
            "from the same day on from which this is an error."
        ),
    )
    def check(source_run: GivenRun) -> dg.AssetCheckResult:
        with connect(source_run.paths, read_only=True) as connection:
            feed = read_feed(connection, source_run.source, source_run.as_of, table)
        if feed is None:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{table}: no line that counts up to {source_run.as_of}",
            )
        silence = feed.silence
        is_blocked = silence.is_late and silence.is_sure
        return dg.AssetCheckResult(
            passed=silence.is_usual,
            severity=dg.AssetCheckSeverity.ERROR if is_blocked else dg.AssetCheckSeverity.WARN,
            description=silence.words,
            metadata={**silence.facts(), "maximum_silent_days": silence.limit},
        )

    return check


def _judged_raw_asset(table: str) -> dg.AssetKey:
    """Return the asset that a suite of the raw gate judges; the counts are the transactions'."""
    return raw_key(table if table in canonical.TABLES else "transactions")


def _spec(gate: str, table: str, asset: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=f"{gate}_gate_{table}",
        asset=asset,
        blocking=True,
        description=f"Expectations of expectations/{gate}/{table}.json.",
    )


def _conclude(
    context: dg.AssetCheckExecutionContext,
    paths: SourcePaths,
    gate: verdicts.Gate,
    judged: Sequence[TableVerdict],
    identity: ReleaseIdentity,
    asset_of: Callable[[str], dg.AssetKey],
    *,
    audited_hash: str | None = None,
) -> Iterator[dg.AssetCheckResult]:
    """Record a gate's verdict for a release, yield what people see of it, and stop what is blocked.

    Raises:
        GateBlockedError: With all that blocks, and its remedy.
    """
    verdicts.record(
        paths,
        gate,
        judged,
        subject=identity.release_id,
        raw=identity.raw_fingerprint,
        run_id=context.run.run_id,
        file_hash=audited_hash,
    )
    yield from _results(judged, asset_of, context.selected_asset_check_keys)
    _stop_if_blocked(judged)


def _results(
    verdicts: Sequence[TableVerdict],
    asset_of: Callable[[str], dg.AssetKey],
    selected: Iterable[dg.AssetCheckKey],
) -> Iterator[dg.AssetCheckResult]:
    wanted = set(selected)
    for verdict in verdicts:
        key = dg.AssetCheckKey(
            asset_of(verdict.table_name), f"{verdict.gate}_gate_{verdict.table_name}"
        )
        if key not in wanted:
            continue
        failed = [outcome for outcome in verdict.outcomes if not outcome.is_passed]
        yield dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=not failed,
            severity=(
                dg.AssetCheckSeverity.WARN if verdict.is_passed else dg.AssetCheckSeverity.ERROR
            ),
            description=blocked_message(verdict.outcomes) or None,
            metadata={"failed": len(failed)}
            | {o.expectation: _in_words(o) for o in verdict.outcomes},
        )


def _stop_if_blocked(verdicts: Sequence[TableVerdict]) -> None:
    """Fail the run if anything blocks, also what this run has no check of: it is recorded.

    Raises:
        GateBlockedError: With all that blocks, and its remedy.
    """
    message = blocked_message(outcome for one in verdicts for outcome in one.outcomes)
    if message:
        raise GateBlockedError(
            f"{message}\nNothing is published; readers keep what they have. {NEXT_STEP}"
        )


def _in_words(outcome: Outcome) -> str:
    """Return what one expectation observed, short enough to read in a list."""
    examples = f"; for example {', '.join(outcome.example_ids)}" if outcome.example_ids else ""
    return (
        f"{'passed' if outcome.is_passed else outcome.severity.upper()}: {outcome.observed_value} "
        f"(threshold: {outcome.threshold}); {outcome.unexpected} unexpected{examples}"
    )
