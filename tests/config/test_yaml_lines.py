"""YAML that cannot be read, and keys that stand in it twice."""

from pathlib import Path

import pytest
from support.small_source import GOOD, changed, check_fault

from dagster_project.config.yaml_lines import YamlError, read_yaml

# id, text of the file, place, parts of the message
FAULTS = [
    ("repeated key", GOOD + "currency: EUR\n", "line 16", ["currency is repeated", "line 6"]),
    ("repeated column", GOOD + "      amount: other\n",
     "line 16", ["tables.transactions.columns.amount is repeated", "line 15"]),
    ("no YAML", GOOD + "  - x\n", "line 16", ["no YAML", "indentation"]),
    ("unquoted pattern", changed("orders.csv", "*.csv"), "line 11", ["into quotes"]),
    ("unquoted format", changed("    files:", "    date_format: %Y\n    files:"),
     "line 11", ["into quotes"]),
    ("key that is no word", GOOD + "[a]: 1\n", "line 16", ["a plain word"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "parts"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_faulty_yaml(text: str, place: str, parts: list[str], tmp_path: Path) -> None:
    check_fault(tmp_path, text, place, parts)


# Nine lists of nine of the one before: four hundred million values.
BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]" for n in range(9))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: !!python/object/apply:os.getcwd []", "line 1: this is no YAML (could not determine a"),
        ("a: &b [*b]", "the file: it holds more than 100,000 values"),
        (BOMB, "the file: it holds more than 100,000 values"),
        (f"a: {'9' * 5000}", "the file: a number or time in it cannot be."),
        (f"a: {'[' * 3000}", "line 1: lists or keys are nested too deep"),
    ],
    ids=["tag", "itself", "one another", "digits", "depth"],
)
def test_what_no_source_holds_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(YamlError) as raised:
        read_yaml(text)
    assert str(raised.value).startswith(problem)
