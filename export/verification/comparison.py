"""Proof that every artefact of a bundle answers as the trained model does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from typing_extensions import TypedDict

from export.endpoints import UNKNOWN_PREFIX, Endpoint, TensorInfo
from export.formats.base import Artefact, Runtime, ask, find_artefact, open_runtime
from export.values import Values
from export.verification.reference import LARGEST_BATCH, Reference, load_reference, load_sample
from zoo.config import ExportConfig
from zoo.errors import ZooError
from zoo.evaluation.figures import ranking_metrics
from zoo.families.top_k import NO_ITEM_SCORE

# By the number of queries of a call, how many queries of a group are asked in such calls. Calls of every size ask the
# first ones, which are the edges of the schema and some random queries. The largest calls ask all of them.
BATCH_SIZES = {1: 100, 3: 100, LARGEST_BATCH: None}
# The ranks that quantized artefacts are judged by.
TOP = 10
# In a call of `recommend` these are lists of any length.
LISTS = ("exclude", "candidates", "items")


@dataclasses.dataclass(frozen=True)
class Check:
    """One comparison of an artefact with the trained model.

    Args:
        artefact: The artefact, e.g. `"onnx"` or `"tflite-int8"`.
        endpoint: The endpoint.
        batch_size: Queries a call.
        queries: Queries compared.
        what: What the figure is: `"largest difference"` (as a share of the size, if that is above 1); for
            quantized artefacts `"top-10 overlap"`, `"NDCG@10 loss"` or `"error"`.
        figure: The figure.
        limit: The largest figure that passes; for an overlap the smallest.
        problem: What is wrong besides, in words.
    """

    artefact: str
    endpoint: str
    batch_size: int
    queries: int
    what: str
    figure: float
    limit: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure keeps to the limit and nothing else is wrong."""
        within = self.figure >= self.limit if self.what.endswith("overlap") else self.figure <= self.limit
        return bool(within) and not self.problem

    @property
    def shown_figure(self) -> str:
        """The figure for people."""
        return f"{self.figure:.1e}" if self.what == "largest difference" else f"{self.figure:.4f}"

    @property
    def bound(self) -> str:
        """The limit for people, e.g. `at most 1e-05`."""
        return f"{'at least' if self.what.endswith('overlap') else 'at most'} {self.limit:g}"

    def is_worse_than(self, other: Check) -> bool:
        """Whether the figure is worse than that of another check of the same kind."""
        return self.figure < other.figure if self.what.endswith("overlap") else self.figure > other.figure

    def __str__(self) -> str:
        problem = f"; {self.problem}" if self.problem else ""
        return (
            f"{self.artefact} {self.endpoint}, batch {self.batch_size}, {self.queries} queries: "
            f"{self.what} {self.shown_figure} ({self.bound}){problem}"
        )

    def to_json(self) -> CheckJson:
        """The check for the manifest."""
        made: CheckJson = {**dataclasses.asdict(self), "passed": self.passed}  # type: ignore[typeddict-item]
        return made

    @classmethod
    def from_json(cls, values: CheckJson) -> Check:
        """The check that `to_json` described."""
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})  # type: ignore[literal-required]


class CheckJson(TypedDict):
    """A `Check` in a manifest."""

    artefact: str
    endpoint: str
    batch_size: int
    queries: int
    what: str
    figure: float
    limit: float
    problem: str
    passed: bool


Report = Callable[[Check], None]


def verify_artefacts(
    folder: Path,
    endpoints: tuple[Endpoint, ...],
    artefacts: Iterable[str],
    limits: ExportConfig,
    version: str = "1",
    longest_lists: Mapping[str, int | None] | None = None,
    report: Report = lambda check: None,
) -> list[Check]:
    """Asks every artefact the stored queries, at several batch sizes, and compares with the stored answers.

    Args:
        folder: The bundle.
        endpoints: Its endpoints.
        artefacts: Its artefacts.
        limits: What artefacts must keep to.
        version: The version of the bundle.
        longest_lists: By format the longest list that its artefacts take. They are not asked what is longer.
        report: Called with each check as it is done.

    Returns:
        All checks.
    """
    reference, sample = load_reference(folder), load_sample(folder)
    checks = []
    for artefact in artefacts:
        runtime = open_runtime(folder, artefact, endpoints, version)
        made, described = find_artefact(artefact)
        longest = (longest_lists or {}).get(made.name)
        for check in _checks(runtime, described, endpoints, reference, sample, limits, longest):
            checks.append(check)
            report(check)
    return checks


def _checks(
    runtime: Runtime,
    artefact: Artefact,
    endpoints: tuple[Endpoint, ...],
    reference: Reference,
    sample: Values,
    limits: ExportConfig,
    longest: int | None,
) -> Iterator[Check]:
    for endpoint in endpoints:
        groups = [pair for pair in reference[endpoint.name] if _longest_list(pair[0]) <= (longest or np.inf)]
        for size, number in BATCH_SIZES.items():
            asked = [(_first(inputs, number), _first(expected, number)) for inputs, expected in groups]
            pairs = [(inputs, expected, ask(runtime, endpoint.name, inputs, size)) for inputs, expected in asked]
            compared = compare_quantized if artefact.is_quantized else compare
            yield compared(artefact.name, endpoint, size, pairs, limits)
    if artefact.is_quantized and sample["relevant"].shape[1]:
        yield _check_ndcg(runtime, artefact.name, endpoints[0], sample, limits, longest)


# Inputs, the trained model's answers and the artefact's.
Compared = Iterable[tuple[Values, Values, Values]]


def compare(artefact: str, endpoint: Endpoint, batch_size: int, groups: Compared, limits: ExportConfig) -> Check:
    """Compares the answers of a float artefact with those of the trained model.

    Scores agree within the tolerance, or within that share of scores above 1 in size. The numbers of a vector agree
    within that share of its length, if that is above 1.

    A place of a ranking may hold another item only if the model's own scores are tied within the tolerance. That item
    must stand elsewhere in the model's ranking with a tied score, or the tie must reach the last place, beyond which
    the model's ranking is not stored. It must not be excluded.
    """
    largest, places, queries, problems = 0.0, 0, 0, set()
    for inputs, expected, answer in groups:
        problems |= _problems(endpoint, inputs, expected, answer)
        figure = "vectors" if "vectors" in expected else "scores"
        queries += len(expected[figure])
        if answer[figure].shape != expected[figure].shape:
            continue
        size = np.linalg.norm(expected[figure], axis=1, keepdims=True) if figure == "vectors" else expected[figure]
        largest = max(largest, float(_difference(answer[figure], expected[figure], size).max(initial=0.0)))
        if "items" in expected:
            places += _untied_places(answer["items"], expected["items"], expected["scores"], limits.tolerance)
    if places:
        problems.add(f"{places} places of a ranking differ")
    problem = ", ".join(sorted(problems))
    return Check(artefact, endpoint.name, batch_size, queries, "largest difference", largest, limits.tolerance, problem)


def compare_quantized(
    artefact: str, endpoint: Endpoint, batch_size: int, groups: Compared, limits: ExportConfig
) -> Check:
    """Compares the answers of a quantized artefact with those of the trained model.

    For `recommend`, the figure is the mean share of the model's top 10 that is in the artefact's top 10. An item whose
    score is tied with the last of them is as good. For other endpoints, the figure is the root mean square of the
    difference, as a share of the standard deviation of the model's own numbers.
    """
    overlaps, differences, figures, problems = [], [], [], set()
    queries = 0
    for inputs, expected, answer in groups:
        problems |= _problems(endpoint, inputs, expected, answer)
        if "items" in expected:
            queries += len(expected["items"])
            overlaps.append(_overlap(endpoint, expected, answer, limits.tolerance))
        else:
            figure = "vectors" if "vectors" in expected else "scores"
            queries += len(expected[figure])
            differences.append((answer[figure] - expected[figure]).ravel())
            figures.append(expected[figure].ravel())
    problem = ", ".join(sorted(problems))
    if overlaps:
        mean = float(np.concatenate(overlaps).mean())
        return Check(artefact, endpoint.name, batch_size, queries, f"top-{TOP} overlap", mean, limits.overlap, problem)
    error = np.sqrt(np.mean(np.concatenate(differences) ** 2)) / (np.std(np.concatenate(figures)) or 1.0)
    return Check(
        artefact,
        endpoint.name,
        batch_size,
        queries,
        "error",
        float(np.nan_to_num(error, nan=np.inf)),
        limits.error,
        problem,
    )


def _check_ndcg(
    runtime: Runtime,
    artefact: str,
    recommend: Endpoint,
    sample: Values,
    limits: ExportConfig,
    longest: int | None,
) -> Check:
    """The share of the trained model's NDCG on the test part that is lost."""
    padding = _info(recommend, "items").padding
    sizes = (sample["exclude"] != padding).sum(axis=1)
    chosen = sizes <= (longest or np.inf)
    # The most recent items stand at the end.
    width = int(sizes[chosen].max(initial=1))
    query = {info.name: sample[info.name][chosen] for info in recommend.inputs if info.name in sample}
    exclude = sample["exclude"][chosen][:, -width:]
    nothing = np.full((len(exclude), 1), padding, exclude.dtype)
    answer = ask(runtime, recommend.name, {**query, "exclude": exclude, "candidates": nothing}, LARGEST_BATCH)
    relevant = sample["relevant"][chosen]
    lost, kept = (
        _mean_ndcg(items[:, :TOP], relevant, padding) for items in (sample["recommended"][chosen], answer["items"])
    )
    loss = (lost - kept) / (lost or 1.0)
    return Check(
        artefact, recommend.name, LARGEST_BATCH, len(relevant), f"NDCG@{TOP} loss", float(loss), limits.ndcg_loss
    )


def _mean_ndcg(items: np.ndarray, relevant: np.ndarray, padding: str | int | float) -> float:
    hits = np.zeros(items.shape, bool)
    for row, (ranked, found) in enumerate(zip(items, relevant, strict=True)):
        # An item that is there twice is found once.
        _, first = np.unique(ranked.astype(str), return_index=True)
        hits[row, first] = np.isin(ranked[first], found[found != padding])
    counts = (relevant != padding).sum(axis=1)
    cut = min(TOP, items.shape[1])
    return float(ranking_metrics(hits, counts, (cut,))[f"ndcg@{cut}"].mean())


def _problems(endpoint: Endpoint, inputs: Values, expected: Values, answer: Values) -> set[str]:
    """What may not differ, however an artefact is quantized, in words."""
    problems = set()
    for info in endpoint.outputs:
        given, wanted = answer[info.name], expected[info.name]
        if given.shape != wanted.shape:
            problems.add(f"{info.name} has shape {given.shape}, expected {wanted.shape}")
        elif info.name.startswith(UNKNOWN_PREFIX) and (given != wanted).any():
            problems.add(f"{info.name} differs")
    if "items" in expected and not problems:
        problems |= _forbidden(inputs, expected, answer, _info(endpoint, "items").padding)
    return problems


def _forbidden(inputs: Values, expected: Values, answer: Values, padding: str | int | float) -> set[str]:
    """Whether a ranking holds what it must not hold."""
    problems = set()
    if ((answer["items"] == padding) != (expected["items"] == padding)).any():
        problems.add("other slots are empty")
    for items, left_out, chosen in zip(answer["items"], inputs["exclude"], inputs["candidates"], strict=True):
        items, chosen = items[items != padding], chosen[chosen != padding]
        if len(set(items.tolist())) < len(items):
            problems.add("an item is there twice")
        if np.isin(items, left_out).any():
            problems.add("an excluded item is there")
        if len(chosen) and not np.isin(items, chosen).all():
            problems.add("an item is there that is not among the candidates")
    return problems


def _overlap(endpoint: Endpoint, expected: Values, answer: Values, tolerance: float) -> np.ndarray:
    """The share of the best items of every query that is among the artefact's best."""
    padding = _info(endpoint, "items").padding
    shares = []
    for items, scores, given in zip(expected["items"], expected["scores"], answer["items"], strict=True):
        there = min(TOP, int((items != padding).sum()))
        if there:
            as_good = items[(items != padding) & (_difference(scores, scores[there - 1]) <= tolerance)]
            best = np.concatenate([items[:there], as_good])
            shares.append(np.isin(given[:there], best).mean())
    return np.array(shares)


def _untied_places(items: np.ndarray, expected: np.ndarray, scores: np.ndarray, tolerance: float) -> int:
    wrong = 0
    for row, place in zip(*np.nonzero(items != expected), strict=True):
        score = scores[row, place]
        elsewhere = np.flatnonzero(expected[row] == items[row, place])
        tied_with = scores[row, elsewhere[0] if len(elsewhere) else -1]
        wrong += int(_difference(tied_with, score) > tolerance or score == NO_ITEM_SCORE)
    return wrong


def _difference(figures: np.ndarray, wanted: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
    """How far figures are apart, as a share of their size if that is above 1. By default the size is their own."""
    figures, wanted = figures.astype(np.float64), wanted.astype(np.float64)
    shares = np.abs(figures - wanted) / np.maximum(1.0, np.abs(wanted if size is None else size))
    shares = np.where((figures == NO_ITEM_SCORE) == (wanted == NO_ITEM_SCORE), shares, np.inf)
    return np.nan_to_num(shares, nan=np.inf)


def _first(values: Values, number: int | None) -> Values:
    return {name: value[:number] for name, value in values.items()}


def _longest_list(inputs: Values) -> int:
    return max((inputs[name].shape[1] for name in LISTS if name in inputs and inputs[name].ndim > 1), default=0)


def _info(endpoint: Endpoint, output: str) -> TensorInfo:
    return next(info for info in endpoint.outputs if info.name == output)


def raise_if_failed(checks: list[Check], consequence: str) -> None:
    """Raises a `ZooError` that lists the checks that failed, if any did."""
    failed = [check for check in checks if not check.passed]
    if failed:
        listed = "\n".join(f"  {check}" for check in failed)
        raise ZooError(f"{len(failed)} of {len(checks)} checks failed. {consequence}\n{listed}")
