"""TFLite, for phones, browsers and small devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.formats.base import FORMATS, Artefact, Call, Format, Option, Options, OptionValue, Runtime, Source
from export.formats.quantization import VARIANTS
from export.formats.tflite.files import FILE, LIST_LENGTH, VOCABULARIES, file_name
from export.values import Values, indexed
from zoo.errors import UserError

if TYPE_CHECKING:
    from export.endpoints import Endpoint


def title_of(variant: str) -> str:
    """What people call a variant, e.g. `TFLite (8-bit weights)`."""
    return f"TFLite ({VARIANTS[variant].title})"


def _artefact_name(variant: str) -> str:
    return f"tflite-{variant}"


class TFLite(Format):
    """One file with a signature for every endpoint. Indices go in and out, and the vocabularies are attached."""

    name = "tflite"
    title = "TFLite"
    tags = ("tflite", "litert")
    artefacts = (
        Artefact("tflite", "TFLite", f"tflite/{FILE}"),
        *(
            Artefact(_artefact_name(variant), title_of(variant), f"tflite/{file_name(variant)}", is_quantized=True)
            for variant in VARIANTS
        ),
    )
    options = (
        Option("quantize", f"Smaller TFLite files to write too: {', '.join(VARIANTS)}.", is_list=True),
        Option("batch", "Fix the batch size of TFLite files, and with it the length of lists.", int),
        Option("allow_flex", "TFLite files may need the Flex delegate.", bool),
    )
    packages = ("tensorflow", "ai-edge-litert")
    wrong_requests = (
        (
            "LiteRT",
            "`ValueError` with the number of inputs expected and given, without their names",
            "`ValueError` with both dtypes that names the input as `recommend_<name>:0`",
        ),
    )
    about_ids = (
        "TFLite files are the exception: their ids are indices (int32). 0 is padding, 1 unknown, and known values "
        f"start at 2 in the order of `{VOCABULARIES}`, which is attached to the file."
    )
    about_latency = "of TFLite with the lookups in Python"
    most_reads = 1.5

    def check(self, options: Options) -> None:
        """Raises a `UserError` for an unknown quantization or a batch size below 1."""
        for variant in _variants(options):
            VARIANTS[variant]  # The registry raises the error for an unknown name.
        batch = options["batch"]
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise UserError(f"batch must be at least 1. Received: {batch}.")

    def written(self, options: Options) -> tuple[str, ...]:
        """The float file and the quantized ones that were asked for."""
        return (self.name, *map(_artefact_name, _variants(options)))

    def write(self, folder: Path, source: Source, options: Options) -> None:
        """Writes the float file and the quantized ones."""
        from export.formats.tflite import writer

        endpoints = source.graphs.endpoints
        writer.write(
            source.graphs,
            source.vocabularies,
            folder,
            quantize=_variants(options),
            batch=_batch(options),
            allow_flex=bool(options["allow_flex"]),
            sample={e.name: indexed(e, source.requests[e.name], source.vocabularies) for e in endpoints},
        )

    def open(self, place: Path, endpoints: tuple[Endpoint, ...]) -> Runtime:
        """A file, run by LiteRT, between lookups in the vocabularies attached to it."""
        from export.formats.tflite.runtime import TFLiteRuntime

        return TFLiteRuntime(place, endpoints)

    def prepared(self, runtime: Runtime, inputs: Values) -> Callable[[], np.ndarray]:
        """A call of `recommend` without the lookups. Its items are indices."""
        from export.formats.tflite.runtime import TFLiteRuntime

        assert isinstance(runtime, TFLiteRuntime)
        return runtime.prepared("recommend", inputs)

    def noted(self, options: Options) -> Mapping[str, OptionValue] | None:
        """The fixed sizes, if there are any."""
        batch = _batch(options)
        return None if batch is None else {"batch": batch, "list_length": LIST_LENGTH}

    def longest_list(self, options: Options) -> int | None:
        """The fixed length of lists, if there is one."""
        return LIST_LENGTH if _batch(options) else None

    def how_to_call(self, call: Call) -> list[str]:
        """Requests in Python, Kotlin and Swift."""
        from export.formats.tflite.examples import how_to_call

        return [how_to_call(call.endpoints["recommend"], call.examples["recommend"], _batch(call.options))]

    def limits(self, options: Options, losses: Mapping[str, str]) -> Iterable[str]:
        """What fixed sizes and quantization cost."""
        if batch := _batch(options):
            yield (
                f"The TFLite files take {batch} queries a call and lists of {LIST_LENGTH} ids, neither more nor "
                "fewer: fill up with padding."
            )
        for variant in _variants(options):
            loss = losses[_artefact_name(variant)]
            yield f"{title_of(variant)}: answers differ from the trained model's ({loss})."
        for variant in (variant for variant in _variants(options) if VARIANTS[variant].needs_sample):
            yield (
                f"{title_of(variant)}: ids, scores and vectors that go in and out stay int32 and float32, and the "
                "ranges of layers were measured on queries of users of this data."
            )


def _variants(options: Options) -> tuple[str, ...]:
    chosen = options["quantize"]
    assert isinstance(chosen, tuple)
    return chosen


def _batch(options: Options) -> int | None:
    batch = options["batch"]
    assert batch is None or isinstance(batch, int)
    return batch


FORMATS.register(TFLite())
