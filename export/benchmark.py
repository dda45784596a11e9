"""The benchmark `serving`: what the artefacts cost, as ratios of what was measured in the same process.

Times are medians over rounds in which everything that is compared is called in turn, so that what else the
machine does falls on all of them alike. Every runtime has its default settings.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import zoo
from export.bundle.publishing import FORMATS, export
from export.endpoints import EndpointGraphs
from export.formats import saved_model
from export.formats.onnx import writer as onnx
from export.formats.runtimes import quantization_of
from export.formats.tflite import writer as tflite
from export.verification.queries import indexed, sample_queries, sample_requests, vocabularies_of
from zoo.cli.console import print_json, print_table
from zoo.config import configs_folder, read_yaml
from zoo.data import load_dataset
from zoo.errors import ZooError
from zoo.schema import Vocabulary

Call = Callable[[dict[str, np.ndarray]], Any]

DIM = 64
EXCLUDED = 500
LARGE_BATCH = 64
TOP = 10
# Users whose best items are compared for the overlap.
USERS = 200
SIZES = (100_000, 1_000_000)
SMALLEST_TABLE = 2**20
# How long calls that are compared are timed.
SECONDS = 6.0


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of the benchmark.

    Args:
        what: What was measured.
        value: The figure.
        limit: What it may be at most, or at least.
        at_least: Whether the limit is the least.
        about: What it was computed from.
    """

    what: str
    value: float
    limit: float
    at_least: bool = False
    about: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps to its limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def to_json(self) -> dict[str, Any]:
        """The figure for a program."""
        return {**dataclasses.asdict(self), "met": self.is_met}

    def cells(self) -> tuple[str, ...]:
        """The figure for a table."""
        bound = "at least" if self.at_least else "at most"
        return self.what, f"{self.value:.3g}", f"{bound} {self.limit:g}", "met" if self.is_met else "missed", self.about


COLUMNS = ("figure", "reached", "asked", "", "from")


def run(out: Path, quick: bool, check: bool, as_json: bool) -> None:
    """`zoo bench serving`: prints every figure and writes them to `results.csv`.

    Args:
        out: The folder of the results.
        quick: See `serving`.
        check: Whether a missed limit is an error.
        as_json: Whether JSON is printed in place of a table.

    Raises:
        ZooError: If a limit was missed, with `check`.
    """
    figures = []
    for figure in serving(quick):
        figures.append(figure)
        print(*figure.cells(), sep=", ", file=sys.stderr, flush=True)
        out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame([made.to_json() for made in figures]).to_csv(out / "results.csv", index=False)
    if as_json:
        print_json([figure.to_json() for figure in figures])
    else:
        print_table("serving: what the artefacts cost", COLUMNS, [figure.cells() for figure in figures])
    missed = [figure.what for figure in figures if not figure.is_met]
    if check and missed:
        raise ZooError(f"Missed: {'; '.join(missed)}.")


def serving(quick: bool = False) -> Iterator[Figure]:
    """Measures the latency, throughput and size of artefacts.

    Args:
        quick: Only the catalogue of 100,000 items, and neither sizes nor the time of an export.

    Yields:
        A `Figure` as soon as it is measured.
    """
    for num_items in SIZES[:1] if quick else SIZES:
        yield from _catalogue(num_items)
    if not quick:
        yield from _sizes()
        yield _demo_export()


def _catalogue(num_items: int) -> Iterator[Figure]:
    """`recommend` of dot products over a large catalogue."""
    rng = np.random.default_rng(0)
    model = zoo.build("mf", num_users=USERS, num_items=num_items, embedding_dim=DIM, biases=False)
    # Items of different lengths, as training makes them.
    lengths = rng.lognormal(sigma=0.4, size=(num_items + 2, 1))
    for layer, rows in (("user", USERS + 2), ("item", num_items + 2)):
        vectors = rng.normal(size=(rows, DIM)) * (lengths if layer == "item" else 1)
        _embedding(model, rows).assign(vectors.astype(np.float32))
    vocabularies = {"user": Vocabulary(range(1, USERS + 1)), "item": Vocabulary(range(1, num_items + 1))}
    graphs = EndpointGraphs(model, vocabularies, k=TOP)
    matrix = graphs.catalogue[0].numpy()
    known = np.arange(1, num_items + 1)
    one = _inputs(rng.integers(1, USERS, 1), np.full((1, 1), -1))
    excluding = {**one, "exclude": rng.choice(known, (1, EXCLUDED), replace=False)}
    many = _inputs(rng.integers(1, USERS, LARGE_BATCH), np.full((LARGE_BATCH, 1), -1))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        saved_model.write(graphs, vocabularies, folder / saved_model.NAME)
        onnx.write(graphs, vocabularies, folder / onnx.NAME)
        tflite.write(graphs, vocabularies, folder / tflite.NAME, quantize=("dynamic",))
        calls = _calls(folder, graphs, vocabularies)
        seconds = _medians({"read": lambda: matrix.sum(), **{name: _bound(call, one) for name, call in calls.items()}})
        for name, limit in ((onnx.NAME, 1.5), ("tflite", 1.5), (saved_model.NAME, 2.0)):
            yield Figure(
                f"{name} recommend, {num_items:,} items, of the time to read the item matrix",
                seconds[name] / seconds["read"],
                limit,
                about=f"{1e3 * seconds[name]:.2f} of {1e3 * seconds['read']:.2f} ms",
            )
        yield Figure(
            f"tflite-dynamic recommend, {num_items:,} items, of the time of the float file",
            seconds["tflite-dynamic"] / seconds["tflite"],
            0.5,
            about=f"{1e3 * seconds['tflite-dynamic']:.2f} of {1e3 * seconds['tflite']:.2f} ms",
        )
        yield Figure(
            f"tflite-dynamic top-{TOP} overlap, {num_items:,} items", _overlap(calls), 0.9, True, f"{USERS} users"
        )
        yield from _excluding(calls, one, excluding, num_items) if num_items == SIZES[-1] else ()
        yield from _batches(calls, one, many, num_items) if num_items == SIZES[0] else ()


def _excluding(calls: Mapping[str, Call], one: Any, excluding: Any, num_items: int) -> Iterator[Figure]:
    for name, call in calls.items():
        seconds = _medians({"none": _bound(call, one), "many": _bound(call, excluding)})
        yield Figure(
            f"{name} recommend, {num_items:,} items, {EXCLUDED} excluded, of the time of none",
            seconds["many"] / seconds["none"],
            1.1,
            about=f"{1e3 * seconds['many']:.2f} of {1e3 * seconds['none']:.2f} ms",
        )


def _batches(calls: Mapping[str, Call], one: Any, many: Any, num_items: int) -> Iterator[Figure]:
    for name, call in calls.items():
        seconds = _medians({"one": _bound(call, one), "many": _bound(call, many)})
        yield Figure(
            f"{name} recommend, {num_items:,} items, queries a second of a batch of {LARGE_BATCH}, of those of one",
            LARGE_BATCH * seconds["one"] / seconds["many"],
            3.0,
            True,
            f"{1e3 * seconds['many']:.1f} ms and {1e3 * seconds['one']:.2f} ms",
        )


def _calls(folder: Path, graphs: EndpointGraphs, vocabularies: Mapping[str, Vocabulary]) -> dict[str, Call]:
    """What asks each artefact without any work in Python beyond the call."""
    import onnxruntime
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    loaded = tf.saved_model.load(str(folder / saved_model.NAME / "1"))
    signature = loaded.signatures["recommend"]
    session = onnxruntime.InferenceSession(folder / onnx.NAME / "recommend.onnx", providers=["CPUExecutionProvider"])

    def ask_saved_model(inputs: dict[str, np.ndarray], loaded: Any = loaded) -> Any:
        return signature(**{name: tf.constant(values) for name, values in inputs.items()})["items"].numpy()

    def ask_onnx(inputs: dict[str, np.ndarray]) -> Any:
        return session.run(["items", "scores"], inputs)[0]

    def lite(variant: str | None) -> Call:
        interpreter = Interpreter(str(folder / tflite.NAME / tflite.file_name(variant)))
        runner = interpreter.get_signature_runner("recommend")

        # Ids are numbers from 1 on, so indices are one more; padding is -1 and 0.
        def ask(inputs: dict[str, np.ndarray]) -> Any:
            answer = runner(**{name: (values + 1).astype(np.int32) for name, values in inputs.items()})
            return answer["items"] - 1

        return ask

    artefacts = ("tflite", "tflite-dynamic")
    lites = {name: lite(quantization_of(name)) for name in artefacts}
    return {saved_model.NAME: ask_saved_model, onnx.NAME: ask_onnx, **lites}


def _inputs(users: np.ndarray, nothing: np.ndarray) -> dict[str, np.ndarray]:
    return {"user": users, "exclude": nothing, "candidates": nothing}


def _bound(call: Call, inputs: dict[str, np.ndarray]) -> Callable[[], Any]:
    return lambda: call(inputs)


def _overlap(calls: Mapping[str, Call]) -> float:
    users, nothing = np.arange(1, USERS + 1), np.full((USERS, 1), -1)
    wanted, given = (calls[name](_inputs(users, nothing)) for name in ("tflite", "tflite-dynamic"))
    return float(np.mean([np.isin(row, best).mean() for row, best in zip(given, wanted, strict=True)]))


def _medians(calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """The median seconds of each call, all called in turn for some seconds."""
    for call in calls.values():
        call()
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(next(iter(seconds.values()))) < 5:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _embedding(model: Any, rows: int) -> Any:
    return next(weight for weight in model.weights if tuple(weight.shape) == (rows, DIM))


def _sizes() -> Iterator[Figure]:
    """The size of the 8-bit files of every architecture with a table above 1 MB."""
    data = load_dataset("synthetic", num_users=6_000, num_items=5_000, num_interactions=60_000)
    for name in zoo.list_models():
        model = zoo.build(name, data.schema)
        if max(4 * int(np.prod(weight.shape)) for weight in model.weights) < SMALLEST_TABLE:
            continue
        model.adapt(items=data.items)
        graphs = EndpointGraphs(model, data.vocabularies)
        vocabularies = vocabularies_of(graphs.endpoints, data.vocabularies)
        sample = sample_queries(model, data)
        requests = {e.name: sample_requests(e, vocabularies["item"], sample) for e in graphs.endpoints}
        indices = {e.name: indexed(e, requests[e.name], vocabularies) for e in graphs.endpoints}
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            tflite.write(graphs, vocabularies, folder, quantize=("dynamic", "int8"), sample=indices)
            whole, *sizes = ((folder / tflite.file_name(v)).stat().st_size for v in (None, "dynamic", "int8"))
        for variant, size in zip(("dynamic", "int8"), sizes, strict=True):
            about = f"{size / 1e6:.2f} of {whole / 1e6:.2f} MB"
            yield Figure(f"tflite-{variant} of {name}, size, of the float file", size / whole, 0.3, about=about)


def _demo_export() -> Figure:
    """The seconds of exporting and verifying the largest model of the demo, in every format."""
    plan = read_yaml(configs_folder() / "demo.yaml")
    data = load_dataset(plan["data"])
    name = max(plan["models"], key=lambda name: zoo.build(name, data.schema).count_params())
    run = zoo.train(name, data, progress=False, train={"epochs": 1})
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        export(run, Path(scratch) / "bundle", FORMATS)
        seconds = time.perf_counter() - start
    parameters = f"{run.model.count_params():,} numbers"
    return Figure(f"export and verification of {name}, the largest model of the demo, s", seconds, 60, about=parameters)
