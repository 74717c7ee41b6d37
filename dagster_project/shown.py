"""What people are shown of a text that may hold a person's address: all but the address.

Belongs here: the shapes of contacts as patterns, and what takes their place in a message, a verdict
or a log. Which ids and published texts are contacts is decided in `loading.contacts`.
"""

import re
from typing import Any

# What stands in the place of a contact.
LEFT_OUT = "…"
# Ids are in their normal form, which has no full-width characters; other text may have them.
FULL_WIDTH = "".join(map(chr, range(0xFF01, 0xFF5F)))
HALF_WIDTH = "".join(map(chr, range(0x21, 0x7F)))
_BETWEEN = "[ ()./-]"


def _more(count: int) -> str:
    """Return the pattern of at least that many digits, with or without separators."""
    return rf"(?:{_BETWEEN}*\d){{{count},13}}"


_NATIONAL = [
    # The first group and what must follow have nine digits together.
    *(rf"0\d{{{count}}}{_BETWEEN}{_more(8 - count)}" for count in range(1, 6)),
    *(rf"\(\d{{{count}}}\){_more(9 - count)}" for count in range(1, 6)),
    r"(?:1[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}",
]
_MOBILE = r"(?:86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}"
_DATE = r"(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_ID_CARD = rf"[1-9]\d{{5}}{_DATE}\d{{3}}[\dXx]"
# The shapes of numbers; what may stand beside them depends on the text.
NUMBERS = "|".join([*_NATIONAL, _MOBILE, _ID_CARD])
# In a message an address ends where a word does, and in a file's name at its ending.
_WORD = r"[^\s/:;,|\"'`<>()\[\]{}=]"
_ENDING = r"\.(?:csv|tsv|txt|parquet|jsonl|ndjson|gz)\b"
_SHOWN = re.compile(
    "|".join(
        [
            rf"(?<!{_WORD}){_WORD}+@(?:(?!{_ENDING}){_WORD})+",
            r"[Tt][Ee][Ll]:\s*[+(\d](?:[ ().\-/]*\d)*",
            r"(?<![A-Za-z0-9.])\+\d(?:[ ().\-/]*\d){6,}",
            r"wxid_\w+",
            # An underscore parts the words of a file's name.
            rf"(?<![A-Za-z0-9.+-])(?:{NUMBERS})(?![A-Za-z0-9])",
        ]
    )
)
_AS_ASCII = str.maketrans(FULL_WIDTH, HALF_WIDTH)


def shown(text: str) -> str:
    """Return a text as people may see it: without what has the shape of a contact."""
    plain = text if text.isascii() else text.translate(_AS_ASCII)
    parts, place = [], 0
    for match in _SHOWN.finditer(plain):
        parts += [text[place : match.start()], LEFT_OUT]
        place = match.end()
    return "".join([*parts, text[place:]])


def shown_in(value: Any) -> Any:
    """Return JSON with every text in it as people may see it, but for the names of its fields."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {name: shown_in(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown_in(one) for one in value]
    return value
