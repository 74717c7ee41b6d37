"""`python -m benchmarks.compare_manifests BEFORE AFTER`: what differs between two dbt manifests.

Models, tests, seeds, unit tests, sources and macros are compared by their names with all that dbt
knows of them, checksums included, but for where their files lie (`PLACES`) and when they were
parsed: a project whose files only moved has the same manifest. Exit codes: 0 the same, 1 not,
2 bad usage.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KINDS = ("nodes", "unit_tests", "sources", "macros", "docs", "exposures")
PLACES = {
    "path",
    "original_file_path",
    "patch_path",
    "root_path",
    "fqn",
    "build_path",
    "compiled_path",
    "created_at",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare as the command line says, print what differs and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare_manifests",
        description="Says what differs between two dbt manifests, wherever the files lie.",
    )
    parser.add_argument("before", type=Path, metavar="BEFORE.json")
    parser.add_argument("after", type=Path, metavar="AFTER.json")
    parsed = parser.parse_args(arguments)
    manifests = []
    for file in (parsed.before, parsed.after):
        try:
            manifests.append(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            print(f"{file} cannot be read as a manifest: {error}", file=sys.stderr)
            return 2
    before, after = manifests
    is_same = True
    for kind in KINDS:
        old, new = before.get(kind, {}), after.get(kind, {})
        lines = differences(old, new)
        is_same = is_same and not lines
        print(f"{kind}: {len(old):,} before, {len(new):,} after, {len(lines):,} differences")
        print("".join(f"- {line}\n" for line in lines), end="")
    return int(not is_same)


def differences(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return in words what differs between two manifests' entries of a kind, by `unique_id`."""
    lines = [f"{name}: only before" for name in sorted(before.keys() - after.keys())]
    lines += [f"{name}: only after" for name in sorted(after.keys() - before.keys())]
    for name in sorted(before.keys() & after.keys()):
        old, new = _without_places(before[name]), _without_places(after[name])
        fields = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        if fields:
            lines.append(f"{name}: {', '.join(fields)}")
    return lines


def _without_places(entry: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in entry.items() if key not in PLACES}
    if "depends_on" in kept:
        # In the order in which the files were read.
        kept["depends_on"] = {kind: sorted(names) for kind, names in kept["depends_on"].items()}
    return kept


if __name__ == "__main__":
    sys.exit(main())
