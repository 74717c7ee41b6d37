"""The documents: every relative link and anchor leads somewhere, and indexes are complete."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

from dagster_project.paths import PROJECT_DIR

DOCS = PROJECT_DIR / "docs"
PAGES = [
    *(PROJECT_DIR / name for name in ("README.md", "CONTRIBUTING.md", "DECISIONS.md")),
    PROJECT_DIR / "benchmarks" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
slug = runpy.run_path(str(DOCS / "write_tables.py"))["slug"]


def prose(page: Path) -> str:
    """The text of a page without its blocks of code, whose `#` is no heading."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)", prose(page), re.MULTILINE)
    return {slug(re.sub(r"\[(.*)\]\(.*\)", r"\1", heading)) for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    """The relative links of a text that lead nowhere from the page it stands on."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_DIR)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page, prose(page)) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = PROJECT_DIR / "README.md"
    text = "[a](docs/churn.md#no-such-heading) [b](docs/none.md) [c](docs/churn.md#which-one-fits)"
    assert broken(page, text) == ["docs/churn.md#no-such-heading", "docs/none.md"]


def test_headings_of_a_page_have_anchors_of_their_own() -> None:
    for page in PAGES:
        headings = re.findall(r"^#+ .*", prose(page), re.MULTILINE)
        assert len(headings) == len(anchors(page)), page


def test_the_index_lists_every_decision() -> None:
    index = re.findall(r"\]\(([^)]+)\)", (PROJECT_DIR / "DECISIONS.md").read_text())
    there = []
    for page in (DOCS / "decisions").glob("*.md"):
        path = page.relative_to(PROJECT_DIR).as_posix()
        headings = re.findall(r"^## (.*)", page.read_text(), re.MULTILINE)
        there += [path, *(f"{path}#{slug(heading)}" for heading in headings)]
    assert sorted(index) == sorted(there)


def test_every_document_is_found_from_the_readme() -> None:
    reached, waiting = set(), [PROJECT_DIR / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+)", prose(page))
        waiting += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert [page for page in PAGES if page not in reached] == []


def test_every_key_of_a_source_is_named() -> None:
    template = yaml.safe_load((PROJECT_DIR / "data" / "sources" / "template.yml").read_text())
    text = (DOCS / "sources.md").read_text()
    assert [key for key in template if f"`{key}`" not in text] == []
