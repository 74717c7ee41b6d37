"""`winback`: run a source, check and list sources and releases, roll back, back up.

Exit codes: 0 published or nothing new, 1 failed, 2 bad usage or configuration, 3 a gate blocked,
130 or 143 interrupted by Ctrl-C or SIGTERM.
"""

import argparse
import gc
import os
import sys
from pathlib import Path

from dagster_project.cli import failures, keeping
from dagster_project.errors import ConfigurationError, WinbackError
from dagster_project.paths import (
    DEFAULT_SOURCE,
    UNATTENDED,
    SourcePaths,
    default_data_dir,
    expanded,
    setting,
)

# Set before anything imports the libraries that would otherwise report to their makers.
QUIET_ENVIRONMENT = {
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
}
# Of a run that is interrupted Python's own helper would say last that dbt left semaphores.
QUIET_WARNINGS = "ignore:resource_tracker"
# A run over years of days stores its events in batches; see `history`.
BATCH_ENVIRONMENT = {"DAGSTER_EVENT_BATCH_SIZE": "1000"}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code of its outcome."""
    os.environ.update(QUIET_ENVIRONMENT | BATCH_ENVIRONMENT)
    _quieten_warnings()
    # The libraries' millions of lasting objects would be walked through again and again.
    gc.set_threshold(50_000, 20, 50)
    with failures.told(is_process=arguments is None) as told:
        parsed = _parser().parse_args(arguments)
        told.paths = _paths(parsed)
        parsed.command(parsed)


def _quieten_warnings() -> None:
    """Add to the warnings that Python shall not print; what a person has set counts for more."""
    own = os.environ.get("PYTHONWARNINGS", "")
    if QUIET_WARNINGS not in own.split(","):
        # The last one that fits counts.
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [QUIET_WARNINGS, own]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="winback",
        description="From raw transactions to gated, published win-back tables.",
        epilog="Exit codes: 0 published or nothing new; 1 failed; 2 bad usage or configuration; "
        "3 a gate blocked and the former release stands; 130 or 143 interrupted.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="load, rebuild, audit and publish a source")
    _add_common(run)
    run.add_argument(
        "--as-of", metavar="YYYY-MM-DD", help="end of this business date is now (default: the last)"
    )
    run.add_argument(
        "--make-current",
        action="store_true",
        help="make the release current even if its as-of date is before the current one's, or if "
        "it was rolled back from",
    )
    run.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    run.add_argument(
        "--full-refresh",
        action="store_true",
        help="read every file and compute every day anew; fewer lines than published are accepted",
    )
    run.add_argument(
        "--rebuild-warehouse",
        action="store_true",
        help="put the warehouse aside and make it anew from the files, without those that have "
        "gone; a damaged one is made anew without being asked where all files are there",
    )
    run.add_argument(
        "--new-pseudonyms",
        action="store_true",
        help="the last resort where the key of pseudonyms is lost: make a new one. Every customer "
        "whose id is a pseudonym gets another id, and all files are read again, which must all "
        "be there",
    )
    run.set_defaults(command=_run)

    sources = commands.add_parser("sources", help="list the configured sources")
    # What it was called before; answered with the new name.
    sources.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    _add_data_dir(sources)
    sources.set_defaults(command=_sources)

    check = commands.add_parser(
        "check",
        help="look at the sources before a run: faults, when a customer is lost, values of rules",
        description="Reads each source's file and the files of its transactions, without a run: "
        "every fault, when a customer is lost, and the values of the columns that `exclude` and "
        "`line_type` look at, with their lines. Columns that name a person are not listed.",
    )
    check.add_argument("--source", metavar="NAME", help="check this one (default: all)")
    _add_data_dir(check)
    check.set_defaults(command=_check)

    simulate = commands.add_parser(
        "simulate",
        help="write a simulated business and, apart from it, the truth about its customers",
        description="Writes sales and customers of a simulated business into the landing folder "
        "of a source, in place of what was simulated before, and when each customer really "
        "dropped out to simulated_truth/NAME.parquet in the data directory. The same number of "
        "lines and seed give the same business.",
    )
    simulate.add_argument(
        "--source",
        metavar="NAME",
        default="simulated",
        help="gives the days and the industry; simulated (default) or a copy of its file",
    )
    simulate.add_argument(
        "--lines",
        type=int,
        metavar="N",
        default=1_000_000,
        help="lines of transactions, the only measure of size (default: %(default)s); a customer "
        "has about 20",
    )
    simulate.add_argument(
        "--seed",
        type=int,
        metavar="N",
        default=1,
        help="another seed is another business (default: %(default)s)",
    )
    _add_data_dir(simulate)
    simulate.set_defaults(command=_simulate)

    keeping.add_commands(commands, _add_common, _paths, _print)

    notify = commands.add_parser(
        "notify",
        help="try the addresses in WINBACK_NOTIFY_URLS, to which notices of runs go",
        description="Notices go to the addresses in WINBACK_NOTIFY_URLS, from the environment or "
        ".env: URLs with spaces between, such as mailto://, slack://, workflows:// (Teams), "
        "wecombot://, dingtalk://, feishu:// or json:// (a webhook). See docs/running.md.",
    )
    notify.add_argument(
        "--test",
        action="store_true",
        required=True,
        help="send one notice to each address and say whether it was taken",
    )
    _add_common(notify)
    notify.set_defaults(command=_notify)

    dbt = commands.add_parser(
        "dbt",
        help="run dbt by hand, such as `winback dbt -- build -s customers+`",
        description="Runs one dbt command on the warehouse of a source, with the settings and the "
        "as-of date of its last run: build, show, compile, docs generate --static and so on. "
        "Readers see nothing of it before the next run.",
    )
    _add_common(dbt)
    dbt.add_argument("arguments", nargs="+", metavar="-- COMMAND", help="dbt's own arguments")
    dbt.set_defaults(command=_dbt)

    ui = commands.add_parser("ui", help="run the Dagster UI of a source and, with it, its schedule")
    _add_common(ui)
    ui.add_argument(
        "--port", type=_port, default=3000, metavar="N", help="of the web server; default 3000"
    )
    ui.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address of this machine to listen on (default: %(default)s, from this machine only); "
        "there is no login: whoever reaches it can start and delete runs",
    )
    ui.set_defaults(command=_ui)

    daemon = commands.add_parser(
        "daemon",
        help="run the schedule of a source without the web server",
        description="Runs what `winback ui` does without the web server. morning_run and "
        "landing_files are on unless someone turned them off in the UI. A source has one UI or "
        "daemon at a time.",
    )
    _add_common(daemon)
    daemon.set_defaults(command=_daemon)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", metavar="NAME", help="default: WINBACK_SOURCE, else " + DEFAULT_SOURCE
    )
    _add_data_dir(parser)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="default: WINBACK_DATA_DIR, else data/"
    )


def _data_dir(parsed: argparse.Namespace) -> Path:
    return expanded(parsed.data_dir).resolve() if parsed.data_dir else default_data_dir()


def _paths(parsed: argparse.Namespace) -> SourcePaths:
    named = getattr(parsed, "source", None)
    return SourcePaths(_data_dir(parsed), named or setting("WINBACK_SOURCE", DEFAULT_SOURCE))


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run(parsed: argparse.Namespace) -> None:
    from dagster_project.cli import run, summary
    from dagster_project.config.source import load_source
    from dagster_project.notices.tell import telling_failures

    if parsed.publish:
        raise ConfigurationError("`--publish` is `--make-current` now.")
    paths = _paths(parsed)
    with telling_failures(paths):
        source = load_source(paths)
    run.prepare_dagster_home(paths)
    release, is_new = run.run(
        source,
        paths,
        as_of=parsed.as_of,
        make_current=parsed.make_current,
        full_refresh=parsed.full_refresh,
        rebuild_warehouse=parsed.rebuild_warehouse,
        new_pseudonyms=parsed.new_pseudonyms,
        inform=_print,
    )
    if not is_new:
        _print("Nothing new: same files, settings, as-of date and code.")
        if release.is_rolled_back:
            _print("This release was rolled back from; --make-current makes it current again.")
    print(summary.summarise(paths, source, release))


def _dbt(parsed: argparse.Namespace) -> None:
    from dagster_project.cli import dbt_command

    dbt_command.run(_paths(parsed), parsed.arguments, inform=_print)


def _sources(parsed: argparse.Namespace) -> None:
    from dagster_project.config.source import load_source, source_files

    data_dir = _data_dir(parsed)
    if parsed.check:
        raise ConfigurationError("`winback sources --check` is `winback check` now.")
    for name in source_files(data_dir):
        source = load_source(SourcePaths(data_dir, name))
        until = source.last_day or "yesterday"
        print(f"{name:<18}{source.first_day} to {until}  {source.currency}  {source.description}")


def _simulate(parsed: argparse.Namespace) -> None:
    from dagster_project.config.source import load_source
    from dagster_project.simulation import simulation

    paths = _paths(parsed)
    source = load_source(paths)
    business = simulation.simulate(
        source, paths, lines=parsed.lines, seed=parsed.seed, inform=_print
    )
    print(
        f"{business.line_count:,} lines ({business.return_count:,} of them returns) of "
        f"{business.customer_count:,} customers from {source.first_day} to {source.last_day}\n"
        f"Files  {paths.landing}\n"
        f"Truth  {business.truth}\n"
        f"Next   winback run --source {paths.source}"
    )


def _check(parsed: argparse.Namespace) -> None:
    """Print what is to be known of each source; tell every fault before giving up."""
    from datetime import UTC, datetime

    from dagster_project.cli import rule_values
    from dagster_project.config.churn_estimate import published_estimate
    from dagster_project.config.churn_words import describe
    from dagster_project.config.source import load_source, source_files
    from dagster_project.config.versions import in_force

    data_dir = _data_dir(parsed)
    names = [parsed.source] if parsed.source else list(source_files(data_dir))
    faulty = []
    for name in names:
        paths = SourcePaths(data_dir, name)
        try:
            source = load_source(paths)
        except ConfigurationError as error:
            _print(f"winback: {error}")
            faulty.append(name)
            continue
        as_of = source.last_complete_day(datetime.now(UTC))
        definitions = source.churn_definitions
        active = in_force(definitions, as_of)
        estimate = published_estimate(paths.current, definitions, active)
        print(f"{name}: industry {source.industry or 'not named'}, as of {as_of}")
        for line in describe(definitions, as_of, estimate):
            print(f"  {line}", flush=True)
        try:
            for line in rule_values.describe(source, paths):
                print(f"  {line}", flush=True)
        except ConfigurationError as error:
            _print(f"winback: {error}")
            faulty.append(name)
        except WinbackError as error:
            print(f"  values      not read: {error}", flush=True)
    if faulty:
        raise ConfigurationError(
            f"{len(faulty)} of {len(names)} sources must be corrected: {', '.join(faulty)}."
        )


def _notify(parsed: argparse.Namespace) -> None:
    from dagster_project.config.source import load_source
    from dagster_project.notices.addresses import NOTIFY_URLS, Notice, send

    paths = _paths(parsed)
    load_source(paths)
    text = f"A test of the notices of {paths.source}; nothing has happened."
    deliveries = send([Notice("test", f"winback {paths.source}: test", text)])
    if not deliveries:
        raise ConfigurationError(
            f"{NOTIFY_URLS} is not set, so nobody is told; write it into .env or the environment "
            "(docs/running.md has examples)."
        )
    for delivery in deliveries:
        print(f"{delivery.name}: {delivery.fault or 'taken'}")
    faulty = sum(delivery.fault is not None for delivery in deliveries)
    if faulty:
        raise WinbackError(f"{faulty} of {len(deliveries)} addresses did not take the notice.")


def _ui(parsed: argparse.Namespace) -> None:
    _serve(parsed, parsed.host, parsed.port)


def _daemon(parsed: argparse.Namespace) -> None:
    # Without a UI there is nothing to turn schedule and sensor on with.
    os.environ[UNATTENDED] = "yes"
    _serve(parsed, "", None)


def _serve(parsed: argparse.Namespace, host: str, port: int | None) -> None:
    from dagster_project.cli import services
    from dagster_project.config.source import load_source

    paths = _paths(parsed)
    load_source(paths)

    def prepare() -> None:
        # Not before: a refused start shall neither wait for these libraries nor mark a run.
        from dagster_project.cli.run import prepare_dagster_home
        from dagster_project.runs.bookkeeping import mark_dead_runs

        prepare_dagster_home(paths)
        mark_dead_runs(paths, _print)

    services.serve(paths, host=host, port=port, prepare=prepare, inform=_print)


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{text} is no port; choose one from 1 to 65535")
    return port
