"""The errors a user can meet, each with the exit code that `winback` ends with."""

from dagster_project.shown import shown


def first_line(text: str) -> str:
    """Return the first line of an error's message; later ones may quote what a row holds."""
    return (text.strip().splitlines() or ["no message"])[0]


class WinbackError(Exception):
    """The run failed: a file missing or unreadable, an expectation that raised.

    The message is written for the user: it names the file, line or key and the mend, and holds
    no personal data beyond ids. What looks like a contact is left out, even in a file's name.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(shown(message))


class ConfigurationError(WinbackError):
    """Bad usage or configuration: arguments, YAML, a mapped column that the file has not."""

    exit_code = 2


class GateBlockedError(WinbackError):
    """A gate refused its input; the former release stands."""

    exit_code = 3
