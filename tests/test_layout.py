"""The tree keeps its order: who imports whom, how long a file is, and what a folder says of itself.

A folder imports only from folders below it, whatever the kind of import: at the top, inside a
function, for types only or by name. Folders of one floor do not know each other, and the modules of
a folder form no circle.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dagster_project.paths import DBT_DIR, PROJECT_DIR

PACKAGE = PROJECT_DIR / "dagster_project"
# From top to bottom; modules beside the folders stand for themselves.
FLOORS = (
    ("cli",),
    ("definitions",),
    ("defs",),
    ("privacy", "simulation", "models"),
    ("release", "runs"),
    ("report", "campaigns"),
    ("gates", "notices"),
    ("scores",),
    ("loading",),
    ("config",),
    ("foundation",),
)
# The ground floor: modules that may import each other, though not in a circle.
FOUNDATION = {
    "access",
    "errors",
    "files",
    "interruption",
    "paths",
    "shown",
    "standing",
    "warehouse",
}

MODULE_LINES = 400
YML_LINES = 1_000
LONG_BECAUSE = "Long because"
BELONGS_HERE = "Belongs here"
# Folders of tests that mirror no folder of the package.
OTHER_TESTS = {"support", "whole", "benchmarks", "docs"}


def import_faults(package: Path) -> list[str]:
    """Return in words every import that breaks the order of a package's folders."""
    modules = modules_of(package)
    imports = {name: set(imported(name, path, modules)) for name, path in modules.items()}
    floors = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}
    faults = [
        f"{folder} has no floor: give it one in FLOORS"
        for folder in sorted({folder_of(name) for name in modules} - floors.keys())
    ]
    for name, targets in imports.items():
        for target in sorted(targets):
            one, other = folder_of(name), folder_of(target)
            if target not in modules:
                faults.append(f"{name} imports {target}, which is not there")
            elif one == other or not {one, other} <= floors.keys():
                continue
            elif floors[one] == floors[other]:
                faults.append(f"{name} imports {target}, though neither is above the other")
            elif floors[one] > floors[other]:
                faults.append(f"{name} imports {target}, though {one} is below {other}")
    return faults + [f"{' imports '.join(circle)}: a circle" for circle in circles(imports)]


def modules_of(package: Path) -> dict[str, Path]:
    """Return the files of a package's modules by their full names."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def folder_of(name: str) -> str:
    """Return the folder of a module, or the module itself if it stands beside the folders."""
    _, _, inside = name.partition(".")
    folder = inside.split(".")[0]
    return "foundation" if folder in FOUNDATION or not folder else folder


def imported(name: str, path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a module imports, wherever in its text."""
    package = name.split(".")[0]
    inside = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            # What is imported is a module, or stands in one.
            wholes = (f"{source}.{alias.name}" for alias in node.names)
            targets = [whole if whole in modules else source for whole in wholes]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            first = node.args[0] if node.args else None
            targets = [first.value] if isinstance(first, ast.Constant) else []
        else:
            continue
        yield from (target for target in targets if target.split(".")[0] == package)


def circles(imports: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Yield a path of imports for each circle between modules of a folder, once."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
        elif name not in done:
            for target in sorted(imports.get(name, ())):
                if folder_of(target) == folder_of(name):
                    yield from walk(target, [*path, name])
            done.add(name)

    for name in imports:
        yield from walk(name, [])


def too_long(path: Path) -> bool:
    """Return whether a module is long without saying why in its docstring."""
    text = path.read_text(encoding="utf-8")
    reason = ast.get_docstring(ast.parse(text)) or ""
    return len(text.splitlines()) > MODULE_LINES and LONG_BECAUSE not in reason


def test_folders_import_only_what_is_below_them() -> None:
    faults = import_faults(PACKAGE)
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        ({"cli/run.py": "from dagster_project.config import sources\nimport dagster_project"}, []),
        ({"warehouse.py": "from dagster_project.errors import WinbackError"}, []),
        ({"gates/suites.py": "from dagster_project.gates.outcomes import Outcome"}, []),
        (
            {"config/churn.py": "from dagster_project.gates import suites"},
            ["config.churn imports gates.suites, though config is below gates"],
        ),
        (
            {"config/churn.py": "import dagster_project.gates.suites as judge"},
            ["config.churn imports gates.suites, though config is below gates"],
        ),
        (
            {"config/churn.py": "def late():\n    from dagster_project.gates import suites"},
            ["config.churn imports gates.suites, though config is below gates"],
        ),
        (
            {"config/churn.py": "if TYPE_CHECKING:\n    from ..gates.suites import validate"},
            ["config.churn imports gates.suites, though config is below gates"],
        ),
        (
            {"config/churn.py": "importlib.import_module('dagster_project.gates.suites')"},
            ["config.churn imports gates.suites, though config is below gates"],
        ),
        (
            {"config/deep/__init__.py": "from ...gates import suites"},
            ["config.deep imports gates.suites, though config is below gates"],
        ),
        (
            {"errors.py": "from dagster_project.config.source import Source"},
            ["errors imports config.source, though foundation is below config"],
        ),
        (
            {"__init__.py": "from dagster_project.config.source import Source"},
            [" imports config.source, though foundation is below config"],
        ),
        (
            {
                "release/publish.py": "from dagster_project.runs import locking",
                "runs/locking.py": "",
            },
            ["release.publish imports runs.locking, though neither is above the other"],
        ),
        (
            {"gates/outcomes.py": "def late():\n    from dagster_project.gates import suites",
             "gates/suites.py": "from dagster_project.gates.outcomes import Outcome"},
            ["gates.outcomes imports gates.suites imports gates.outcomes: a circle"],
        ),
        (
            {"gates/outcomes.py": "from . import suites",
             "gates/suites.py": "from . import docs",
             "gates/docs.py": "from . import outcomes"},
            ["gates.docs imports gates.outcomes imports gates.suites imports gates.docs: a circle"],
        ),
        (
            {"errors.py": "from dagster_project import warehouse",
             "warehouse.py": "from dagster_project import errors"},
            ["errors imports warehouse imports errors: a circle"],
        ),
        ({"cellar/box.py": ""}, ["cellar has no floor: give it one in FLOORS"]),
        (
            {"cli/run.py": "def late():\n    from dagster_project.gates.verdict import one"},
            ["cli.run imports gates.verdict, which is not there"],
        ),
    ],
)  # fmt: skip
def test_faulty_imports_are_found(files: dict[str, str], faults: list[str], tmp_path: Path) -> None:
    empty = ("config/source.py", "gates/suites.py", "gates/outcomes.py", "errors.py")
    for name, text in (dict.fromkeys(empty, "") | files).items():
        file = tmp_path / "dagster_project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for folder in (tmp_path / "dagster_project").rglob("*/"):
        (folder / "__init__.py").touch()
    (tmp_path / "dagster_project" / "__init__.py").touch()
    found = import_faults(tmp_path / "dagster_project")
    assert [
        fault.replace("dagster_project.", "").removeprefix("dagster_project") for fault in found
    ] == faults


def test_long_modules_say_why() -> None:
    folders = (PACKAGE, PROJECT_DIR / "tests", PROJECT_DIR / "benchmarks")
    silent = [
        str(path.relative_to(PROJECT_DIR))
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if too_long(path)
    ]
    assert not silent, (
        f"over {MODULE_LINES} lines: split them, or give the reason in a sentence of the opening "
        f'docstring that starts with "{LONG_BECAUSE}": ' + ", ".join(silent)
    )


@pytest.mark.parametrize(
    ("line_count", "reason", "is_too_long"),
    [(400, "", False), (401, "", True), (401, "Long because it lists everything.", False)],
)
def test_a_reason_excuses_length(
    line_count: int, reason: str, is_too_long: bool, tmp_path: Path
) -> None:
    module = tmp_path / "module.py"
    module.write_text("\n".join([f'"""A module. {reason}"""', *["# Line."] * (line_count - 1)]))
    assert too_long(module) == is_too_long


def test_long_ymls_say_why() -> None:
    silent = [
        str(path.relative_to(PROJECT_DIR))
        for folder in ("models", "seeds", "macros", "tests")
        for path in sorted((DBT_DIR / folder).rglob("*.yml"))
        if len(path.read_text().splitlines()) > YML_LINES
        and LONG_BECAUSE not in path.read_text().splitlines()[0]
    ]
    assert not silent, (
        f"over {YML_LINES} lines: split them, or begin them with a comment that starts with "
        f'"{LONG_BECAUSE}": ' + ", ".join(silent)
    )


def test_folders_say_what_belongs_in_them() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    silent = []
    for folder in sorted(folders):
        file = folder / "__init__.py"
        words = ast.get_docstring(ast.parse(file.read_text())) if file.exists() else None
        if BELONGS_HERE not in (words or ""):
            silent.append(folder.relative_to(PROJECT_DIR).as_posix())
    assert not silent, f'"{BELONGS_HERE}" is missing in __init__.py of ' + ", ".join(silent)


def test_tests_mirror_the_package() -> None:
    tests = PROJECT_DIR / "tests"
    folders = {path.parent.relative_to(tests).parts[0] for path in tests.rglob("*/*.py")}
    of_package = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert folders - OTHER_TESTS <= of_package
    # Without packages around them, pytest tells test files apart by their names alone.
    names = Counter(path.name for path in tests.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
