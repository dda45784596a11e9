"""Answers of an artefact compared with those of the trained model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from export.endpoints import UNKNOWN_PREFIX, Endpoint, TensorInfo
from export.values import Values, output_of
from export.verification.check import DIFFERENCE, Check
from zoo.config import ExportConfig
from zoo.evaluation.figures import ranking_metrics
from zoo.families.top_k import NO_ITEM_SCORE

# The ranks that quantized artefacts are judged by.
TOP = 10
# Inputs, the trained model's answers and the artefact's, in groups of lists of like length.
Compared = Iterable[tuple[Values, Values, Values]]


def compare(artefact: str, endpoint: Endpoint, batch_size: int, groups: Compared, limits: ExportConfig) -> Check:
    """The check of the answers of a float artefact.

    Scores agree within the tolerance, or within that share of scores above 1 in size. The numbers of a vector agree
    within that share of its length, if that is above 1.

    A place of a ranking may hold another item only if the model's own scores are tied within the tolerance. That item
    must stand elsewhere in the model's ranking with a tied score, or the tie must reach the last place, beyond which
    the model's ranking is not stored. It must not be excluded.
    """
    largest, places, queries = 0.0, 0, 0
    problems: set[str] = set()
    for inputs, expected, answer in groups:
        problems |= _problems(endpoint, inputs, expected, answer)
        figure = _figure(expected)
        queries += len(expected[figure])
        if answer[figure].shape == expected[figure].shape:
            largest = max(largest, _largest_difference(answer[figure], expected[figure], figure))
            places += _untied_places(answer, expected, limits.tolerance)
    if places:
        problems.add(f"{places} places of a ranking differ")
    what, problem = DIFFERENCE, _listed(problems)
    return Check(artefact, endpoint.name, batch_size, queries, what, largest, limits.tolerance, problem)


def compare_quantized(
    artefact: str, endpoint: Endpoint, batch_size: int, groups: Compared, limits: ExportConfig
) -> Check:
    """The check of the answers of a quantized artefact.

    For `recommend`, the figure is the mean share of the model's top 10 that is in the artefact's top 10. An item whose
    score is tied with the last of them is as good. For other endpoints, the figure is the root mean square of the
    difference, as a share of the standard deviation of the model's own numbers.
    """
    asked = list(groups)
    problem = _listed({said for group in asked for said in _problems(endpoint, *group)})
    queries = sum(len(expected[_figure(expected)]) for _, expected, _ in asked)
    if "items" in asked[0][1]:
        padding = output_of(endpoint, "items").padding
        shares = [_overlap(expected, answer["items"], padding, limits.tolerance) for _, expected, answer in asked]
        what, figure, limit = f"top-{TOP} overlap", float(np.concatenate(shares).mean()), limits.overlap
    else:
        what, figure, limit = "error", _error(asked), limits.error
    return Check(artefact, endpoint.name, batch_size, queries, what, figure, limit, problem)


def ndcg_check(
    artefact: str, recommend: Endpoint, batch_size: int, sample: Values, items: np.ndarray, limits: ExportConfig
) -> Check:
    """The check of how much of the trained model's NDCG on the test part is lost, as a share of it.

    Args:
        artefact: The artefact.
        recommend: The endpoint `recommend`.
        batch_size: Queries a call.
        sample: The queries of real users, with what is to be found and what the trained model recommends.
        items: What the artefact recommends to them, raw ids `[users, k]`.
        limits: What it must keep to.
    """
    padding = output_of(recommend, "items").padding
    relevant = sample["relevant"]
    lost, kept = (_mean_ndcg(ranked[:, :TOP], relevant, padding) for ranked in (sample["recommended"], items))
    loss = float((lost - kept) / (lost or 1.0))
    return Check(artefact, recommend.name, batch_size, len(relevant), f"NDCG@{TOP} loss", loss, limits.ndcg_loss)


def _mean_ndcg(items: np.ndarray, relevant: np.ndarray, padding: str | int | float) -> float:
    hits = np.zeros(items.shape, bool)
    for row, (ranked, found) in enumerate(zip(items, relevant, strict=True)):
        # An item that is there twice is found once.
        _, first = np.unique(ranked.astype(str), return_index=True)
        hits[row, first] = np.isin(ranked[first], found[found != padding])
    counts = (relevant != padding).sum(axis=1)
    cut = min(TOP, items.shape[1])
    return float(ranking_metrics(hits, counts, (cut,))[f"ndcg@{cut}"].mean())


# What may not differ, however an artefact is quantized


def _problems(endpoint: Endpoint, inputs: Values, expected: Values, answer: Values) -> set[str]:
    """What is wrong, in words."""
    problems = {_problem(info, answer[info.name], expected[info.name]) for info in endpoint.outputs} - {""}
    if "items" in expected and not problems:
        return _forbidden(inputs, expected, answer, output_of(endpoint, "items").padding)
    return problems


def _problem(info: TensorInfo, given: np.ndarray, wanted: np.ndarray) -> str:
    if given.shape != wanted.shape:
        return f"{info.name} has shape {given.shape}, expected {wanted.shape}"
    is_flag = info.name.startswith(UNKNOWN_PREFIX)
    return f"{info.name} differs" if is_flag and (given != wanted).any() else ""


def _forbidden(inputs: Values, expected: Values, answer: Values, padding: str | int | float) -> set[str]:
    """What a ranking holds that it must not hold."""
    problems = set()
    if ((answer["items"] == padding) != (expected["items"] == padding)).any():
        problems.add("other slots are empty")
    for items, left_out, chosen in zip(answer["items"], inputs["exclude"], inputs["candidates"], strict=True):
        problems |= _forbidden_in_row(items[items != padding], left_out, chosen[chosen != padding])
    return problems


def _forbidden_in_row(items: np.ndarray, left_out: np.ndarray, chosen: np.ndarray) -> set[str]:
    found = {
        "an item is there twice": len(set(items.tolist())) < len(items),
        "an excluded item is there": np.isin(items, left_out).any(),
        "an item is there that is not among the candidates": len(chosen) and not np.isin(items, chosen).all(),
    }
    return {problem for problem, is_there in found.items() if is_there}


# Figures


def _figure(expected: Values) -> str:
    """The name of the output whose numbers are compared."""
    return "vectors" if "vectors" in expected else "scores"


def _listed(problems: set[str]) -> str:
    return ", ".join(sorted(problems))


def _overlap(expected: Values, given: np.ndarray, padding: str | int | float, tolerance: float) -> np.ndarray:
    """The share of the best items of every query that is among the artefact's best, where there are any."""
    shares = []
    for items, scores, answered in zip(expected["items"], expected["scores"], given, strict=True):
        there = min(TOP, int((items != padding).sum()))
        if there:
            as_good = items[(items != padding) & (_difference(scores, scores[there - 1]) <= tolerance)]
            best = np.concatenate([items[:there], as_good])
            shares.append(np.isin(answered[:there], best).mean())
    return np.array(shares)


def _error(groups: Iterable[tuple[Values, Values, Values]]) -> float:
    """The root mean square of the difference, as a share of the standard deviation of the model's own numbers."""
    pairs = [(expected[_figure(expected)], answer[_figure(expected)]) for _, expected, answer in groups]
    difference = np.concatenate([(answer - expected).ravel() for expected, answer in pairs])
    own = np.concatenate([expected.ravel() for expected, _ in pairs])
    error = np.sqrt(np.mean(difference**2)) / (np.std(own) or 1.0)
    return float(np.nan_to_num(error, nan=np.inf))


def _untied_places(answer: Values, expected: Values, tolerance: float) -> int:
    """How many places of the rankings hold another item than they may. It is 0 where nothing is ranked."""
    if "items" not in expected:
        return 0
    ranked, scores = expected["items"], expected["scores"]
    wrong = 0
    for row, place in zip(*np.nonzero(answer["items"] != ranked), strict=True):
        elsewhere = np.flatnonzero(ranked[row] == answer["items"][row, place])
        tied_with = scores[row, elsewhere[0] if len(elsewhere) else -1]
        score = scores[row, place]
        wrong += int(_difference(tied_with, score) > tolerance or score == NO_ITEM_SCORE)
    return wrong


def _largest_difference(given: np.ndarray, wanted: np.ndarray, figure: str) -> float:
    size = np.linalg.norm(wanted, axis=1, keepdims=True) if figure == "vectors" else wanted
    return float(_difference(given, wanted, size).max(initial=0.0))


def _difference(figures: np.ndarray, wanted: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
    """How far figures are apart, as a share of their size if that is above 1. By default the size is their own."""
    figures, wanted = figures.astype(np.float64), wanted.astype(np.float64)
    shares = np.abs(figures - wanted) / np.maximum(1.0, np.abs(wanted if size is None else size))
    shares = np.where((figures == NO_ITEM_SCORE) == (wanted == NO_ITEM_SCORE), shares, np.inf)
    return np.nan_to_num(shares, nan=np.inf)
