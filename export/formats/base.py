"""What an export format is: one object that knows how to write, open, size, explain and ask its own artefacts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from export.values import Values, batches
from zoo.errors import unknown_name
from zoo.registries import Registry

if TYPE_CHECKING:
    from export.endpoints import Endpoint, EndpointGraphs
    from zoo.schema import Vocabulary

OptionValue = str | int | bool | tuple[str, ...] | None
Options = Mapping[str, OptionValue]


class Runtime(Protocol):
    """What answers the endpoints of a bundle."""

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name, in raw values."""


@dataclasses.dataclass(frozen=True)
class Option:
    """An option that a format takes when it is written.

    Args:
        name: Its name, e.g. `"opset"`; on the command line `--opset`.
        about: What it does, for the help.
        kind: `str`, `int` or `bool`: the type of the value, or of each value of a list.
        is_list: Whether it takes several values. On the command line they are separated by commas.
    """

    name: str
    about: str
    kind: type[str] | type[int] | type[bool] = str
    is_list: bool = False

    @property
    def default(self) -> OptionValue:
        """The value where none is given: `False`, an empty list or `None`."""
        return () if self.is_list else False if self.kind is bool else None


@dataclasses.dataclass(frozen=True)
class Artefact:
    """One thing that a format writes and that a runtime opens.

    Args:
        name: Its name in manifests and checks, e.g. `"tflite-int8"`.
        title: Its name for people, e.g. `"TFLite (8-bit weights and layers)"`.
        path: Its file or folder in a bundle. `{version}` stands for the version of the bundle.
        shown: The path as the model card shows it; by default `path`.
        is_quantized: Whether its answers may differ from the trained model's within the limits for quantized files.
    """

    name: str
    title: str
    path: str
    shown: str = ""
    is_quantized: bool = False

    def place(self, bundle: Path, version: str) -> Path:
        """Its file or folder in a bundle."""
        return bundle / self.path.format(version=version)

    def size(self, bundle: Path, version: str) -> int:
        """How many bytes its files have."""
        place = self.place(bundle, version)
        files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files)

    def shown_path(self, version: str) -> str:
        """The path for the model card."""
        return (self.shown or self.path).format(version=version)


@dataclasses.dataclass(frozen=True)
class Source:
    """What a format writes.

    Args:
        graphs: The endpoints of the trained model as graphs over indices.
        vocabularies: What raw values are looked up in, by name.
        requests: Raw requests of real users by endpoint.
        bundle: The name of the bundle's folder.
        version: The version of the bundle, a whole number.
        former: The folder of the bundle that this one replaces, if there is one.
    """

    graphs: EndpointGraphs
    vocabularies: Mapping[str, Vocabulary]
    requests: Mapping[str, Values]
    bundle: str = "bundle"
    version: str = "1"
    former: Path | None = None


@dataclasses.dataclass(frozen=True)
class Call:
    """What the example code of a model card asks.

    Args:
        bundle: The name of the bundle's folder.
        architecture: The name of the architecture, under which TF Serving serves it.
        endpoints: The endpoints by name.
        examples: For each endpoint one real request, `[1, ...]`, in raw values.
        options: The options that the bundle was written with.
    """

    bundle: str
    architecture: str
    endpoints: Mapping[str, Endpoint]
    examples: Mapping[str, Values]
    options: Options


class Format:
    """An export format. A subclass sets the attributes, writes and opens, and is registered in `FORMATS`.

    The bundle, the verification, the model card, the commands and the benchmark read only what is here.
    """

    # The name in `formats=` and `--format`, and the folder in a bundle.
    name: ClassVar[str]
    # What people call it.
    title: ClassVar[str]
    # Tags of the model card.
    tags: ClassVar[tuple[str, ...]] = ()
    # Everything that it can write, the plain artefact first.
    artefacts: ClassVar[tuple[Artefact, ...]]
    # The options that it takes.
    options: ClassVar[tuple[Option, ...]] = ()
    # The packages whose versions the manifest notes.
    packages: ClassVar[tuple[str, ...]] = ()
    # For every runtime: its name, what it says if an input is missing, and if an input has another dtype.
    wrong_requests: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    # A sentence on ids, where they do not go in and out as they are in the data.
    about_ids: ClassVar[str] = ""
    # What the measured latency includes besides the runtime's own work.
    about_latency: ClassVar[str] = ""
    # The benchmark's limit: `recommend` over a large catalogue takes at most so many times as long as reading it.
    most_reads: ClassVar[float] = 2.0

    def check(self, options: Options) -> None:
        """Raises a `UserError` if an option of this format has a value that it cannot have."""

    def written(self, options: Options) -> tuple[str, ...]:
        """The names of the artefacts that are written with some options."""
        return (self.artefacts[0].name,)

    def write(self, folder: Path, source: Source, options: Options) -> None:
        """Writes the artefacts.

        Args:
            folder: The folder of the format in the bundle, which may not exist yet.
            source: What is written.
            options: The value of every option of this format.
        """
        raise NotImplementedError

    def open(self, place: Path, endpoints: tuple[Endpoint, ...]) -> Runtime:
        """The runtime of an artefact.

        Args:
            place: The file or folder of the artefact.
            endpoints: The endpoints of the bundle.

        Returns:
            What answers the endpoints, raw values in and out.
        """
        raise NotImplementedError

    def prepared(self, runtime: Runtime, inputs: Values) -> Callable[[], np.ndarray]:
        """A call of `recommend` that gives the items, for benchmarks. Inputs may be prepared before the call."""
        return lambda: runtime.run("recommend", inputs)["items"]

    def noted(self, options: Options) -> Mapping[str, OptionValue] | None:
        """What the manifest says under the name of the format, for programs that read the artefacts."""
        return None

    def longest_list(self, options: Options) -> int | None:
        """How many ids a list of a request may have. `None` stands for any number."""
        return None

    def last_version(self, folder: Path) -> int:
        """The largest version in a folder of this format; 0 where the format keeps no versions."""
        return 0

    def how_to_call(self, call: Call) -> list[str]:
        """Paragraphs of the model card, in Markdown, that show how to call the artefacts."""
        return []

    def limits(self, options: Options, losses: Mapping[str, str]) -> Iterable[str]:
        """Sentences of the model card on what the artefacts cannot do.

        Args:
            options: The options that the bundle was written with.
            losses: For every quantized artefact, how its answers differ from the trained model's.
        """
        return ()


FORMATS: Registry[Format] = Registry("format", "export.formats", "export.formats")


def find_artefact(name: str) -> tuple[Format, Artefact]:
    """The artefact of a name, and its format.

    Raises:
        UserError: If no registered format writes such an artefact.
    """
    known = {artefact.name: (made, artefact) for made in FORMATS.values() for artefact in made.artefacts}
    if name not in known:
        raise unknown_name("artefact", name, known)
    return known[name]


def ask(runtime: Runtime, endpoint: str, inputs: Values, batch_size: int) -> Values:
    """The outputs of an endpoint for all inputs, asked `batch_size` rows at a time."""
    answers = [runtime.run(endpoint, batch) for batch in batches(inputs, batch_size)]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
