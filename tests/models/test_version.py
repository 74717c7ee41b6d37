"""Only another version of the models forces what is kept to be computed anew."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from dagster_project.models.version import models_have_changed, note_models
from dagster_project.paths import SourcePaths
from dagster_project.release.identity import CodeVersion

CODE = CodeVersion("0.1.0", "py", "sql")


@pytest.fixture
def paths(tmp_path: Path) -> SourcePaths:
    return SourcePaths(tmp_path, "shop")


def test_another_program_keeps_what_was_computed_and_other_models_do_not(paths):
    assert models_have_changed(paths, CODE)
    # Asking is not building.
    assert models_have_changed(paths, CODE)
    note_models(paths, CODE)
    assert not models_have_changed(paths, CODE)
    assert not models_have_changed(paths, replace(CODE, program="other", package="0.2.0"))
    assert models_have_changed(paths, replace(CODE, models="other"))
    note_models(paths, replace(CODE, models="other"))
    assert models_have_changed(paths, CODE)


def test_a_warehouse_of_an_older_program_is_computed_anew_once(paths):
    paths.warehouse_dir.mkdir(parents=True)
    with duckdb.connect(str(paths.warehouse)) as connection:
        connection.execute("create schema audit")
        connection.execute("create table audit.models as select '0.1.0+abc' as code_version")
    assert models_have_changed(paths, CODE)
    note_models(paths, CODE)
    assert not models_have_changed(paths, CODE)
