"""The errors a user can meet, each with the exit code that `winback` ends with.

Belongs here: what any error is called when a person reads of it, those of the system and of the
libraries too. The command line, Dagster's event log and every layer take their words from here.
"""

import re
import traceback
from collections.abc import Iterator

from dagster_project.shown import shown


def first_line(text: str) -> str:
    """Return the first line of an error's message; later ones may quote what a row holds."""
    return (text.strip().splitlines() or ["no message"])[0]


def counted(word: str, count: int) -> str:
    """Return a number of things in words: no line, 1 line, 1,200 lines."""
    return f"{count:,} {word}s" if count > 1 else f"{count or 'no'} {word}"


class WinbackError(Exception):
    """The run failed: a file missing or unreadable, an expectation that raised.

    The message is written for the user: it names the file, line or key and the remedy, and holds
    no personal data beyond ids: what looks like a contact is left out, even in a file's name.
    `details` is where in the program an error of the system or of a library came from, for the log.
    """

    exit_code = 1
    details: str | None = None

    def __init__(self, message: str = "") -> None:
        super().__init__(shown(message))


class ConfigurationError(WinbackError):
    """Bad usage or configuration: arguments, YAML, a mapped column that the file has not."""

    exit_code = 2


class GateBlockedError(WinbackError):
    """A gate refused its input; the former release stands."""

    exit_code = 3


# What a person is told of a damaged DuckDB file: it may be all that a step has kept of the error.
DAMAGED_IN_WORDS = "is damaged, or was written by another version of DuckDB"

# How a person is told that there is no room; some libraries do not tell it from a broken disk.
FULL, PERHAPS_FULL = "The disk is full", "or is full."

# What the system and the libraries say, whoever passes it on: Python, DuckDB, SQLite.
# The first that is found in the text of an error counts; `{it}` is the file or folder it names.
SYSTEM_FAULTS: tuple[tuple[str, str, str], ...] = (
    (
        r"No space left on device|Disk quota exceeded|disk is full|max_temp_directory_size"
        r"|Errno 28\b|Errno 122\b",
        f"{FULL}: {{it}} could not be written.",
        "Free space there (`df -h` shows how much there is), then run again.",
    ),
    (
        r"File too large|Errno 27\b",
        "{it} would become larger than this system allows.",
        "Raise the limit of a file's size (`ulimit -f`), or put the data directory on another "
        "disk; then run again.",
    ),
    (
        r"Read-only file system|Errno 30\b",
        "{it} is on a disk that can only be read.",
        "Let the disk be written to, or choose another data directory (--data-dir or "
        "WINBACK_DATA_DIR).",
    ),
    (
        r"Permission denied|Operation not permitted|readonly database|Errno 1\b|Errno 13\b",
        "This user may not read or write {it}.",
        "Give the user that runs winback the right to it (`ls -l` shows owner and rights), or run "
        "as its owner.",
    ),
    (
        r"Too many open files|Errno 23\b|Errno 24\b",
        "Too many files are open to open {it}.",
        "Raise the limit (`ulimit -n 4096`), then run again.",
    ),
    (
        r"Input/output error|Stale file handle|disk I/O error|Errno 5\b|Errno 116\b",
        f"The disk or network drive failed at {{it}}, {PERHAPS_FULL}",
        "Look whether there is space (`df -h`), and after the disk or the connection to the drive; "
        "then run again.",
    ),
    (
        r"No locks available|Errno 37\b",
        "The disk of {it} keeps no locks.",
        "Put the data directory on a local disk (--data-dir or WINBACK_DATA_DIR).",
    ),
    (
        r"File name too long|Errno 36\b",
        "The name of {it} is too long for this disk.",
        "Shorten it, then run again.",
    ),
    (
        r"Is a directory|Errno 21\b",
        "{it} is a folder where a file should be.",
        "Move the folder away, then run again.",
    ),
    (
        r"Not a directory|File exists|Errno 17\b|Errno 20\b",
        "{it} is a file where a folder should be.",
        "Move the file away, then run again.",
    ),
    (
        r"No such file or directory|No files found|Errno 2\b",
        "{it} is missing.",
        "If it was deleted or moved meanwhile, put it back; then run again.",
    ),
    (
        r"Cannot allocate memory|Out of Memory|Errno 12\b",
        "There is not enough memory.",
        "End other programs, or let DuckDB have less at once: WINBACK_DBT_THREADS=1 and a lower "
        "WINBACK_MEMORY_LIMIT, such as 2GB; what needs more goes to the disk. Then run again.",
    ),
    (
        r"Could not set lock on file",
        "{it} is open in another program.",
        "Close it there, then run again.",
    ),
    (
        r"database is locked",
        "Dagster's record of runs is held by another program.",
        "End what else works on this source's dagster/ folder, then run again.",
    ),
    (
        r"unable to open database file|file is not a database|database disk image is malformed",
        "Dagster's record of runs cannot be opened, or is damaged.",
        "Look whether dagster/<source>/history in the data directory can be read and written. If "
        "it is damaged, move it away: runs start a new one, and lose nothing but the list of past "
        "runs.",
    ),
    (
        r"not a valid DuckDB database|Corrupt database|Could not read enough bytes"
        r"|database has been invalidated|older version of DuckDB|newer version of DuckDB",
        f"{{it}} {DAMAGED_IN_WORDS}.",
        "If it is the warehouse, run again: it is made anew from the files, or the run says what "
        "would be lost.",
    ),
)
# So many of the last ones are kept: what recurses has thousands.
FRAMES = 50
# Their texts speak of files, memory and the program, and quote nothing of a row.
SYSTEM_KINDS = frozenset({"MemoryError", "OperationalError", "DatabaseError", "Error"})
CODE_KINDS = frozenset(
    {
        "AssertionError",
        "AttributeError",
        "ImportError",
        "ModuleNotFoundError",
        "NameError",
        "NotImplementedError",
        "RecursionError",
        "TypeError",
        "WinbackError",
        "ConfigurationError",
        "GateBlockedError",
    }
)
# Errors of DuckDB whose first line names files, tables and columns and never a value of a row.
TELLING_ERRORS = re.compile(
    r"(?:Binder|Catalog|Parser|Out of Memory|IO|Dependency|Permission|Internal) Error: .*"
    r"|Corrupt database file: .*"
)


def in_words(kind: str, text: str) -> str | None:
    """Return what an error of the system or a library means and what to do; None if not foreseen.

    Args:
        kind: Name of the error's class.
        text: What it says; may begin with the class, as Dagster keeps it.
    """
    if kind in ("ImportError", "ModuleNotFoundError"):
        return (
            f"A part of the program is missing: {first_line(_bare(kind, text))}. Install it anew: "
            "`pip install -c requirements.lock -e .`"
        )
    if not _is_system(kind):
        return None
    if kind == "MemoryError":
        text = "Cannot allocate memory"
    if kind in ("OperationalError", "DatabaseError"):
        # A statement follows, with its values.
        text = first_line(text)
    for pattern, what, way_out in SYSTEM_FAULTS:
        if re.search(pattern, text):
            told = what.format(it=_place(text) or "a file")
            return f"{told[0].upper()}{told[1:]} {way_out}"
    return None


def tells_of_a_full_disk(message: str) -> bool:
    """Return whether a message for a person says that a disk is full, or may be."""
    return FULL in message or PERHAPS_FULL in message


def without_values(kind: str, text: str) -> str:
    """Return an error's class and, where it cannot quote a row, the first line of what it says."""
    line = first_line(_bare(kind, text))
    if _is_system(kind) or kind in CODE_KINDS or kind.startswith("Dagster"):
        if _is_of_duckdb(kind) and not TELLING_ERRORS.fullmatch(line):
            # DuckDB's own: the kind of error stands before the colon, then perhaps a value.
            line = line.partition(":")[0]
        return f"{kind}: {line[:500]}"
    return kind


def quoting_nothing(text: str) -> str:
    """Return what a library says without what it quotes, which may come from a row."""
    lines = [re.sub(r"'[^']*'|\"[^\"]*\"", "…", line) for line in text.splitlines()]
    # A statement that is shown with its fault holds values, too.
    return "\n".join(line for line in lines if not re.match(r"\s*(LINE \d+:|\^)", line))


def _is_system(kind: str) -> bool:
    return kind in SYSTEM_KINDS or kind in _os_errors() or _is_of_duckdb(kind)


def _is_of_duckdb(kind: str) -> bool:
    # Its classes are called so, and Python's own are not.
    return kind == "Error" or kind.endswith("Exception")


def _os_errors() -> set[str]:
    found = [OSError]
    for one in found:
        found += one.__subclasses__()
    return {one.__name__ for one in found}


def _bare(kind: str, text: str) -> str:
    """Return the text without the class before it: Python's `module.Class: message`."""
    return re.sub(rf"^[\w.]*\b{kind}: ", "", text.strip())


def _place(text: str) -> str | None:
    """Return the file or folder that an error names."""
    # DuckDB may quote an error in an error, with its quotes escaped.
    found = re.search(r"""['"](/[^'"\\\n]+)\\?['"]""", text)
    return found.group(1) if found else None


def read(error: BaseException) -> WinbackError:
    """Return any error as one that a person can read: its words, and its details for the log."""
    if isinstance(error, WinbackError):
        return error
    chain = list(_chain(error))
    told = (in_words(type(one).__name__, str(one)) for one in reversed(chain))
    found = WinbackError(next((words for words in told if words), None) or unforeseen(error))
    found.details = shown(
        "".join(
            f"{''.join(traceback.format_tb(one.__traceback__, limit=-FRAMES))}"
            f"{without_values(type(one).__name__, str(one))}\n\n"
            for one in reversed(chain)
        )
    )
    return found


def unforeseen(error: BaseException | str) -> str:
    """Return what is said of an error that nobody has foreseen; it may be given by its class."""
    kind = error if isinstance(error, str) else type(error).__name__
    return (
        f"An error that was not foreseen ({kind}). Run again; if it comes again, give the details "
        "to whoever looks after the program."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it was raised from, the outermost first."""
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
