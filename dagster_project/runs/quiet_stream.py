"""A stream that keeps some of its lines to itself.

Alone in its file: whoever logs while it stands in for `sys.stderr` keeps it to the end of the
process, and with it all that its module has imported, so that libraries would complain at exit of
what nobody had closed.
"""

from typing import Any, TextIO


class QuietStream:
    """A stream without the lines that begin with a text."""

    def __init__(self, stream: TextIO, beginning: str) -> None:
        self._stream = stream
        self._beginning = beginning

    def write(self, text: str) -> int:
        """Write a text, or say so."""
        return len(text) if text.startswith(self._beginning) else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
