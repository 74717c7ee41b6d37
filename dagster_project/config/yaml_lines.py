"""YAML with the line of every key, so that a message can say where a fault stands."""

from collections.abc import Iterator
from typing import Any, ClassVar

import yaml

# A source's file has some hundreds, and eight levels.
MOST_VALUES = 100_000
MOST_LEVELS = 50


class YamlError(Exception):
    """What is wrong with the text of a YAML file, with its line."""


class _Loader(yaml.SafeLoader):
    """Leaves dates as text, so that an impossible one is reported with its key like any value."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, shape) for tag, shape in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_yaml(text: str) -> tuple[Any, dict[tuple, int]]:
    """Return the content of a YAML text and the line of each key path.

    Raises:
        YamlError: the text is no YAML, or a key is repeated or no plain word.
    """
    try:
        _check_depth(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_size(node)
        lines = dict(_key_lines(node, ())) if node else {}
        return yaml.load(text, Loader=_Loader), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else "the file"
        problem = getattr(error, "problem", None) or "not YAML"
        raise YamlError(
            f"{line}: this is no YAML ({problem}). Check the indentation, and put values that "
            "start with * or %, or hold a colon or comma, into quotes."
        ) from error
    except ValueError:
        # Python reads no number of thousands of digits, nor a time zone of a thousand hours.
        raise YamlError(
            "the file: a number or time in it cannot be. Correct it, or put it into quotes."
        ) from None


def _check_depth(text: str) -> None:
    """Refuse what the reader would descend into until Python gives up, after a minute."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_LEVELS:
            line = event.start_mark.line + 1
            raise YamlError(f"line {line}: lists or keys are nested too deep; a source needs few.")


def _check_size(node: yaml.Node | None) -> None:
    """Refuse what would go on for ever: aliases may hold themselves, or each other many times."""
    waiting, count = [node] if node else [], 0
    while waiting:
        one = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise YamlError(
                f"the file: it holds more than {MOST_VALUES:,} values, aliases (*name) counted "
                "each time; write them out, or use fewer."
            )
        if isinstance(one, yaml.MappingNode):
            waiting += [part for pair in one.value for part in pair]
        elif isinstance(one, yaml.SequenceNode):
            waiting += one.value


def _key_lines(node: yaml.Node, path: tuple) -> Iterator[tuple[tuple, int]]:
    """Yield the line of every key; YAML itself lets a repeated key silently win."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise YamlError(f"line {line}: a key is a plain word; correct it.")
            if key.value in seen:
                raise YamlError(
                    f"line {line}: the key {'.'.join([*path, key.value])} is repeated (first on "
                    f"line {seen[key.value]}); keep one of them."
                )
            seen[key.value] = line
            yield (*path, key.value), line
            yield from _key_lines(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, str(index)), item.start_mark.line + 1
            yield from _key_lines(item, (*path, str(index)))


def place_of(where: tuple, lines: dict[tuple, int]) -> str:
    """Return `line 12, tables.transactions.files` for the nearest key that stands in the file."""
    where = _as_written(where, lines)
    known = where
    while known and known not in lines:
        known = known[:-1]
    line = f"line {lines[known]}, " if known else ""
    return f"{line}{'.'.join(where)}" if where else f"{line}the file"


def _as_written(where: tuple, lines: dict[tuple, int]) -> tuple:
    """Drop the position of a value that the file gives alone where a list may stand."""
    written: tuple = ()
    for part in where:
        if not part.isdigit() or written not in lines or (*written, part) in lines:
            written = (*written, part)
    return written
