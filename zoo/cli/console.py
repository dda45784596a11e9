"""Parts that commands share: tables, JSON, errors, and a TensorFlow that does not chat."""

from __future__ import annotations

import json
import logging
import os
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from zoo.evaluation.interval import IntervalJson

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output folder that exists.")]


def fail(message: str, code: int) -> NoReturn:
    """Prints an error to the standard error stream and exits."""
    print(printable(f"Error: {message}"), file=sys.stderr)
    sys.exit(code)


def printable(text: str) -> str:
    r"""A text without what a terminal obeys, such as colours, titles and the direction of writing.

    Such letters come from data and names of files. They are shown as Python writes them.

    Example:

    >>> print(printable("red\x1b[31m"))
    red\x1b[31m
    """
    return "".join(
        letter
        if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else repr(letter)[1:-1]
        for letter in text
    )


def print_json(value: object) -> None:
    """Prints a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; columns whose cells are all numbers are set to the right."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    listed = [[printable(str(cell)) for cell in row] for row in rows]
    table = Table(title=escape(printable(title)) or None, title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(columns):
        table.add_column(escape(printable(name)), justify=_side([row[index] for row in listed]), overflow="fold")
    for row in listed:
        table.add_row(*map(escape, row))
    # Into a pipe, nothing is folded to the width of a terminal that is not there.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def quiet_tensorflow() -> None:
    """Imports TensorFlow without the lines that its C++ parts print before any level can be set."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="tensorflow|tf2onnx|keras")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def interval_cells(interval: IntervalJson) -> tuple[str, str]:
    """A metric and its interval as two cells of a table."""
    return f"{interval['mean']:.4f}", f"{interval['low']:.4f} to {interval['high']:.4f}"


def _side(cells: Sequence[str]) -> Literal["left", "right"]:
    return "right" if cells and all(map(_is_number, cells)) else "left"


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return cell == "-"
    return True


def _plain(value: object) -> object:
    """The Python value that a NumPy value stands for."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value.")
