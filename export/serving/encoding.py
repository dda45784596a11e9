"""Requests as arrays, checked before they are sent, and answers without what padding added to them.

The server's batching joins requests. Where their lists differ in length, it fills the shorter tensor up with the
tensor's own *first* value, whatever that is. So every `exclude` and `candidates` is sent with a first column of
padding, which makes that filling harmless, and columns that nobody asked for are cut off the answer.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from export.serving.errors import MissingInputError, RequestError, WrongDtypeError, WrongShapeError
from export.serving.signatures import DTYPES, SETS, UNKNOWN, Signature, Tensor
from zoo.errors import unknown_name
from zoo.schema import HISTORY_NAMES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    # Columns by name, one row a query.
    Query: TypeAlias = Mapping[str, ArrayLike] | pd.DataFrame

# Arrays by the name of an input or output.
Arrays: TypeAlias = dict[str, np.ndarray]


class _Kind(NamedTuple):
    """What the values of a dtype are in Python."""

    type: type
    wanted: str
    remedy: str


KINDS = {
    "string": _Kind(str, "a string", "Give ids as the data had them, as strings (str)."),
    "int64": _Kind(numbers.Integral, "an integer", "Give ids as the data had them, as integers (int)."),
    "float32": _Kind(numbers.Real, "a number", "Give float('nan') for a number that is not known."),
}
LARGEST = 2**63 - 1


def encode(signature: Signature, query: Query, others: Mapping[str, ArrayLike | None]) -> Arrays:
    """The inputs of an endpoint as arrays with one row a query.

    Args:
        signature: The endpoint.
        query: The columns that describe the queries.
        others: The inputs that a call takes as arguments of their own. None stands for a list that was not given.

    Raises:
        RequestError: If an input is missing, unknown, or has a wrong type, shape or number of rows.
    """
    given = _given(signature, query, others)
    arrays = {info.name: _array(info, given[info.name]) for info in signature.inputs if info.name in given}
    rows = _check_rows(arrays)
    for info in signature.inputs:
        arrays.setdefault(info.name, np.full((rows, 0), info.padding, DTYPES[info.dtype]))
    return arrays


def padded(signature: Signature, arrays: Arrays) -> Arrays:
    """The arrays as they are sent: a first column of padding in sets, and in lists that have no column."""
    sent = dict(arrays)
    for info in signature.inputs:
        array = arrays[info.name]
        if info.name in SETS or (array.ndim == 2 and array.shape[1] == 0):
            padding = np.full((len(array), 1), info.padding, array.dtype)
            sent[info.name] = np.concatenate([padding, array], axis=1)
    return sent


def cut(signature: Signature, arrays: Arrays, answer: Arrays) -> Arrays:
    """The answer without the columns that belong to padding, whether the client or the server added it."""
    own = {name: _without_padding(name, values, arrays) for name, values in answer.items()}
    if signature.name == "score":
        items, (padding,) = arrays["items"], [info.padding for info in signature.inputs if info.name == "items"]
        own["scores"] = np.where(items == padding, np.float32(np.nan), answer["scores"][:, : items.shape[1]])
    return own


def _without_padding(name: str, values: np.ndarray, arrays: Arrays) -> np.ndarray:
    """An output. One that says what is unknown in a list has only the columns of that list."""
    source = arrays.get(name.removeprefix(UNKNOWN))
    if not name.startswith(UNKNOWN) or source is None or source.ndim == 1:
        return values
    start = 1 if name.removeprefix(UNKNOWN) in SETS else 0
    return values[:, start : start + source.shape[1]]


def _given(signature: Signature, query: Query, others: Mapping[str, ArrayLike | None]) -> dict[str, object]:
    """The inputs that have values. An unknown or missing one is an error."""
    names = list(query.keys())  # A DataFrame has its columns as keys, too.
    _check_names(signature, names, [info.name for info in signature.inputs if info.name not in others])
    columns: dict[str, object] = {**{name: query[name] for name in names}, **others}
    given = {name: values for name, values in columns.items() if values is not None}
    missing = [str(info) for info in signature.inputs if info.name not in given and info.name not in SETS]
    if missing:
        raise MissingInputError(f"{signature.name!r} needs more inputs. Missing: {', '.join(missing)}.")
    return given


def _check_names(signature: Signature, names: Iterable[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise RequestError(str(unknown_name(f"input of {signature.name!r}", str(name), known)))


def _check_rows(arrays: Arrays) -> int:
    """The number of rows, which all inputs share."""
    (first, rows), *others = ((name, len(array)) for name, array in arrays.items())
    for name, found in others:
        if found != rows:
            raise WrongShapeError(
                f"Every input has one row a query. Received: {rows} in {first!r}, but {found} in {name!r}."
            )
    if rows == 0:
        raise WrongShapeError(f"There is no query: {first!r} has no rows.")
    return rows


def _array(info: Tensor, values: object) -> np.ndarray:
    rows = _listed(info, values, "a list with one row a query")
    if len(info.shape) == 1:
        array: np.ndarray = np.empty(len(rows), DTYPES[info.dtype])
        array[:] = [_value(info, value, row) for row, value in enumerate(rows)]
        return array
    return _filled(info, [_row(info, value, row) for row, value in enumerate(rows)])


def _filled(info: Tensor, lists: Sequence[list[object]]) -> np.ndarray:
    """The lists as one array, padded where they are shorter than the input or than the longest of them."""
    width = info.shape[1] if info.shape[1] is not None else max(map(len, lists), default=0)
    array: np.ndarray = np.full((len(lists), width), info.padding, DTYPES[info.dtype])
    for row, values in enumerate(lists):
        if values:
            array[row, slice(-len(values), None) if info.name in HISTORY_NAMES else slice(len(values))] = values
    return array


def _row(info: Tensor, value: object, row: int) -> list[object]:
    """The values of a list, which is as long as the input may be."""
    values = _listed(info, value, f"a list in row {row}")
    size = info.shape[1]
    if size is not None:
        values = values[-size:] if info.name in HISTORY_NAMES else values
        _check_length(info, len(values), size, row)
    return [_value(info, value, row) for value in values]


def _check_length(info: Tensor, found: int, size: int, row: int) -> None:
    is_padded = info.vocabulary is not None or info.name in HISTORY_NAMES
    if found > size or (found < size and not is_padded):
        wanted = f"at most {size}" if is_padded else f"exactly {size}"
        raise WrongShapeError(f"Input {info.name!r}, row {row}: expected {wanted} values. Received: {found}.")


def _listed(info: Tensor, values: object, wanted: str) -> list[object]:
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise WrongShapeError(
            f"Input {info.name!r}: expected {wanted}. Received: {values!r}. Put it into brackets: [{values!r}]."
        )
    return list(values)


def _value(info: Tensor, value: object, row: int) -> object:
    """The value, which is of the input's type."""
    if isinstance(value, list | tuple | np.ndarray):
        raise WrongShapeError(f"Input {info.name!r}, row {row}: the lists are nested too deep. Expected: {info}.")
    kind = KINDS[info.dtype]
    if isinstance(value, bool) or not isinstance(value, kind.type) or _is_half_a_character(value):
        raise _wrong_dtype(info, value, row, kind.remedy)
    if isinstance(value, numbers.Integral) and info.dtype == "int64" and not -LARGEST - 1 <= int(value) <= LARGEST:
        raise _wrong_dtype(info, value, row, "It does not fit into 64 bits.")
    return value


def _wrong_dtype(info: Tensor, value: object, row: int, remedy: str) -> WrongDtypeError:
    received = f"{value!r} ({type(value).__name__})"
    wanted = KINDS[info.dtype].wanted
    return WrongDtypeError(f"Input {info.name!r}, row {row}: expected {wanted}. Received: {received}. {remedy}")


def _is_half_a_character(value: object) -> bool:
    """Whether a string holds half of a surrogate pair, which cannot be written as UTF-8."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
