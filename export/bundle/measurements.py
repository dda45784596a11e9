"""What is measured for the model card: a baseline for the metrics, and size and latency of every artefact."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

import zoo
from export.bundle.manifest import ArtefactFacts, Measured, RunFacts
from export.endpoints import Endpoint
from export.formats.base import Runtime, find_artefact
from export.formats.runtimes import open_runtime
from export.values import Values, batches
from zoo.bench.worker import machine
from zoo.data.dataset import PARTS, Dataset, Part
from zoo.data.named import list_datasets
from zoo.data.streamed import StreamedDataset
from zoo.evaluation.evaluation import EvaluationJson
from zoo.evaluation.popularity import BASELINE
from zoo.evaluation.protocols import PROTOCOLS, evaluate
from zoo.training.fitting import interaction_matrix

if TYPE_CHECKING:
    from zoo.families import Recommender
    from zoo.run import Run

# Calls of an artefact that are not timed, that are timed at least, and the seconds that the others may take.
WARM_UP, LEAST_CALLS, SECONDS = 3, 5, 0.3


def run_facts(run: Run) -> RunFacts:
    """What the model card says of a run, except its metrics.

    Args:
        run: The run.

    Returns:
        For the manifest: `"source"`, the named dataset that was trained on, if it was one; `"interactions"`, how
        many by part; `"baseline"`, what `baseline_metrics` gives.
    """
    source = run.config.data.source
    return {
        "source": source if source in list_datasets() else None,
        "interactions": _count_interactions(run.dataset),
        "baseline": baseline_metrics(run),
    }


def baseline_metrics(run: Run) -> dict[str, EvaluationJson]:
    """The metrics of recommending what is popular, by the protocols, parts and ranks of the run's own metrics.

    Popularity orders items and says nothing of ratings or of the probability of a label, so there are only the metrics
    that read the order of the scores. There are none for data that was streamed, because a run does not keep its
    training interactions.

    Args:
        run: The run.

    Returns:
        Metrics by protocol and part, in the form of `Run.metrics`.
    """
    asked = _names_by_protocol(run)
    if not asked or run.config.model == BASELINE or isinstance(run.dataset, StreamedDataset):
        return {}
    model = _popularity(run.dataset)
    return {key: _evaluation(run, model, key, names) for key, names in asked.items()}


def _names_by_protocol(run: Run) -> dict[str, list[str]]:
    """The metrics that tell what popularity is worth, by protocol and part, where there are any."""
    told = {key: PROTOCOLS[key.split("/")[0]].popularity_names(run.config.evaluate.ks) for key in run.metrics}
    return {key: names for key, names in told.items() if names}


def _popularity(dataset: Dataset) -> Recommender:
    """The baseline, trained."""
    model = zoo.build(BASELINE, dataset.schema)
    assert model.solver is not None
    model.solver(interaction_matrix(dataset, positive_only=False))
    return model


def _evaluation(run: Run, model: Recommender, key: str, names: Sequence[str]) -> EvaluationJson:
    """Some metrics of a model, on the data and by the protocol of a run's own metrics."""
    settings = run.config.evaluate
    protocol, part = key.split("/")
    chosen = cast(Part, part)
    prepared = PROTOCOLS[protocol].prepared(run.dataset, chosen, settings.negatives)
    evaluation = evaluate(model, prepared, protocol, chosen, settings.ks, settings.resamples).to_json()
    metrics = {name: interval for name, interval in evaluation["metrics"].items() if name in names}
    return {**evaluation, "metrics": metrics}


def artefact_facts(
    folder: Path, endpoints: tuple[Endpoint, ...], artefacts: tuple[str, ...], version: str, requests: Values
) -> ArtefactFacts:
    """Size and latency of every artefact of a bundle, on this machine.

    Args:
        folder: The bundle.
        endpoints: Its endpoints.
        artefacts: Its artefacts.
        version: The version of the bundle.
        requests: Raw requests to `recommend`. Each is a call of its own.

    Returns:
        For the manifest: `"machine"` in words, and by artefact `"bytes"`, `"milliseconds"` (the median of the
        calls, raw ids in and out) and `"calls"`.
    """
    measured: dict[str, Measured] = {}
    for artefact in artefacts:
        times = _call_times(open_runtime(folder, artefact, endpoints, version), requests)
        measured[artefact] = {
            "bytes": find_artefact(artefact)[1].size(folder, version),
            "milliseconds": float(np.median(times)) * 1000,
            "calls": len(times),
        }
    return {"machine": machine(), "artefacts": measured}


def _count_interactions(dataset: Dataset) -> dict[str, int]:
    counts = {part: len(dataset.part(part)) for part in PARTS}
    if isinstance(dataset, StreamedDataset):
        counts["train"] = int(dataset.item_counts.sum())
    return {part: number for part, number in counts.items() if number}


def _call_times(runtime: Runtime, requests: Values) -> list[float]:
    """The seconds of each of some calls with one query."""
    queries = list(batches(requests, 1))
    for number in range(WARM_UP):
        runtime.run("recommend", queries[number % len(queries)])
    times: list[float] = []
    while len(times) < LEAST_CALLS or sum(times) < SECONDS:
        started = time.perf_counter()
        runtime.run("recommend", queries[len(times) % len(queries)])
        times.append(time.perf_counter() - started)
    return times
