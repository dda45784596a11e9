"""Example code that asks a TFLite file: Python, Kotlin for Android and Swift for iOS."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from export.endpoints import Endpoint
from export.formats.tflite.files import FILE, LIST_LENGTH, VOCABULARIES, fixed_shape
from export.rendering import render
from zoo.schema import FIRST_KNOWN

TEMPLATES = Path(__file__).parents[1] / "templates"

# Raw values by input, of one query or of several of which the first is shown.
Query = Mapping[str, object]
RawValue = str | int | float


def how_to_call(recommend: Endpoint, query: Query, batch: int | None = None) -> str:
    """The part of the model card on TFLite.

    Args:
        recommend: The endpoint `recommend`.
        query: The raw values of one query by input. Nothing is known of an input that is left out.
        batch: The batch size of the file, if it has a fixed one.

    Returns:
        Markdown.
    """
    fixed = (batch, LIST_LENGTH) if batch else None
    return render(
        TEMPLATES / "tflite.md.jinja",
        python=python_example(recommend, query, fixed),
        kotlin=kotlin_example(recommend, query, fixed),
        swift=swift_example(recommend, query, fixed),
    ).rstrip()


def python_example(recommend: Endpoint, query: Query | None = None, fixed: tuple[int, int] | None = None) -> str:
    """Lines of Python that ask the file for recommendations, raw ids in and out. They run in the bundle's folder.

    Args:
        recommend: See `how_to_call`.
        query: See `how_to_call`.
        fixed: The batch size and the length of lists of the file, if it has fixed ones.

    Returns:
        The lines.
    """
    return _example("tflite.py.jinja", recommend, query or {}, fixed, repr, _in_python)


def kotlin_example(recommend: Endpoint, query: Query | None = None, fixed: tuple[int, int] | None = None) -> str:
    """Lines of Kotlin, for Android, that ask the file for recommendations, raw ids in and out.

    Args:
        recommend: See `how_to_call`.
        query: See `how_to_call`.
        fixed: The batch size and the length of lists of the file, if it has fixed ones.

    Returns:
        The lines.
    """
    return _example("tflite.kt.jinja", recommend, query or {}, fixed, _kotlin_text, _in_kotlin)


def swift_example(recommend: Endpoint, query: Query | None = None, fixed: tuple[int, int] | None = None) -> str:
    """Lines of Swift, for iOS, that ask the file for recommendations, raw ids in and out.

    Args:
        recommend: See `how_to_call`.
        query: See `how_to_call`.
        fixed: The batch size and the length of lists of the file, if it has fixed ones.

    Returns:
        The lines.
    """
    return _example("tflite.swift.jinja", recommend, query or {}, fixed, _swift_text, _in_swift)


@dataclasses.dataclass(frozen=True)
class _ExampleInput:
    """An input of an example.

    Args:
        name: Its name.
        vocabulary: What its values are looked up in, if anything.
        shape: Its shape in the example.
        values: The raw values of one query, without padding.
        is_filled_in_front: Whether padding goes in front of them.
    """

    name: str
    vocabulary: str | None
    shape: tuple[int, ...]
    values: list[RawValue]
    is_filled_in_front: bool

    @property
    def length(self) -> int:
        """How many values a query has, padding included."""
        return self.shape[1] if len(self.shape) > 1 else 1


def _example(
    template: str,
    recommend: Endpoint,
    query: Query,
    fixed: tuple[int, int] | None,
    key: Callable[[str], str],
    code: Callable[[_ExampleInput], str],
) -> str:
    inputs = _example_inputs(recommend, query, fixed)
    items = next(info for info in recommend.outputs if info.name == "items")
    return render(
        TEMPLATES / template,
        inputs=[{"key": key(known.name), "code": code(known), "shape": list(known.shape)} for known in inputs],
        file=FILE,
        vocabularies=VOCABULARIES,
        first_known=FIRST_KNOWN,
        rows=inputs[0].shape[0],
        k=items.shape[1],
    )


def _example_inputs(recommend: Endpoint, query: Query, fixed: tuple[int, int] | None) -> list[_ExampleInput]:
    found = []
    for info in recommend.inputs:
        given = np.asarray(query.get(info.name, []), object).ravel().tolist()
        if info.vocabulary:
            given = [value for value in given if value != info.padding]
        shape = fixed_shape(info.shape, *(fixed or (1, len(given) or 1)))
        found.append(_ExampleInput(info.name, info.vocabulary, shape, given, info.name.startswith("history")))
    return found


def _in_python(known: _ExampleInput) -> str:
    front = ", front=True" if known.is_filled_in_front else ""
    if known.vocabulary is None:
        return f"numbers({[float(value) for value in known.values]}, {known.shape}{front})"
    return f"indices({known.vocabulary!r}, {known.values}, {known.shape}{front})"


def _in_kotlin(known: _ExampleInput) -> str:
    front = ", front = true" if known.is_filled_in_front else ""
    if known.vocabulary is None:
        values = ", ".join(f"{float(value)}f" for value in known.values)
        made = f"numbers(listOf({values}), %d{front})"
    else:
        values = ", ".join(_kotlin_text(value) for value in known.values)
        made = f"indices({_kotlin_text(known.vocabulary)}, listOf({values}), %d{front})"
    # One number a query is a plain array, a list of them an array of rows.
    return made % known.shape[0] if len(known.shape) == 1 else f"Array({known.shape[0]}) {{ {made % known.length} }}"


def _in_swift(known: _ExampleInput) -> str:
    sizes = f"{known.shape[0]}, {known.length}" + (", front: true" if known.is_filled_in_front else "")
    if known.vocabulary is None:
        return f"numbers({[float(value) for value in known.values]}, {sizes})"
    values = ", ".join(_swift_text(value) for value in known.values)
    return f"indices({_swift_text(known.vocabulary)}, [{values}], {sizes})"


def _kotlin_text(value: object) -> str:
    if not isinstance(value, str):
        return f"{value}L"
    return json.dumps(value).replace("\\f", "\\u000c").replace("$", "\\$")


def _swift_text(value: object) -> str:
    if not isinstance(value, str):
        return str(value)
    plain = (character if character.isprintable() else f"\\u{{{ord(character):x}}}" for character in _escaped(value))
    return '"' + "".join(plain) + '"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
