"""What the log of a failed run keeps of its fault: the message with its remedy, no stack trace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from dagster_project.cli.failures import failure_of
from dagster_project.errors import ConfigurationError, GateBlockedError, WinbackError
from dagster_project.runs.event_log import EventLog

BLOCKED = "raw gate, loads: something failed\n  remedy:     Correct: the file"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "event_log_storage: {module: dagster_project.runs.event_log, class: EventLog}\n"
        "compute_logs: {module: dagster_project.runs.captured_output, class: CapturedOutput}\n"
    )
    with dg.DagsterInstance.get() as made:
        assert isinstance(made.event_log_storage, EventLog)
        yield made


class Broken(dg.ConfigurableResource[Any]):
    def create_resource(self, _: Any) -> Any:
        raise ConfigurationError("shop.yml, line 3: industry: unknown")


def run(
    instance: dg.DagsterInstance, asset: dg.AssetsDefinition, resources: dict[str, Any]
) -> tuple[dg.ExecuteInProcessResult, dict[str, Any]]:
    """Run an asset; return what it came to and the errors that are kept, by kind of event."""
    result = dg.materialize([asset], instance=instance, resources=resources, raise_on_error=False)
    events = [e.get_dagster_event() for e in instance.all_logs(result.run_id) if e.is_dagster_event]
    return result, {
        event.event_type_value: event.event_specific_data.error
        for event in events
        if getattr(event.event_specific_data, "error", None) is not None
    }


def test_a_known_fault_is_its_message_alone(instance: dg.DagsterInstance) -> None:
    @dg.asset
    def orders() -> None:
        try:
            raise KeyError("deep inside")
        except KeyError as error:
            raise GateBlockedError(BLOCKED) from error

    result, kept = run(instance, orders, {})
    assert kept.keys() == {"STEP_FAILURE", "PIPELINE_FAILURE"}
    for error in kept.values():
        assert error.message == f"{BLOCKED}\n"
        assert (list(error.stack), error.cause, error.context) == ([], None, None)
        assert error.cls_name == "GateBlockedError"
    assert instance.get_run_by_id(result.run_id).status == dg.DagsterRunStatus.FAILURE
    # The command line reads the events before they are stored.
    assert (type(failure_of(result)), str(failure_of(result))) == (GateBlockedError, BLOCKED)


def test_a_fault_before_the_first_step_is_too(instance: dg.DagsterInstance) -> None:
    @dg.asset
    def orders(broken: dg.ResourceParam[Any]) -> None: ...

    result, kept = run(instance, orders, {"broken": Broken()})
    assert "STEP_FAILURE" not in kept
    assert len(kept) >= 2
    for error in kept.values():
        assert error.message == "shop.yml, line 3: industry: unknown\n"
        assert (list(error.stack), error.cause) == ([], None)
    assert isinstance(failure_of(result), ConfigurationError)


def test_what_nobody_has_foreseen_keeps_its_stack_and_no_value(
    instance: dg.DagsterInstance,
) -> None:
    @dg.asset
    def orders() -> None:
        raise KeyError("@".join(("jane", "example.org")))

    result, kept = run(instance, orders, {})
    error = kept["STEP_FAILURE"]
    assert error.message == (
        "An error that was not foreseen (KeyError). Run again; if it comes again, give the details "
        "to whoever looks after the program.\n"
    )
    assert error.cause.cause.message == "KeyError\n"
    assert "test_faults.py" in "".join(error.cause.cause.stack)
    assert "jane@" not in error.to_string()
    told = failure_of(result)
    assert type(told) is WinbackError
    assert str(told).startswith("orders failed. An error that was not foreseen (KeyError).")
    assert "test_faults.py" in told.details and "jane@" not in told.details
    stored = (Path(instance.root_directory) / "history").rglob("*.db*")
    assert not [file for file in stored if b"jane@" in file.read_bytes()]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/d/x"), "The disk is full: /d/x could not be wri"),
        (PermissionError(13, "Permission denied", "/d/x"), "This user may not read or write /d/x."),
        (duckdb.IOException('IO Error: Could not write file "/d/x": No space left on device'),
         "The disk is full: /d/x could not be written."),
        (RuntimeError("Query interrupted"), "The run was interrupted; run again."),
    ],
)  # fmt: skip
def test_a_fault_of_the_system_is_told_in_words_and_without_a_stack(
    instance: dg.DagsterInstance, error: BaseException, words: str
) -> None:
    @dg.asset
    def orders() -> None:
        raise error

    result, kept = run(instance, orders, {})
    told = kept["STEP_FAILURE"]
    assert told.message.startswith(words)
    assert (list(told.stack), told.cause) == ([], None)
    failure = failure_of(result)
    if isinstance(failure, KeyboardInterrupt):
        assert "interrupted" in words
    else:
        assert str(failure).startswith(f"orders failed. {words}")
        assert "test_faults.py" in failure.details


def test_what_nobody_has_foreseen_keeps_no_contact(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Neither in Dagster's database nor in the captured output, whatever the error quotes."""
    contacts = ["jane.roe@example.org", "13800138000", "+49 30 1234567"]

    @dg.asset
    def orders(context: dg.AssetExecutionContext) -> None:
        context.log.warning(f"about to read {contacts[0]}")
        try:
            raise ValueError(f"cannot read orders_{contacts[0]}.csv")
        except ValueError as error:
            raise KeyError(f"{contacts[1]} or {contacts[2]}") from error

    result, _ = run(instance, orders, {})
    told = str(failure_of(result))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {".db", ".err"} <= {file.suffix for file in files}
    told += "".join(file.read_bytes().decode(errors="replace") for file in files)
    assert [one for one in contacts if one in told] == []
