"""Small pieces of Markdown: tables, lists in a sentence, sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, whose cells may hold bars."""
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    r"""Text of the data as it is, without what Markdown or HTML would make of it: images, links, headings, tags.

    Example:

    >>> print(plain("# a <b> ![c](d)"))
    \# a &lt;b> !\[c\](d)
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return re.sub(r"([#\[\]`~\\])", r"\\\1", shown.replace("&", "&amp;").replace("<", "&lt;"))


def listed(words: Iterable[str]) -> str:
    """Words as a list in a sentence, e.g. `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def size(number: float) -> str:
    """A number of bytes for people, e.g. `1.2 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"
