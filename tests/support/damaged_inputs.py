"""Inputs and source files as no one would write them: mutated at random, seeded."""

import gzip
import io
import json
import os
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from support.raw_shop import HEADER

ROWS = [[f"c{number % 7}", f"2024-01-{number % 28 + 1:02}", f"{number}.50"] for number in range(40)]
KINDS = ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet", "tsv", "xlsx")
JUNK = (
    b"",
    b"\0",
    b'"',
    b"\n\n",
    b"\r",
    b"\r\n",
    b",,,,",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    "\u202e\U0001f600é".encode(),
    b"{",
    b"[" * 300,
    b"]}",
    b"9" * 400,
    b"x" * 3_000_000,
    b"'; drop table raw.loads; --",
    b'{"": 1, "": {"a": [1, null]}}\n',
    b'{"customer": "' + b"[" * 2000 + b'"}\n',
    b"customer,customer,day,amount\n",
    b"-0044-03-15",
    b"294247-01-10 04:00:54.775807",
    b"1e400",
    b"NaN",
)
NAMES = (
    "a file.{}",
    "a'quote.{}",
    'a"quote.{}',
    "a[1]*.{}",
    "a\nline.{}",
    "数据.{}",
    "x" * 200 + ".{}",
    "-.{}",
    "a.b.c.{}",
    "%s{{}}.{}",
    "$HOME.{}",
    "A.{}.CSV",
)
# What takes the place of a value of a source's file.
VALUES = (
    "",
    "~",
    "[]",
    "{}",
    "[1, [2, [3]]]",
    "{a: {b: c}}",
    "!!python/object/apply:os.getcwd []",
    "&a [*a]",
    "*nowhere",
    "1e999",
    ".nan",
    "-.inf",
    "2024-13-45",
    "0000-00-00",
    "9999-12-31",
    "'",
    '"\\ud800"',
    "\t",
    "- - -",
    "9" * 5000,
    "[" * 3000,
    "true",
    "0x10",
    "1_000",
    "12:30:45",
    "../../../etc/passwd",
    "/dev/zero",
    "~nobody-here/x.csv",
    "${HOME",
    "${}",
    "package:",
    "package:duckdb/",
    "**/**/**/*",
    "[a-",
    "{sql: 'error(1)'}",
    "{sql: '('}",
    '{sql: "amount; drop table x"}',
    '{sql: "(select max(range) from range(10000000000))"}',
    "{column: }",
    "{lookup: x, column: y}",
    "Mars/Phobos",
    "utf-7",
    "%Q",
    "\x00",
    "\u2028",
)


def original(kind: str) -> bytes:
    """Return the bytes of a sound file of a kind."""
    if kind.endswith(".gz"):
        return gzip.compress(original(kind[:-3]), mtime=0)
    if kind == "jsonl":
        names = HEADER.strip().split(",")
        return "".join(
            json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in ROWS
        ).encode()
    if kind == "parquet":
        columns = dict(zip(HEADER.strip().split(","), zip(*ROWS, strict=True), strict=True))
        sink = io.BytesIO()
        pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), sink)
        return sink.getvalue()
    if kind == "xlsx":
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as book:
            book.writestr("xl/worksheets/sheet1.xml", "<row/>" * 50)
        return sink.getvalue()
    separator = "\t" if kind == "tsv" else ","
    lines = [HEADER.strip().split(","), *ROWS]
    return "".join(separator.join(line) + "\n" for line in lines).encode()


def cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def cut_start(content: bytes, dice: random.Random) -> bytes:
    return content[dice.randrange(len(content)) :]


def flip(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randrange(1, 9)):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def insert(content: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(content) + 1)
    return content[:at] + dice.choice(JUNK) + content[at:]


def repeat(content: bytes, dice: random.Random) -> bytes:
    at, end = sorted(dice.randrange(len(content)) for _ in range(2))
    return content[:end] + content[at:end] * dice.randrange(1, 20) + content[end:]


def noise(content: bytes, dice: random.Random) -> bytes:
    return dice.randbytes(dice.randrange(0, 500))


def trailing_zeros(content: bytes, dice: random.Random) -> bytes:
    return content + b"\0" * dice.randrange(1, 2000)


def another_encoding(content: bytes, dice: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(
        dice.choice(("utf-16", "utf-16-le", "utf-32", "gbk", "utf-8-sig")), "replace"
    )


def inside(content: bytes, dice: random.Random) -> bytes:
    """Change what is packed, and pack it again."""
    try:
        return gzip.compress(dice.choice(CHANGES[:5])(gzip.decompress(content), dice), mtime=0)
    except (OSError, EOFError, zlib.error):
        return insert(content, dice)


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    cut,
    flip,
    insert,
    insert,
    repeat,
    cut_start,
    noise,
    trailing_zeros,
    another_encoding,
    inside,
)


def damaged_parquet(dice: random.Random) -> bytes:
    """Return a sound Parquet file of columns that nobody expects."""
    kinds = [
        pa.array([[1, 2], None, []]),
        pa.array([{"a": 1}, {"a": None}, None]),
        pa.array([b"\xff\x00", None, b""]),
        pa.array([1.5, float("nan"), float("inf")]),
        pa.array([2**62, -1, None]),
        pa.array([None, None, None]),
        pa.array([0, 10**9, 10**15], pa.timestamp("ns", "Asia/Tokyo")),
        pa.array([1, 2, 3], pa.time64("us")),
        pa.array(["2024-01-05", "", "x"]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
    ]
    names = [*HEADER.strip().split(","), "", "a b", 'q"', "c0", "line", "filename", "数"]
    chosen = dice.sample(names, dice.randrange(1, len(names)))
    if dice.random() < 0.7:
        chosen = list(dict.fromkeys(["customer", "day", "amount", *chosen]))
    sink = io.BytesIO()
    pq.write_table(pa.table({name: dice.choice(kinds) for name in chosen}), sink)
    return sink.getvalue()


def put_damaged(landing: Path, seed: int) -> str:
    """Put a file that nobody would write into the landing folder; return what was done."""
    dice = random.Random(seed)
    kind = dice.choice(KINDS)
    name = dice.choice(NAMES).format(kind) if dice.random() < 0.2 else f"new.{kind}"
    landing.mkdir(parents=True, exist_ok=True)
    if dice.random() < 0.05:
        special = dice.choice(("folder", "dangling", "loop", "bytes"))
        if special == "folder":
            (landing / name).mkdir()
        elif special == "bytes":
            Path(os.fsdecode(os.fsencode(landing) + b"/\xff\xfe." + kind.encode())).write_bytes(
                original(kind)
            )
        else:
            (landing / name).symlink_to(name if special == "loop" else "nowhere")
        return f"{kind}: {special}"
    if kind == "parquet" and dice.random() < 0.5:
        content, changes = damaged_parquet(dice), ["columns"]
    else:
        content, changes = original(kind), []
        for _ in range(dice.choice((1, 1, 2, 3))):
            if content:
                change = dice.choice(CHANGES)
                content = change(content, dice)
                changes.append(change.__name__)
    (landing / name).write_bytes(content)
    return f"{kind}: {', '.join(changes)}"


def damaged_yaml(text: str, seed: int) -> bytes:
    """Return a source's file with a few lines as nobody would write them."""
    dice = random.Random(seed)
    lines = text.splitlines()
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(lines))
        what = dice.randrange(8)
        key, colon, _ = lines[at].partition(":")
        if what <= 3 and colon:
            lines[at] = f"{key}: {dice.choice(VALUES)}"
        elif what == 4:
            lines[at] = lines[at] + lines[dice.randrange(len(lines))]
        elif what == 5:
            del lines[at]
        elif what == 6:
            lines.insert(at, lines[dice.randrange(len(lines))])
        else:
            lines[at] = " " * dice.randrange(5) + lines[at].replace(dice.choice("aeiou:"), ":", 1)
        lines = lines or [""]
    content = ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
    if dice.random() < 0.15:
        content = dice.choice((flip, cut, insert, noise, another_encoding))(content, dice)
    return content
