from __future__ import annotations

import datetime
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from zoo.config import parse_settings
from zoo.errors import UserError
from zoo.options import LARGEST, MISSING, Option, check_options, options_of, read_annotation
from zoo.registry import spec

# What YAML may hold besides lists and mappings.
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates())
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner), max_leaves=5
)


@pytest.fixture
def wrong():
    """The message about a value that does not fit an annotation."""

    def check(annotation, value, default=MISSING):
        with pytest.raises(UserError) as error:
            check_options({"size": value}, {"size": Option(annotation, default)}, kind="hparam", of="'toy'")
        return str(error.value)

    return check


def fits(annotation, value, default=MISSING):
    check_options({"size": value}, {"size": Option(annotation, default)})


# Values


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (int, np.int64(3)),
        (float, 3),
        (float, 0.5),
        (float, np.float32(0.5)),
        (float, np.int64(3)),
        (bool, False),
        (str, ""),
        (Sequence[int], [64, 32]),
        (Sequence[int], (64, 32)),
        (Sequence[int], [np.int64(64)]),
        (Sequence[int], []),
        (tuple[int, ...], [64, 32]),
        (list[float], (1, 0.5)),
        (Sequence[Sequence[int]], [[1], [2, 3]]),
        (Iterable[int], [1]),
        (Mapping[str, Any], {"a": [1, "b"]}),
        (Mapping[str, Sequence[float]], {"a": [1]}),
        (Mapping[str, Any] | None, None),
        (str | None, None),
        (str | Sequence[int], [1]),
        (str | Sequence[int], "a"),
        (Literal["a", "b"], "b"),
        (Path | str, "file.csv"),
        (object, datetime.date(2020, 1, 1)),
    ],
)
def test_values_that_fit_are_taken(annotation, value):
    fits(annotation, value)


@pytest.mark.parametrize(
    ("annotation", "value", "wanted"),
    [
        (int, True, "True is not an integer"),
        (int, 1.0, "1.0 is not an integer"),
        (int, "3", "'3' is not an integer"),
        (int, None, "None is not an integer"),
        (int, [3], "[3] is not an integer"),
        (int, math.nan, "nan is not an integer"),
        (float, True, "True is not a number"),
        (int, 10**30, f"{10**30} is not at most 2147483647"),
        (int, 2**63, f"{2**63} is not at most 2147483647"),
        (int, 2**31, f"{2**31} is not at most 2147483647"),
        (int, -(2**63), f"-{2**63} is not at least -2147483647"),
        (float, "0.5", "'0.5' is not a number"),
        (float, math.nan, "nan is not a finite number"),
        (float, math.inf, "inf is not a finite number"),
        (float, -math.inf, "-inf is not a finite number"),
        (float, np.float32("nan"), "nan is not a finite number"),
        (bool, 1, "1 is not true or false"),
        (bool, "true", "'true' is not true or false"),
        (str, 3, "3 is not a text"),
        (str, None, "None is not a text"),
        (Sequence[int], "64", "'64' is not a list"),
        (Sequence[str], "ab", "'ab' is not a list"),
        (tuple[str, ...], "ab", "'ab' is not a list"),
        (Sequence[int], 64, "64 is not a list"),
        (Sequence[int], {"a": 1}, "{'a': 1} is not a list"),
        (Mapping[str, Any], [1], "[1] is not keys and values"),
        (str | None, 3, "3 is not a text"),
        (str | Sequence[int], 3, "3 is not a text or a list"),
        (Literal["a", "b"], "c", "'c' is not 'a' or 'b'"),
        (int, datetime.date(2020, 1, 1), "datetime.date(2020, 1, 1) is not an integer"),
    ],
)
def test_values_of_another_type_are_named_with_what_is_wanted(wrong, annotation, value, wanted):
    message = wrong(annotation, value)
    assert message.startswith(f"{wanted}: hparam 'size' of 'toy'. Give ")


@pytest.mark.parametrize(
    ("annotation", "value", "place"),
    [
        (Sequence[int], ["a"], "size[0]"),
        (Sequence[int], [1, 2, True], "size[2]"),
        (Sequence[int], [1, [2]], "size[1]"),
        (Sequence[int], [None], "size[0]"),
        (Sequence[float], [0.5, math.nan], "size[1]"),
        (Sequence[Sequence[int]], [[1], [2, "a"]], "size[1][1]"),
        (Iterable[int], [1, "a"], "size[1]"),
        (Mapping[str, Sequence[float]], {"a": [1, "b"]}, "size.a[1]"),
        (Mapping[str, Any], {1: 2}, "size.1"),
        (str | Sequence[int], [1, "a"], "size[1]"),
        (Sequence[int] | None, ["a"], "size[0]"),
    ],
)
def test_the_place_within_a_list_is_named(wrong, annotation, value, place):
    assert f": hparam {place!r} of 'toy'. Give " in wrong(annotation, value)


def test_the_advice_names_the_default(wrong):
    message = "'a' is not an integer: hparam 'size[0]' of 'toy'. Give an integer, as in the default [64, 32]."
    assert wrong(Sequence[int], ["a"], default=(64, 32)) == message
    assert wrong(int | None, "a", default=None).endswith(". Give an integer, or leave it out.")
    assert wrong(int, "a").endswith(". Give an integer.")


def test_a_long_value_is_shortened(wrong):
    assert len(wrong(int, "a" * 10_000)) < 300


@given(VALUES)
def test_every_value_fits_or_gives_a_user_error(value):
    for annotation in ("int", "float", "bool", "str", "Sequence[int]", "Mapping[str, float] | None", "str | None"):
        try:
            fits(annotation, value)
        except UserError as error:
            message = str(error)
        else:
            continue
        assert ": option 'size" in message


@given(VALUES)
def test_a_value_that_fits_is_of_its_type(value):
    kinds = {"int": int, "float": (int, float), "bool": bool, "str": str, "Sequence[str]": list}
    for annotation, kind in kinds.items():
        try:
            fits(annotation, value)
        except UserError:
            is_fit = False
        else:
            is_fit = True
        is_of_kind = isinstance(value, kind) and (annotation == "bool" or not isinstance(value, bool))
        if annotation == "Sequence[str]":
            is_of_kind = is_of_kind and all(isinstance(one, str) for one in value)
        if annotation == "int":
            is_of_kind = is_of_kind and abs(value) <= LARGEST
        if annotation == "float":
            is_of_kind = is_of_kind and math.isfinite(value)
        assert is_fit == is_of_kind, (annotation, value)


@given(st.lists(st.integers(-LARGEST, LARGEST), min_size=1), st.data())
def test_the_place_of_any_fault_in_a_list_is_found(values, data):
    place = data.draw(st.integers(0, len(values) - 1))
    values[place] = data.draw(st.one_of(st.none(), st.booleans(), st.text(), st.floats(), st.just(2**63)))
    with pytest.raises(UserError) as error:
        fits(Sequence[int], values)
    assert f"'size[{place}]'" in str(error.value)


# Names


def test_an_unknown_name_gives_the_near_ones():
    options = {"hidden": Option(int, 1), "dropout": Option(float, 0.0)}
    with pytest.raises(UserError) as error:
        check_options({"hiden": 3}, options, kind="hparam", of="'toy'")
    assert str(error.value) == "Unknown hparam of 'toy' 'hiden'. Did you mean 'hidden'?"


def test_a_name_like_no_other_gives_all():
    with pytest.raises(UserError, match=r"^Unknown option 'zzz'\. Valid: dropout, hidden\.$"):
        check_options({"zzz": 3}, {"hidden": Option(int, 1), "dropout": Option(float, 0.0)})


def test_a_name_that_is_no_text_is_unknown():
    with pytest.raises(UserError, match=r"Unknown option '3'\. Valid: hidden\."):
        check_options({3: 3}, {"hidden": Option(int, 1)})


def test_an_option_without_default_must_be_given():
    with pytest.raises(UserError, match="Nothing is given for option 'path' of split 'given'"):
        check_options({}, {"path": Option(str)}, of="split 'given'")
    check_options({"path": "a"}, {"path": Option(str)})


@pytest.mark.parametrize("given_options", [3, "a", [1], None])
def test_options_that_are_no_mapping_are_refused(given_options):
    with pytest.raises(UserError, match=r"is not keys and values: options of split 'time'\. Give keys of: valid\."):
        check_options(given_options, {"valid": Option(float, 0.1)}, of="split 'time'")


# Where options come from


def test_options_of_a_function_are_its_parameters():
    def draw(rows, number: int = 4, *more, power: Sequence[float] = (0.75,), seed: int, **others): ...

    options = options_of(draw, without=["rows"])
    assert options == {
        "number": Option(int, 4),
        "power": Option(Sequence[float], (0.75,)),
        "seed": Option(int, MISSING),
    }


def test_options_of_a_class_are_those_of_its_objects():
    class Drawer:
        def __init__(self, rows, number: int = 4) -> None: ...

    class Child(Drawer):
        pass

    assert options_of(Child, without=["rows"]) == {"number": Option(int, 4)}


@pytest.mark.parametrize(
    ("text", "annotation"),
    [
        ("int", int),
        ("Sequence[int]", Sequence[int]),
        ("collections.abc.Sequence[int]", Sequence[int]),
        ("typing.Literal['a', -1]", Literal["a", -1]),
        ("Mapping[str, Any] | None", Mapping[str, Any] | None),
        ("Optional[int]", int | None),
        ("tuple[int, ...]", tuple[int, ...]),
    ],
)
def test_plain_types_are_read_from_their_text(text, annotation):
    assert read_annotation(text) == annotation


@pytest.mark.parametrize(
    "text", ["Recommender", "print('run')", "int(", "[x for x in 'ab']", "typing.Nothing", "int[3]"]
)
def test_other_texts_are_not_run(text, capsys):
    assert read_annotation(text) is MISSING
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("default", "fit", "unfit"),
    [
        (True, False, 1),
        (3, 4, 0.5),
        (0.5, 4, "4"),
        ("a", "b", 3),
        ((1, 2), [3], ["a"]),
        ((1, 0.5), [3, 0.1], ["a"]),
        (((1,), (2,)), [[3]], [3]),
        ((), ["a", 1], "a"),
        ({}, {"a": 1}, [1]),
    ],
)
@pytest.mark.parametrize("annotation", [MISSING, "Unheard", "print(3)"])
def test_the_default_gives_the_type_where_no_annotation_can_be_read(annotation, default, fit, unfit):
    fits(annotation, fit, default)
    with pytest.raises(UserError, match=r"is not .*: option 'size"):
        fits(annotation, unfit, default)


def test_anything_may_replace_a_default_of_none_without_annotation():
    for value in (None, 3, "a", [1]):
        fits(MISSING, value, None)


# Hparams


ARCHITECTURE = '''
"""An architecture of one's own."""
from __future__ import annotations

from collections.abc import Sequence

import zoo


@zoo.register("own", objective="pointwise", query=("user",), tiny={})
def own(schema, *, hidden: Sequence[int] = (8,), head: str | None = None, plain=(1, 2), odd: Odd = 0.5):
    raise SystemExit("must not be built")
'''


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    path = tmp_path / "own.py"
    path.write_text(ARCHITECTURE, encoding="utf-8")
    monkeypatch.setenv("ZOO_MODELS", str(path))
    return path


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        (
            {"hidden": ["a"]},
            "'a' is not an integer: hparam 'hidden[0]' of 'own'. Give an integer, as in the default [8].",
        ),
        ({"hidden": 8}, "8 is not a list: hparam 'hidden' of 'own'"),
        ({"head": 3}, "3 is not a text: hparam 'head' of 'own'"),
        ({"plain": [1, "b"]}, "'b' is not an integer: hparam 'plain[1]' of 'own'"),
        ({"odd": "a"}, "'a' is not a number: hparam 'odd' of 'own'"),
        ({"hiden": [8]}, "Unknown hparam of 'own' 'hiden'. Did you mean 'hidden'?"),
    ],
)
def test_hparams_are_checked_before_the_file_is_run(own_file, hparams, message):
    with pytest.raises(UserError) as error:
        zoo.build("own", **hparams)
    assert str(error.value).startswith(message)


def test_annotations_are_known_however_an_architecture_is_registered():
    def at_run_time(schema, *, width: Sequence[int] = (1,), plain=0.5): ...

    zoo.register("at_run_time", objective="pointwise", query=("user",), tiny={})(at_run_time)
    try:
        with pytest.raises(UserError, match=r"'a' is not an integer: hparam 'width\[0\]' of 'at_run_time'"):
            spec("at_run_time").check_hparams({"width": ["a"]})
        with pytest.raises(UserError, match="'a' is not a number: hparam 'plain' of 'at_run_time'"):
            spec("at_run_time").check_hparams({"plain": "a"})
    finally:
        from zoo import registry

        del registry._registered["at_run_time"], registry._builders["at_run_time"]


def test_every_shipped_hparam_has_an_annotation_that_can_be_read():
    for one in zoo.registry.specs().values():
        for name, option in one.options.items():
            assert read_annotation(str(option.type)) is not MISSING, f"{name} of {one.name}"
            check_options({name: option.default}, {name: option})


def test_the_command_line_answers_a_wrong_value_with_exit_code_2():
    command = [sys.executable, "-m", "zoo", "train", "ncf", "--data", "synthetic", "--set", "hidden=[a]"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "'a' is not an integer: hparam 'hidden[0]' of 'ncf'." in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "value", ["[a]", "[[1]]", "[.nan]", "[null]", "[true]", "[1.5]", "abc", "64", "{a: 1}", "2020-01-01"]
)
def test_settings_of_the_command_line_are_checked_into_lists(value):
    settings = parse_settings([f"hidden={value}"])["hparams"]
    with pytest.raises(UserError, match=r": hparam 'hidden(\[0\])?' of 'ncf'\. Give an? "):
        zoo.build("ncf", **settings)


def test_annotations_are_the_same_from_the_file_as_from_running_it():
    one = spec("ncf")
    read = {name: read_annotation(str(text)) for name, text in one.annotations.items()}
    zoo.build("ncf", **one.tiny)
    assert read == dict(zoo.registry._registered["ncf"].annotations)
    assert read == {"embedding_dim": int, "hidden": Sequence[int], "dropout": float}
