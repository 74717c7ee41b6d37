"""The template of a source's file explains everything that a file may hold."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel
from support.small_source import GOOD, read

from dagster_project.config import churn, churn_presets, tiers
from dagster_project.config.source import Limits, Settings, Source, read_source, source_files
from dagster_project.config.tables import (
    ExclusionRule,
    FromConstant,
    FromLookup,
    FromSql,
    Input,
    LineTypeRule,
    Lookup,
    TableSource,
)
from dagster_project.paths import PROJECT_DIR

TEMPLATE = PROJECT_DIR / "data" / "sources" / "template.yml"


def other_methods_of_template() -> list[dict[str, object]]:
    """The definitions that the template shows in comments, as only one can be in use."""
    text = TEMPLATE.read_text(encoding="utf-8")
    _, shown = text.split("# The other methods, with what each needs:\n")
    return yaml.safe_load("".join(re.findall(r"^#(   .*\n)", shown, flags=re.MULTILINE)))


def model_keys(model: type[BaseModel]) -> Iterator[str]:
    yield from (name for name in model.model_fields if name not in ("name", "path"))


@pytest.mark.parametrize(
    "model",
    [
        Source,
        Settings,
        Limits,
        churn.DeclaredDefinition,
        TableSource,
        Lookup,
        Input,
        LineTypeRule,
        ExclusionRule,
        FromConstant,
        FromSql,
        FromLookup,
    ],
)
def test_template_explains_every_key(model: type[BaseModel]) -> None:
    def keys(node: object) -> set[str]:
        if isinstance(node, dict):
            return set(node) | {key for value in node.values() for key in keys(value)}
        return {k for one in node for k in keys(one)} if isinstance(node, list) else set()

    used = keys(yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")))
    used |= keys(other_methods_of_template())
    assert set(model_keys(model)) - used == set()


def test_template_is_valid_and_no_source_of_its_own(tmp_path: Path) -> None:
    assert read_source(TEMPLATE).currency == "EUR"
    assert "template" not in source_files(tmp_path)


def test_template_shows_every_method(tmp_path: Path) -> None:
    *others, by_amounts = other_methods_of_template()
    assert [one["method"] for one in others] == ["cadence", "survival", "gap_percentile", "season"]
    text = yaml.safe_dump(
        {
            "churn_definition": [{"method": "fixed"}, *others],
            "value_tiers": [{"method": "share"}, by_amounts],
        }
    )
    source = read(tmp_path, GOOD + text)
    assert {one.method for one in source.value_tiers} == set(get_args(tiers.Method))
    versions = source.churn_definitions
    assert {one.method for one in versions} == set(get_args(churn.Method))
    for name, default in (
        ("gap_multiple", churn_presets.DEFAULT_GAP_MULTIPLE),
        ("quantile", churn_presets.DEFAULT_QUANTILE),
    ):
        assert {getattr(one, name) for one in versions} == {default}


def test_template_names_every_industry_beside_its_days() -> None:
    text = " ".join(TEMPLATE.read_text(encoding="utf-8").replace("#", " ").split())
    for industry, (*_, preset) in churn_presets.presets().items():
        assert re.search(rf"\b{industry}\b", text)
        if preset.method == "fixed":
            assert re.search(rf"\b{preset.lost_days}\b", text)


def test_template_names_every_default() -> None:
    source = read_source(TEMPLATE)
    assert source.settings == Settings()
    assert tiers.variables(source.value_tiers) == tiers.variables(())
    assert source.limits == Limits()


def test_committed_sources_are_valid() -> None:
    names = list(TEMPLATE.parent.glob("*.yml"))
    assert len(names) >= 5
    for path in names:
        read_source(path)
