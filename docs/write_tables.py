"""Write `docs/tables.md` from the models' yml: each published table's question, example and files.

    .venv/bin/python docs/write_tables.py

A table's words stand beside its columns in the yml (`meta`: question, example, decision); the files
are found by the table's name. So nothing here is to be changed when a table is added.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_project.models import dbt_project
from dagster_project.paths import DBT_DIR, EXPECTATIONS_DIR, PROJECT_DIR
from dagster_project.release import state

PAGE = PROJECT_DIR / "docs" / "tables.md"
INDEX = PROJECT_DIR / "DECISIONS.md"
OPENING = """\
# The published tables

In schema `main` of `data/published/<source>/winback.duckdb`; every table and column carries a
comment (`select table_name, comment from duckdb_tables()`), which is its description in the yml
named as its contract. Money stands beside its `currency`. The words are told in
[words.md](words.md).

<!-- Written by docs/write_tables.py from the models' yml: change those and run it again. -->
"""
# The tables that the program appends to a release; no model makes them.
HISTORY = {
    "releases": {
        "question": "Which files is today's release made from?",
        "example": (
            "select release_id, as_of_date, input.file_name, input.row_count\n"
            "from (select *, unnest(inputs) as input from releases) order by published_at desc;\n"
        ),
        "decision": "releases.md#a-release-is-named-by-what-it-is-made-from",
    },
    "gate_results": {
        "question": "What did the gates look at, and how close was it?",
        "example": (
            "select gate, table_name, expectation, observed_value, threshold\n"
            "from gate_results where severity = 'warning' order by release_id, gate, table_name;\n"
        ),
        "decision": "gates.md#the-audit-judges-the-file-that-is-published",
    },
}


@dataclass(frozen=True)
class Entry:
    """What the page says of a table; `files` are labelled lines of links."""

    name: str
    subject: str
    question: str
    description: str
    example: str
    files: tuple[tuple[str, str], ...]


def entries() -> list[Entry]:
    """Return the published tables by subject, in the order of the decisions' index, and name.

    Raises:
        KeyError: a table without question, example or decision in its `meta`.
        ValueError: its subject has no decisions.
    """
    nodes = [
        node
        for node in dbt_project.manifest()["nodes"].values()
        if node["resource_type"] in ("model", "seed") and node["schema"] == "marts"
    ]
    found = [*map(_of_dbt, nodes), *_of_history()]
    subjects = re.findall(r"^## .*decisions/(\w+)\.md", INDEX.read_text(), re.MULTILINE)
    return sorted(found, key=lambda entry: (subjects.index(entry.subject), entry.name))


def page() -> str:
    """Return the text of `docs/tables.md`."""
    listed = entries()
    contents = ["| table | question |", "|---|---|"]
    contents += [f"| [`{entry.name}`](#{entry.name}) | {entry.question} |" for entry in listed]
    parts = [OPENING, "\n".join(contents) + "\n"]
    subject = None
    for entry in listed:
        if entry.subject != subject:
            subject = entry.subject
            # Not the bare subject: its anchor can be that of a table.
            parts.append(f"## About {subject.replace('_', ' ')}\n")
        parts.append(_section(entry))
    return "\n".join(parts)


def _section(entry: Entry) -> str:
    description = textwrap.fill(entry.description, 100, break_on_hyphens=False)
    files = "\n".join(f"- {label}: {links}" for label, links in entry.files)
    return (
        f"### `{entry.name}`\n\n*{entry.question}*\n\n{description}\n\n"
        f"```sql\n{entry.example.strip()}\n```\n\n{files}\n"
    )


def _of_dbt(node: dict[str, Any]) -> Entry:
    name, meta = node["name"], node["meta"]
    missing = {"question", "example", "decision"} - meta.keys()
    if missing:
        raise KeyError(f"{name}: the meta of its yml has no {', '.join(sorted(missing))}")
    sql = DBT_DIR / node["original_file_path"]
    contract = DBT_DIR / node["patch_path"].split("://")[1]
    is_seed = node["resource_type"] == "seed"
    files = [
        ("rows" if is_seed else "SQL", _link(sql)),
        ("columns and data tests" if is_seed else "columns, contract, data tests", _link(contract)),
    ]
    parents = sorted(node["depends_on"].get("nodes", []))
    if parents:
        files.append(("made from", ", ".join(map(_parent, parents))))
    files += [
        ("unit tests", _unit_tests(node)),
        ("gate", _link(EXPECTATIONS_DIR / "release" / f"{name}.json")),
        ("decision", _decision(meta["decision"])),
    ]
    return Entry(
        name=name,
        # A seed is in no subject's folder; the decision behind it is.
        subject=meta["decision"].split(".md")[0] if is_seed else sql.parent.name,
        question=meta["question"],
        description=node["description"],
        example=meta["example"],
        files=tuple(files),
    )


def _of_history() -> Iterator[Entry]:
    for table in state.HISTORY_TABLES:
        words = HISTORY[table.name]
        files = (
            ("made and described in", _link(Path(inspect.getsourcefile(state)))),
            ("tests", _link(PROJECT_DIR / "tests" / "release")),
            ("decision", _decision(words["decision"])),
        )
        subject = words["decision"].split(".md")[0]
        yield Entry(
            table.name, subject, words["question"], table.description, words["example"], files
        )


def _unit_tests(node: dict[str, Any]) -> str:
    """Name the dbt unit tests of a table, or where else it is tested."""
    tests = [
        test
        for test in dbt_project.manifest()["unit_tests"].values()
        if test["model"] == node["name"]
    ]
    if tests:
        names = ", ".join(f"`{test['name']}`" for test in tests)
        files = sorted({test["original_file_path"] for test in tests})
        return f"{', '.join(_link(DBT_DIR / file) for file in files)} ({names})"
    if node["resource_type"] == "seed":
        return "none, a list has no rule"
    return f"none, for Python computes it; see {_link(PROJECT_DIR / 'tests' / 'scores')}"


def _parent(unique_id: str) -> str:
    manifest = dbt_project.manifest()
    if unique_id in manifest["nodes"]:
        node = manifest["nodes"][unique_id]
        return _link(DBT_DIR / node["original_file_path"], node["name"])
    source = manifest["sources"][unique_id]
    # The only tables that models read and Python computes are those of the scores.
    return f"`{source['source_name']}.{source['name']}`, computed by " + _link(
        PROJECT_DIR / "dagster_project" / source["source_name"]
    )


def _decision(anchor: str) -> str:
    file = PAGE.parent / "decisions" / anchor.split("#")[0]
    headings = re.findall(r"^## (.*)", file.read_text(), re.MULTILINE)
    heading = next(one for one in headings if slug(one) == anchor.split("#")[1])
    return f"[{heading}](decisions/{anchor})"


def slug(heading: str) -> str:
    """Return the anchor that a heading of Markdown gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _link(path: Path, text: str | None = None) -> str:
    relative = path.relative_to(PROJECT_DIR).as_posix()
    return f"[{text or relative}](../{relative})"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"Wrote {PAGE.relative_to(PROJECT_DIR)}.")
