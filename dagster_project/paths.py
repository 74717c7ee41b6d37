"""Where everything of a source lies on disk; the only module that knows the folder layout."""

import os
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from dagster_project.errors import ConfigurationError

PROJECT_DIR = Path(__file__).resolve().parents[1]
DBT_DIR = PROJECT_DIR / "dbt"
EXPECTATIONS_DIR = PROJECT_DIR / "expectations"
DEFAULT_SOURCE = "completejourney"
# Set for the processes of `winback daemon`: schedule and sensor are on unless a person turned them
# off.
UNATTENDED = "WINBACK_UNATTENDED"


def setting(name: str, default: str) -> str:
    """Return an environment variable, else its value in the project's `.env`, else a default.

    Raises:
        ConfigurationError: `.env` is no text.
    """
    try:
        return os.environ.get(name) or dotenv_values(PROJECT_DIR / ".env").get(name) or default
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{PROJECT_DIR / '.env'}: not UTF-8 text; save it so.") from error


def expanded(path: Path) -> Path:
    """Return a path whose `~` is the home folder of its user.

    Raises:
        ConfigurationError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigurationError(
            f"{path}: nobody here has the name after `~`; write the folder itself."
        ) from error


def default_data_dir() -> Path:
    """Return `WINBACK_DATA_DIR`, by default the project's own `data/`."""
    return expanded(Path(setting("WINBACK_DATA_DIR", str(PROJECT_DIR / "data")))).resolve()


@dataclass(frozen=True)
class SourcePaths:
    """The folders and files of one source below one data directory."""

    data_dir: Path
    source: str

    @property
    def landing(self) -> Path:
        """Folder in which the source's files arrive."""
        return self.data_dir / "landing" / self.source

    @property
    def simulated_truth(self) -> Path:
        """File of what is true of a simulated business; no run reads it."""
        return self.data_dir / "simulated_truth" / f"{self.source}.parquet"

    @property
    def warehouse_dir(self) -> Path:
        """Folder of the warehouse, its spill files and the lock of the source."""
        return self.data_dir / "warehouse" / self.source

    @property
    def warehouse(self) -> Path:
        """DuckDB file with raw, staging, intermediate, marts and audit; can be rebuilt."""
        return self.warehouse_dir / "warehouse.duckdb"

    @property
    def spill(self) -> Path:
        """Folder into which DuckDB spills what does not fit into memory."""
        return self.warehouse_dir / "spill"

    @property
    def reserve(self) -> Path:
        """File of nothing that is deleted when the disk is full."""
        return self.warehouse_dir / "reserve"

    @property
    def doubt(self) -> Path:
        """Mark that a part of the warehouse could not be read: the next run looks at all of it."""
        return self.warehouse_dir / "damaged"

    @property
    def lock(self) -> Path:
        """File whose lock is held by the one run that works on the source."""
        return self.warehouse_dir / "run.lock"

    @property
    def alive(self) -> Path:
        """Folder of one locked file per living run, waiting ones included."""
        return self.warehouse_dir / "alive"

    @property
    def state(self) -> Path:
        """DuckDB file of what a rebuild must not lose or change; append-only."""
        return self.data_dir / "state" / self.source / "state.duckdb"

    @property
    def former_state(self) -> Path:
        """The state as it was before it was last written."""
        return self.data_dir / "state" / self.source / "state.former.duckdb"

    @property
    def pseudonym_key(self) -> Path:
        """Secret key of the source's pseudonyms; losing it changes them all."""
        return self.data_dir / "state" / self.source / "pseudonym.key"

    @property
    def notices(self) -> Path:
        """What a person has been told of this source, so that nothing is told twice."""
        return self.data_dir / "state" / self.source / "notices.json"

    @property
    def published(self) -> Path:
        """Folder that readers open: fixed links and the kept releases."""
        return self.data_dir / "published" / self.source

    @property
    def releases(self) -> Path:
        """Folder of the kept releases, one folder each."""
        return self.published / "releases"

    @property
    def damaged(self) -> Path:
        """Folder of what was found damaged and taken out of the releases."""
        return self.published / "damaged"

    @property
    def candidate(self) -> Path:
        """Folder in which the next release is built and audited."""
        return self.published / "candidate"

    @property
    def current(self) -> Path:
        """Relative symbolic link to the current release; switching it is the publication."""
        return self.published / "current"

    @property
    def published_file(self) -> Path:
        """The file analysts open: a fixed link into the current release."""
        return self.published / "winback.duckdb"

    def release_file(self, release_id: str) -> Path:
        """Return the DuckDB file of a kept release."""
        return self.releases / release_id / "winback.duckdb"

    @property
    def blocked(self) -> Path:
        """Folder of the verdicts and data docs of blocked runs, one folder a run."""
        return self.data_dir / "blocked" / self.source

    @property
    def logs(self) -> Path:
        """Folder of what is kept of failures for whoever looks after the program, a file each."""
        return self.data_dir / "logs" / self.source

    @property
    def dagster_home(self) -> Path:
        """The source's own Dagster instance: another source's days never show as loaded here."""
        return self.data_dir / "dagster" / self.source

    @property
    def private(self) -> tuple[Path, ...]:
        """The source's folders that are for nobody but their owner."""
        return self.warehouse_dir, self.state.parent, self.blocked, self.dagster_home

    @property
    def operator(self) -> Path:
        """File whose lock is held by the one UI or daemon of the source; says which it is."""
        return self.dagster_home / "operator.lock"
