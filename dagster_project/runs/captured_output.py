"""What Dagster captures of a run's output: kept without what looks like a contact.

Dagster prints whatever an error says, with its stack, before the event log has a say in it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from dagster_project.files import write_text
from dagster_project.shown import shown


class CapturedOutput(LocalComputeLogManager):
    """Dagster's own files of captured output, read over when the capture ends."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return no settings: the files lie where Dagster keeps them by default."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "CapturedOutput":
        """Return the files of the instance in `DAGSTER_HOME`."""
        folder = Path(os.environ["DAGSTER_HOME"]) / "storage"
        return cls(str(folder), inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[Any]:
        """Capture what the process prints meanwhile."""
        try:
            with super().capture_logs(log_key) as context:
                yield context
        finally:
            for kind in ("out", "err"):
                file = Path(self.get_captured_local_path(log_key, kind))
                if file.is_file():
                    text = file.read_text(encoding="utf-8", errors="replace")
                    if (told := shown(text)) != text:
                        write_text(file, told)
