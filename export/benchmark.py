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
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import zoo
from export.bundle.options import Options
from export.bundle.publishing import export
from export.endpoints import EndpointGraphs
from export.formats import FORMATS, Format, Source
from export.formats.base import OptionValue, Runtime, find_artefact
from export.values import Values, vocabularies_of
from export.verification.queries import sample_queries, sample_requests
from zoo.cli.console import print_json, print_table
from zoo.config import configs_folder
from zoo.data import load_dataset
from zoo.errors import ZooError
from zoo.locks import locked
from zoo.schema import Vocabulary
from zoo.yaml_reader import read_yaml

if TYPE_CHECKING:
    import keras

# A call of `recommend` for some inputs, prepared so that it costs little besides the work of the runtime.
Call = Callable[[Values], Callable[[], np.ndarray]]

DIM = 64
EXCLUDED = 500
LARGE_BATCH = 64
TOP = 10
# Users whose best items are compared for the overlap.
USERS = 200
SIZES = (100_000, 1_000_000)
SMALLEST_TABLE = 2**20
# The quantized files that are measured: the smallest change for a large catalogue, all of 8 bits for sizes.
FAST, SMALL = ("dynamic",), ("dynamic", "int8")
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

    def to_json(self) -> dict[str, object]:
        """The figure for a program."""
        return {**dataclasses.asdict(self), "met": self.is_met}

    def cells(self) -> tuple[str, ...]:
        """The figure for a table."""
        bound = "at least" if self.at_least else "at most"
        return self.what, f"{self.value:.3g}", f"{bound} {self.limit:g}", "met" if self.is_met else "missed", self.about


RESULTS = "results.csv"
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
    with locked(out / RESULTS) as results:
        figures = _recorded(serving(quick), results)
    if as_json:
        print_json([figure.to_json() for figure in figures])
    else:
        print_table("serving: what the artefacts cost", COLUMNS, [figure.cells() for figure in figures])
    missed = [figure.what for figure in figures if not figure.is_met]
    if check and missed:
        raise ZooError(f"Missed: {'; '.join(missed)}.")


def _recorded(measured: Iterable[Figure], results: Path) -> list[Figure]:
    """The figures, each printed and written to a file as soon as it is measured."""
    figures = []
    for figure in measured:
        figures.append(figure)
        print(*figure.cells(), sep=", ", file=sys.stderr, flush=True)
        pd.DataFrame([made.to_json() for made in figures]).to_csv(results, index=False)
    return figures


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
        calls = _calls(Path(scratch), graphs, vocabularies, one)
        prepared = {name: call(one) for name, call in calls.items()}
        seconds = _medians({"read": lambda: matrix.sum(), **prepared})
        for name in calls:
            made, artefact = find_artefact(name)
            whole = made.artefacts[0].name
            compared, of_what, limit = "read", "to read the item matrix", made.most_reads
            if artefact.is_quantized:
                compared, of_what, limit = whole, "of the float file", 0.5
            yield Figure(
                f"{name} recommend, {num_items:,} items, of the time {of_what}",
                seconds[name] / seconds[compared],
                limit,
                about=f"{1e3 * seconds[name]:.2f} of {1e3 * seconds[compared]:.2f} ms",
            )
            if artefact.is_quantized:
                overlap = _overlap(calls[whole], calls[name])
                yield Figure(f"{name} top-{TOP} overlap, {num_items:,} items", overlap, 0.9, True, f"{USERS} users")
        yield from _excluding(calls, one, excluding, num_items) if num_items == SIZES[-1] else ()
        yield from _batches(calls, one, many, num_items) if num_items == SIZES[0] else ()


def _excluding(calls: Mapping[str, Call], one: Values, excluding: Values, num_items: int) -> Iterator[Figure]:
    for name, call in calls.items():
        seconds = _medians({"none": call(one), "many": call(excluding)})
        yield Figure(
            f"{name} recommend, {num_items:,} items, {EXCLUDED} excluded, of the time of none",
            seconds["many"] / seconds["none"],
            1.1,
            about=f"{1e3 * seconds['many']:.2f} of {1e3 * seconds['none']:.2f} ms",
        )


def _batches(calls: Mapping[str, Call], one: Values, many: Values, num_items: int) -> Iterator[Figure]:
    for name, call in calls.items():
        seconds = _medians({"one": call(one), "many": call(many)})
        yield Figure(
            f"{name} recommend, {num_items:,} items, queries a second of a batch of {LARGE_BATCH}, of those of one",
            LARGE_BATCH * seconds["one"] / seconds["many"],
            3.0,
            True,
            f"{1e3 * seconds['many']:.1f} ms and {1e3 * seconds['one']:.2f} ms",
        )


def _calls(
    folder: Path, graphs: EndpointGraphs, vocabularies: Mapping[str, Vocabulary], one: Values
) -> dict[str, Call]:
    """Writes every format, and gives what asks each artefact."""
    score = {"user": one["user"], "items": np.ones((1, 1), np.int64)}
    query, items = {"user": one["user"]}, {"items": np.ones(1, np.int64)}
    requests = {"recommend": one, "score": score, "embed_query": query, "embed_items": items}
    source = Source(graphs, vocabularies, requests)
    calls = {}
    for made in FORMATS.values():
        options = _options(made, FAST)
        made.write(folder / made.name, source, options)
        for name in made.written(options):
            place = find_artefact(name)[1].place(folder, source.version)
            calls[name] = _call(made, made.open(place, graphs.endpoints))
    return calls


def _call(made: Format, runtime: Runtime) -> Call:
    return lambda inputs: made.prepared(runtime, inputs)


def _options(made: Format, quantize: tuple[str, ...]) -> dict[str, OptionValue]:
    """The options of a format, with quantized files where it can write some."""
    takes = any(option.name == "quantize" for option in made.options)
    return Options((made.name,), of_formats={"quantize": quantize} if takes else {}).of(made)


def _inputs(users: np.ndarray, nothing: np.ndarray) -> Values:
    return {"user": users, "exclude": nothing, "candidates": nothing}


def _overlap(whole: Call, quantized: Call) -> float:
    """The mean share of the best items of the float file that are among the best of a quantized one."""
    users = _inputs(np.arange(1, USERS + 1), np.full((USERS, 1), -1))
    wanted, given = whole(users)(), quantized(users)()
    return float(np.mean([np.isin(row, best).mean() for row, best in zip(given, wanted, strict=True)]))


def _medians(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
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


def _embedding(model: keras.Model, rows: int) -> keras.Variable:
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
        source = Source(graphs, vocabularies, requests)
        for made in FORMATS.values():
            if any(artefact.is_quantized for artefact in made.artefacts):
                yield from _sizes_of(made, source, name)


def _sizes_of(made: Format, source: Source, architecture: str) -> Iterator[Figure]:
    """The size of every quantized artefact of a format, as a share of the float one."""
    options = _options(made, SMALL)
    with tempfile.TemporaryDirectory() as scratch:
        made.write(Path(scratch) / made.name, source, options)
        whole, *quantized = made.written(options)
        sizes = {name: find_artefact(name)[1].size(Path(scratch), source.version) for name in (whole, *quantized)}
    for name in quantized:
        about = f"{sizes[name] / 1e6:.2f} of {sizes[whole] / 1e6:.2f} MB"
        yield Figure(f"{name} of {architecture}, size, of the float file", sizes[name] / sizes[whole], 0.3, about=about)


def _demo_export() -> Figure:
    """The seconds of exporting and verifying the largest model of the demo, in every format."""
    plan = read_yaml(configs_folder() / "demo.yaml")
    data = load_dataset(plan["data"])
    name = max(plan["models"], key=lambda name: zoo.build(name, data.schema).count_params())
    run = zoo.train(name, data, progress=False, train={"epochs": 1})
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        export(run, Path(scratch) / "bundle")
        seconds = time.perf_counter() - start
    parameters = f"{run.model.count_params():,} numbers"
    return Figure(f"export and verification of {name}, the largest model of the demo, s", seconds, 60, about=parameters)
