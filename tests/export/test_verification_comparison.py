"""Answers of artefacts compared with those of the trained model: what passes and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from export.endpoints import Endpoint, TensorInfo
from export.verification.check import DIFFERENCE, Check, raise_if_failed
from export.verification.comparison import compare, compare_quantized
from zoo.config import ExportConfig
from zoo.errors import ZooError
from zoo.families.top_k import NO_ITEM_SCORE

ITEMS = TensorInfo("items", "string", (None, 4), "", "item", "")
SCORES = TensorInfo("scores", "float32", (None, 4), "")
RECOMMEND, SCORE = Endpoint("recommend", (), (ITEMS, SCORES)), Endpoint("score", (), (SCORES,))


def compared(answer, expected, endpoint=RECOMMEND, exclude=(), tolerance=1e-5):
    """The check of one call, in which some items are excluded."""
    rows = len(answer["scores"])
    inputs = {"exclude": np.array([[*exclude, ""]] * rows, object), "candidates": np.full((rows, 1), "", object)}
    return compare("onnx", endpoint, 1, [(inputs, expected, answer)], ExportConfig(tolerance=tolerance))


def ranking(items: str, scores) -> dict[str, np.ndarray]:
    """One ranking, an item a letter."""
    return {"items": np.array([list(items)], object), "scores": np.array([scores], np.float32)}


TRAINED = ranking("abcd", [0.9, 0.5, 0.5, 0.1])


@pytest.mark.parametrize(
    ("items", "scores", "problem"),
    [
        pytest.param("abcd", [0.9, 0.5, 0.5, 0.1], "", id="the same"),
        pytest.param("abcd", [0.9, 0.500001, 0.5, 0.1], "", id="rounded differently"),
        pytest.param("acbd", [0.9, 0.5, 0.5, 0.1], "", id="tied items swapped"),
        pytest.param("abce", [0.9, 0.5, 0.5, 0.1], "", id="the last place might be tied with one not stored"),
        pytest.param("bacd", [0.9, 0.5, 0.5, 0.1], "2 places of a ranking differ", id="untied items swapped"),
        pytest.param("abbd", [0.9, 0.5, 0.5, 0.1], "an item is there twice", id="a tied item repeated"),
        pytest.param("aecd", [0.9, 0.5, 0.5, 0.1], "1 places of a ranking differ", id="one from outside"),
        pytest.param("abdc", [0.9, 0.5, 0.5, 0.1], "2 places of a ranking differ", id="the last two, untied"),
        pytest.param("dcba", [0.9, 0.5, 0.5, 0.1], "2 places of a ranking differ", id="reversed"),
    ],
)
def test_a_place_may_hold_another_item_only_where_scores_are_tied(items, scores, problem):
    check = compared(ranking(items, scores), TRAINED)
    assert check.problem == problem
    assert check.passed == (not problem)


def test_a_tie_that_reaches_the_last_place_may_be_broken_by_any_item():
    expected = ranking("abcd", [0.9, 0.5, 0.5, 0.5])
    assert compared(ranking("aefc", [0.9, 0.5, 0.5, 0.5]), expected).passed
    assert not compared(ranking("aeec", [0.9, 0.5, 0.5, 0.5]), expected).passed
    assert not compared(ranking("ebcd", [0.9, 0.5, 0.5, 0.5]), expected).passed


def test_neighbours_in_a_chain_of_near_ties_may_swap_but_not_its_ends():
    scores = [0.5, 0.5 - 0.8e-5, 0.5 - 1.6e-5, 0.1]
    expected = ranking("abcd", scores)
    assert compared(ranking("bacd", scores), expected).passed
    assert compared(ranking("cbad", scores), expected).problem == "2 places of a ranking differ"


def test_an_item_where_none_is_left_is_caught():
    expected = ranking(["a", ""], [0.9, NO_ITEM_SCORE])
    assert compared(expected, expected).passed
    assert not compared({**expected, "scores": np.array([[0.9, 0.8]], np.float32)}, expected).passed
    assert compared(ranking("ab", [0.9, NO_ITEM_SCORE]), expected).problem.startswith("1 places")


def test_a_wrong_score_fails_although_the_ranking_is_right():
    check = compared(ranking("abcd", [0.9, 0.5, 0.5, 0.2]), TRAINED)
    assert not check.passed
    assert not check.problem
    assert check.figure == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize(("given", "wanted"), [(np.nan, 0.5), (0.5, np.nan), (np.nan, np.nan), (np.inf, 0.5)])
def test_a_score_that_is_no_number_fails(given, wanted):
    answer, expected = ({"scores": np.array([[0.1, value]], np.float32)} for value in (given, wanted))
    check = compared(answer, expected, SCORE)
    assert not check.passed
    assert check.figure > 1e300


def test_another_shape_is_a_problem_that_names_both():
    answer, expected = {"scores": np.zeros((2, 3))}, {"scores": np.zeros((2, 4))}
    assert compared(answer, expected, SCORE).problem == "scores has shape (2, 3), expected (2, 4)"


def test_a_check_says_in_words_what_was_compared_and_what_came_of_it():
    said = "onnx recommend, batch 1, 1 queries: largest difference 0.0e+00 (at most 1e-05)"
    assert str(compared(TRAINED, TRAINED)) == said
    bad = compared(ranking("bacd", [0.9, 0.5, 0.5, 0.1]), TRAINED)
    assert str(bad) == f"{said}; 2 places of a ranking differ"


def test_an_excluded_item_is_wrong_even_where_its_score_is_tied():
    expected = ranking("ef", [0.5, 0.5])
    answer = ranking("eg", [0.5, 0.5])
    assert compared(answer, expected, exclude="h").passed
    assert compared(answer, expected, exclude="g").problem == "an excluded item is there"


def test_the_tolerance_grows_with_scores_above_one():
    expected = {"scores": np.array([[300.0]], np.float64)}
    assert compared({"scores": np.array([[300.002]])}, expected, SCORE).passed
    assert not compared({"scores": np.array([[300.004]])}, expected, SCORE).passed


def test_the_tolerance_is_a_setting():
    expected = {"scores": np.array([[0.5]])}
    assert not compared({"scores": np.array([[0.5 + 5e-5]])}, expected, SCORE).passed
    check = compared({"scores": np.array([[0.5 + 5e-5]])}, expected, SCORE, tolerance=1e-4)
    assert check.passed
    assert check.limit == 1e-4


def test_the_numbers_of_a_vector_are_compared_with_its_length():
    vectors = TensorInfo("vectors", "float32", (None, 2), "")
    endpoint = Endpoint("embed_query", (), (vectors,))
    expected = {"vectors": np.array([[300.0, 0.1]])}
    for change, passes in ((0.002, True), (0.004, False)):
        answer = {"vectors": expected["vectors"] + [[0, change]]}
        assert compare("onnx", endpoint, 1, [({}, expected, answer)], ExportConfig()).passed == passes


def quantized_check(items, expected=TRAINED):
    answer = {"items": np.array([list(items)], object), "scores": np.zeros((1, len(items)), np.float32)}
    inputs = {"exclude": np.array([[""]], object), "candidates": np.array([[""]], object)}
    return compare_quantized("tflite-int8", RECOMMEND, 1, [(inputs, expected, answer)], ExportConfig())


def test_the_overlap_is_the_share_of_the_best_that_is_among_the_best():
    letters = "abcdefghijklmn"
    expected = ranking(letters, np.linspace(1, 0, len(letters)))
    assert quantized_check("jihgfedcbaklmn", expected).figure == 1.0, "the order among the best is free"
    assert quantized_check("klabcdefghijmn", expected).figure == pytest.approx(0.8)
    assert not quantized_check("klabcdefghijmn", expected).passed
    assert quantized_check("kabcdefghijlmn", expected).passed


def test_an_item_tied_with_the_last_of_the_best_is_as_good():
    letters = "abcdefghijklmn"
    scores = [*np.linspace(1, 0.5, 9), 0.25, 0.25, 0.25, 0.1, 0.0]
    assert quantized_check("abcdefghiljkmn", ranking(letters, scores)).figure == 1.0
    assert quantized_check("abcdefghimjkln", ranking(letters, scores)).figure == pytest.approx(0.9)


def test_the_error_of_scores_is_in_their_standard_deviations():
    expected = {"scores": np.array([[0.0, 2.0, 4.0]], np.float32)}
    answer = {"scores": expected["scores"] + np.float32(0.3)}
    check = compare_quantized("tflite-int8", SCORE, 1, [({}, expected, answer)], ExportConfig())
    assert check.figure == pytest.approx(0.3 / np.std([0.0, 2.0, 4.0]), abs=1e-6)
    assert not check.passed
    assert check.limit == 0.1


@pytest.mark.parametrize(
    ("figure", "shown"), [(1.04e-5, "1.0400e-05"), (0.96e-5, "9.6e-06"), (6.2e-5, "6.2e-05"), (np.inf, "inf")]
)
def test_a_difference_above_the_limit_never_looks_like_the_limit(figure, shown):
    assert Check("onnx", "score", 1, 9, DIFFERENCE, figure, 1e-5).shown_figure == shown


@pytest.mark.parametrize(
    ("figure", "problem", "is_told"),
    [(6.2e-5, "", True), (6.2e-5, "2 places of a ranking differ", False), (0.5, "", False), (np.inf, "", False)],
)
def test_the_error_says_how_to_allow_what_is_only_rounding(figure, problem, is_told):
    check = Check("onnx", "score", 1, 9, DIFFERENCE, figure, 1e-5, problem)
    with pytest.raises(ZooError) as raised:
        raise_if_failed([check], "Nothing was published.")
    assert ("--set export.tolerance=1e-04" in str(raised.value)) == is_told
