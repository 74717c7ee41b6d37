"""How property tests draw their examples: the same in every run, or new ones for some minutes.

By default examples follow from the tests alone, so that a run says what the one before said. With
`--fuzz-minutes 15` (`make fuzz`) only the property tests run, again and again with examples never
drawn before, each for its share of the time. A falsifying example is printed as it would be called;
as an `@example` of its test it stays.
"""

import os
import time

import pytest
from hypothesis import is_hypothesis_test, settings

SECONDS = pytest.StashKey[float]()
IS_REPEATING = pytest.StashKey[bool]()

settings.register_profile("steady", derandomize=True, database=None, deadline=None)
settings.register_profile("fuzz", derandomize=False, database=None, deadline=None, print_blob=True)
# A test takes what its settings leave open from the profile loaded as its module is imported.
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-minutes",
        type=float,
        default=0,
        help="run the property tests alone, with new examples for so many minutes",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("fuzz_minutes"):
        settings.load_profile("fuzz")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("fuzz_minutes"):
        others = [item for item in items if not is_hypothesis_test(getattr(item, "obj", None))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def pytest_collection_finish(session: pytest.Session) -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    seconds = 60 * session.config.getoption("fuzz_minutes") * workers
    for item in session.items:
        item.stash[SECONDS] = seconds / len(session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Repeat a property test until its time is over; once if nothing is to be repeated."""
    if not pyfuncitem.stash.get(SECONDS, 0) or pyfuncitem.stash.get(IS_REPEATING, False):
        return None
    pyfuncitem.stash[IS_REPEATING] = True
    until, rounds = time.monotonic() + pyfuncitem.stash[SECONDS], 0
    while not rounds or time.monotonic() < until:
        rounds += 1
        pyfuncitem.config.hook.pytest_pyfunc_call(pyfuncitem=pyfuncitem)
    pyfuncitem.user_properties.append(("rounds", rounds))
    return True


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.getoption("fuzz_minutes"):
        for report in terminalreporter.getreports("passed"):
            if rounds := dict(report.user_properties).get("rounds"):
                terminalreporter.write_line(f"{rounds:6} rounds of {report.nodeid}: nothing found")
