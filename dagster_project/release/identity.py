"""What a release is made from: named inputs, settings, as-of date, code.

Belongs here: whatever decides the content of a release. The same identity always gives the same
release, so an unchanged run builds nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

import duckdb

from dagster_project.config.source import Source
from dagster_project.paths import DBT_DIR, EXPECTATIONS_DIR, PROJECT_DIR

RAW = "raw"

# Of dbt's folder: what it only judges and connects with. It computes no table.
_DBT_BUT_MODELS = ("profiles.yml", "tests")
# Of dbt's folder: what dbt itself writes there.
_WRITTEN_BY_DBT = ("logs", "target")
_CACHES = ("__pycache__",)
_LEFTOVERS = ("~", ".pyc", ".swo", ".swp")


@dataclass(frozen=True)
class NamedInput:
    """One of the things a release is made from, such as `raw`, with a hash of its content."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class CodeVersion:
    """Version of the package, and hashes of the program's and of the models' files.

    The two are apart because only the models compute what a build keeps from the one before:
    `int_customer_days`, the one incremental table. Another program need not force it to be
    computed anew. What Python gives to the models is variables, and the only one that enters
    those days (`margin_rate`) is part of each day's revision in `int_day_revisions`; what Python
    loads into raw has `LOADER_VERSION`, part of each file's load key, and a file that is read
    anew renews the revision of its days. Everything else is computed in every build.
    """

    package: str
    program: str
    models: str

    @property
    def text(self) -> str:
        """Both in one string, as manifests and the table `releases` show it."""
        both = hashlib.sha256(f"{self.program}\n{self.models}".encode())
        return f"{self.package}+{both.hexdigest()[:10]}"


@dataclass(frozen=True)
class ReleaseIdentity:
    """What a release is made from; the same identity always gives the same release.

    The order in which inputs are given is none of their content: they are kept by name.

    Raises:
        ValueError: Two inputs have the same name.
    """

    source: str
    as_of: date
    inputs: tuple[NamedInput, ...]
    settings_fingerprint: str
    code: CodeVersion

    def __post_init__(self) -> None:
        inputs = sorted(self.inputs, key=lambda one: one.name)
        names = [one.name for one in inputs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"a release has one input of a name; twice: {', '.join(twice)}")
        object.__setattr__(self, "inputs", tuple(inputs))

    @property
    def raw_fingerprint(self) -> str:
        """Fingerprint of the raw data, which the raw gate has judged."""
        return {one.name: one.fingerprint for one in self.inputs}[RAW]

    @property
    def input_fingerprint(self) -> str:
        """Hash of all inputs, with their names."""
        parts = [f"{one.name} {one.fingerprint}" for one in self.inputs]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the content."""
        parts = (
            self.input_fingerprint,
            self.settings_fingerprint,
            self.as_of.isoformat(),
            self.code.package,
            self.code.program,
            self.code.models,
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def release_id(self) -> str:
        """As-of date and the start of the fingerprint."""
        return f"{self.as_of.isoformat()}-{self.fingerprint[:10]}"


def release_identity(
    source: Source, as_of: date, code: CodeVersion, inputs: Sequence[NamedInput]
) -> ReleaseIdentity:
    """Return what a release built now would be made from.

    Args:
        source: The source as the run read it.
        as_of: As-of date of the run.
        code: Version of the code that the run was started with.
        inputs: Everything that any step reads beside the settings, in any order.

    Raises:
        ValueError: Two inputs have the same name.
    """
    return ReleaseIdentity(
        source=source.name,
        as_of=as_of,
        inputs=tuple(inputs),
        settings_fingerprint=source.settings_fingerprint(),
        code=code,
    )


def raw_input(connection: duckdb.DuckDBPyConnection) -> NamedInput:
    """Return the input that raw is: the files' contents and mappings, and the days of each.

    Independent of when and in how many loads it came in.
    """
    rows = connection.execute(
        """
        select concat_ws('|', table_name, source_file, load_key, row_count)
        from raw.loads
        union all
        select concat_ws('|', source_file, ordered_on, row_count, amount, used_amount)
        from raw.load_days
        order by all
        """
    ).fetchall()
    return NamedInput(RAW, hashlib.sha256("\n".join(row for (row,) in rows).encode()).hexdigest())


def all_inputs(connection: duckdb.DuckDBPyConnection) -> list[NamedInput]:
    """Return everything that a release built from a warehouse now would be made from."""
    return [raw_input(connection)]


def code_version(project: Path = PROJECT_DIR) -> CodeVersion:
    """Return the version of all files the program reads of itself, uncommitted edits included.

    The configuration of sources is not among them: what of it counts is in the settings'
    fingerprint.

    Args:
        project: Folder of the project.
    """
    in_dbt = [
        path for path in (project / DBT_DIR.name).iterdir() if path.name not in _WRITTEN_BY_DBT
    ]
    models = [path for path in in_dbt if path.name not in _DBT_BUT_MODELS]
    program = [path for path in in_dbt if path.name in _DBT_BUT_MODELS]
    program += [project / "dagster_project", project / EXPECTATIONS_DIR.name]
    program += [project / "dagster.yaml"]
    return CodeVersion(
        metadata.version("winback"), _content_hash(program, project), _content_hash(models, project)
    )


def _content_hash(roots: Iterable[Path], project: Path) -> str:
    """Return a hash of the names and contents of files and of all files below folders."""
    digest = hashlib.sha256()
    for file in sorted(file for root in roots for file in _files(root)):
        content_hash = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(project).as_posix()} {content_hash}\n".encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """Give all files but what Python and editors leave."""
    if path.name.startswith((".", "#")) or path.name in _CACHES or path.name.endswith(_LEFTOVERS):
        return
    if path.is_dir():
        for below in path.iterdir():
            yield from _files(below)
    elif path.is_file():
        yield path
