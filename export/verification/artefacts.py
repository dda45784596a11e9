"""Proof that every artefact of a bundle answers as the trained model does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from export.endpoints import Endpoint
from export.formats.base import Runtime, ask, find_artefact
from export.formats.runtimes import open_runtime
from export.values import Values, output_of
from export.verification.check import Check, Report
from export.verification.comparison import Compared, compare, compare_quantized, ndcg_check
from export.verification.reference import LARGEST_BATCH, Reference, load_reference, load_sample
from zoo.config import ExportConfig
from zoo.files import parsing

# How many queries of a group are asked in calls of some size, by size. Calls of every size ask the first ones, which
# are the edges of the schema and some random queries. The largest calls ask all of them.
BATCH_SIZES = {1: 100, 3: 100, LARGEST_BATCH: None}
# These inputs are lists of any length in a call of `recommend`.
LISTS = ("exclude", "candidates", "items")


def verify_artefacts(
    folder: Path,
    endpoints: tuple[Endpoint, ...],
    artefacts: Iterable[str],
    limits: ExportConfig,
    version: str = "1",
    longest_lists: Mapping[str, int | None] | None = None,
    report: Report = lambda check: None,
) -> list[Check]:
    """The checks of every artefact, which is asked the stored queries at several batch sizes.

    Args:
        folder: The bundle.
        endpoints: Its endpoints.
        artefacts: Its artefacts.
        limits: What artefacts must keep to.
        version: The version of the bundle.
        longest_lists: The longest list that the artefacts of a format take, by format. They are asked no longer one.
        report: Called with each check as it is done.

    Returns:
        All checks.
    """
    reference, sample = load_reference(folder), load_sample(folder)
    checks = []
    for artefact in artefacts:
        made, described = find_artefact(artefact)
        runtime = open_runtime(folder, artefact, endpoints, version)
        questions = _Questions(artefact, runtime, endpoints, limits, (longest_lists or {}).get(made.name) or np.inf)
        asked = questions.checks(reference, sample, described.is_quantized)
        while (check := _next_check(asked, described.place(folder, version), made.name)) is not None:
            checks.append(check)
            report(check)
    return checks


def _next_check(asked: Iterator[Check], place: Path, format_name: str) -> Check | None:
    """The next check; `None` after the last. An artefact may be opened although it cannot answer."""
    with parsing(place, f"an artefact of the format {format_name} that answers its queries"):
        return next(asked, None)


@dataclasses.dataclass(frozen=True)
class _Questions:
    """What one artefact is asked.

    Args:
        artefact: Its name.
        runtime: What answers for it.
        endpoints: The endpoints of the bundle.
        limits: What it must keep to.
        longest: How many ids a list of a request may have.
    """

    artefact: str
    runtime: Runtime
    endpoints: tuple[Endpoint, ...]
    limits: ExportConfig
    longest: float

    def checks(self, reference: Reference, sample: Values, is_quantized: bool) -> Iterator[Check]:
        """The checks, each as soon as it is done."""
        compared = compare_quantized if is_quantized else compare
        for endpoint in self.endpoints:
            groups = [group for group in reference[endpoint.name] if _longest_list(group[0]) <= self.longest]
            for size, number in BATCH_SIZES.items():
                answers = self._answers(endpoint, groups, size, number)
                yield compared(self.artefact, endpoint, size, answers, self.limits)
        if is_quantized and sample["relevant"].shape[1]:
            yield self._ndcg_check(sample)

    def _answers(
        self, endpoint: Endpoint, groups: Iterable[tuple[Values, Values]], size: int, number: int | None
    ) -> Compared:
        """The first queries of every group, with the answers of the trained model and of the artefact."""
        asked = [(_first(inputs, number), _first(expected, number)) for inputs, expected in groups]
        return [(inputs, expected, ask(self.runtime, endpoint.name, inputs, size)) for inputs, expected in asked]

    def _ndcg_check(self, sample: Values) -> Check:
        """How much NDCG on the test part is lost by users whose seen items all fit into a request."""
        recommend = self.endpoints[0]
        padding = output_of(recommend, "items").padding
        sizes = (sample["exclude"] != padding).sum(axis=1)
        chosen = {name: values[sizes <= self.longest] for name, values in sample.items()}
        # The most recent items stand at the end.
        width = int(sizes[sizes <= self.longest].max(initial=1))
        exclude = chosen["exclude"][:, -width:]
        query = {info.name: chosen[info.name] for info in recommend.inputs if info.name in chosen}
        nothing = np.full((len(exclude), 1), padding, exclude.dtype)
        inputs = {**query, "exclude": exclude, "candidates": nothing}
        answer = ask(self.runtime, recommend.name, inputs, LARGEST_BATCH)
        return ndcg_check(self.artefact, recommend, LARGEST_BATCH, chosen, answer["items"], self.limits)


def _first(values: Values, number: int | None) -> Values:
    return {name: value[:number] for name, value in values.items()}


def _longest_list(inputs: Values) -> int:
    widths = [inputs[name].shape[1] for name in LISTS if name in inputs and inputs[name].ndim > 1]
    return max(widths, default=0)
