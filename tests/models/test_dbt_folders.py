"""A table's name finds its folder, and the folder holds its SQL, contract and unit tests."""

from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from dagster_project.paths import DBT_DIR

LAYERS = ("staging", "intermediate", "marts")
FOLDERS = sorted({path.parent for path in (DBT_DIR / "models").rglob("*.sql")})
# A yml that nobody can survey is one that nobody reads.
LONGEST_YML = 700


def listed(file: Path, kind: str) -> list[dict]:
    return yaml.safe_load(file.read_text())[kind]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_folder_describes_and_tests_its_own_models(folder: Path) -> None:
    models = sorted(path.stem for path in folder.glob("*.sql"))
    described = folder / f"_{folder.name}__models.yml"
    unit_tested = folder / f"_{folder.name}__unit_tests.yml"
    assert sorted(one["name"] for one in listed(described, "models")) == models
    assert {one["model"] for one in listed(unit_tested, "unit_tests")} <= set(models)
    files = {path.name for path in folder.glob("*.yml") if "__sources" not in path.name}
    assert files == {described.name, unit_tested.name}


def test_no_file_of_the_models_is_long() -> None:
    lengths = {
        str(path.relative_to(DBT_DIR)): len(path.read_text().splitlines())
        for path in DBT_DIR.rglob("*")
        if path.suffix in (".sql", ".yml") and "target" not in path.parts
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_YML} == {}


def test_a_subject_has_one_name_in_every_layer() -> None:
    subjects = defaultdict(set)
    for folder in FOLDERS:
        layer, *below = folder.relative_to(DBT_DIR / "models").parts
        subjects[layer] |= set(below)
        assert len(below) == (layer != "staging"), folder
    assert set(subjects) == set(LAYERS)
    assert subjects["marts"] <= subjects["intermediate"]
    macros = {path.stem for path in (DBT_DIR / "macros").glob("*.sql")}
    of_the_project = {"generate_schema_name", "versions_of", "refuse_without_source"}
    assert macros - of_the_project <= subjects["intermediate"]
