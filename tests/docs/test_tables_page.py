"""`docs/tables.md` is what the models' yml says, and every query in the documents has an answer."""

import re
import runpy
from collections.abc import Iterator

import duckdb
import pytest
from support.shop import Outcome

from dagster_project.models import dbt_project
from dagster_project.paths import DBT_DIR, PROJECT_DIR, SourcePaths

DOCS = PROJECT_DIR / "docs"
writer = runpy.run_path(str(DOCS / "write_tables.py"))


@pytest.fixture
def published(
    published_cdnow: tuple[SourcePaths, Outcome],
) -> Iterator[duckdb.DuckDBPyConnection]:
    paths, outcome = published_cdnow
    assert outcome.code == 0, outcome.messages
    with duckdb.connect(str(paths.published_file), read_only=True) as connection:
        yield connection


def test_the_page_is_what_the_models_say() -> None:
    assert (DOCS / "tables.md").read_text() == writer["page"](), (
        "run .venv/bin/python docs/write_tables.py"
    )


def test_every_published_table_has_an_example_with_an_answer(
    published: duckdb.DuckDBPyConnection,
) -> None:
    text = (DOCS / "tables.md").read_text()
    tables = re.findall(r"^### `(\w+)`", text, re.MULTILINE)
    questions = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    listed = published.execute("select table_name from duckdb_tables() where not temporary")
    assert sorted(tables) == sorted(name for (name,) in listed.fetchall())
    for table, question in zip(tables, questions, strict=True):
        assert re.search(rf"\b{table}\b", question), table
        assert published.execute(question).fetchall(), question


def test_the_questions_of_the_other_documents_have_answers(
    published: duckdb.DuckDBPyConnection,
) -> None:
    pages = [PROJECT_DIR / "README.md", *DOCS.rglob("*.md")]
    pages.remove(DOCS / "tables.md")
    questions = [
        question
        for page in pages
        for question in re.findall(r"```sql\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert questions
    for question in questions:
        assert published.execute(question).fetchall(), question


def test_a_table_that_says_nothing_of_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = dbt_project.manifest()
    node = manifest["nodes"]["model.winback.spend_by_tenure"]
    meta = {key: value for key, value in node["meta"].items() if key != "example"}
    mute = manifest | {
        "nodes": manifest["nodes"] | {node["unique_id"]: node | {"meta": meta}},
    }
    monkeypatch.setattr(dbt_project, "manifest", lambda: mute)
    with pytest.raises(KeyError, match=r"spend_by_tenure: .* no example"):
        writer["page"]()


def test_a_stranger_walks_from_a_name_to_its_files() -> None:
    (entry,) = [entry for entry in writer["entries"]() if entry.name == "spend_by_tenure"]
    subject = DBT_DIR / "models" / "marts" / "tenure"
    files = dict(entry.files)
    for label, path in {
        "SQL": subject / "spend_by_tenure.sql",
        "columns, contract, data tests": subject / "_tenure__models.yml",
        "unit tests": subject / "_tenure__unit_tests.yml",
        "gate": PROJECT_DIR / "expectations" / "release" / "spend_by_tenure.json",
    }.items():
        assert path.is_file()
        assert f"(../{path.relative_to(PROJECT_DIR)})" in files[label]
    assert "(decisions/tenure.md#" in files["decision"]
    assert "from spend_by_tenure" in entry.example
