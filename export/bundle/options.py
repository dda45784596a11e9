"""How a bundle is written: its formats, their options, and what quantized artefacts may lose."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, JsonValue

from export.formats.base import FORMATS, Format, Option, OptionValue
from zoo.config import ExportConfig
from zoo.errors import UserError, unknown_name


@dataclasses.dataclass(frozen=True)
class Options:
    """How a bundle is written.

    Args:
        formats: Names of registered formats. By default these are all of them.
        k: How many items `recommend` gives. By default it is 100, or the whole of a smaller catalogue.
        of_formats: The options of formats by name, e.g. `{"quantize": ("int8",), "opset": 18}`. One that is left out
            has the default of its format.
        limits: What quantized artefacts may lose.

    Raises:
        UserError: If a format or an option is unknown, an option belongs to none of the formats, or a value is wrong.
    """

    formats: tuple[str, ...] = dataclasses.field(default_factory=lambda: tuple(FORMATS))
    k: int | None = None
    of_formats: Mapping[str, OptionValue] = dataclasses.field(default_factory=dict)
    limits: ExportConfig = dataclasses.field(default_factory=ExportConfig)

    def __post_init__(self) -> None:
        if not self.formats:
            raise UserError(f"No format was asked for. Valid: {', '.join(FORMATS)}.")
        object.__setattr__(self, "of_formats", _changed(self.of_formats))
        _check_owners(self.of_formats, self.chosen)
        for made in self.chosen:
            made.check(self.of(made))

    @property
    def chosen(self) -> list[Format]:
        """The formats themselves. An unknown name raises a `UserError`."""
        return [FORMATS[name] for name in self.formats]

    @property
    def values(self) -> dict[str, OptionValue]:
        """The value of every option of every format, by name."""
        return {name: value for made in self.chosen for name, value in self.of(made).items()}

    @property
    def artefacts(self) -> tuple[str, ...]:
        """The names of what a bundle holds, e.g. its formats and the quantized TFLite files."""
        return tuple(name for made in self.chosen for name in made.written(self.of(made)))

    def of(self, made: Format) -> dict[str, OptionValue]:
        """The value of every option of a format."""
        return {option.name: self.of_formats.get(option.name, option.default) for option in made.options}

    def to_json(self) -> dict[str, JsonValue]:
        """The options for the manifest."""
        return {
            "formats": list(self.formats),
            "k": self.k,
            **{name: _json(value) for name, value in self.values.items()},
            "limits": self.limits.model_dump(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, JsonValue]) -> Options:
        """The options that `to_json` described."""
        shared = _Shared.model_validate(values)
        rest = {name: value for name, value in values.items() if name not in _Shared.model_fields}
        return cls(tuple(shared.formats), shared.k, option_values(rest), shared.limits)


class _Shared(BaseModel):
    """What a manifest says of the options that no format owns."""

    formats: list[str]
    k: int | None
    limits: ExportConfig


def option_values(given: Mapping[str, object]) -> dict[str, OptionValue]:
    """Values of options as formats take them: several values as a tuple without repetitions, a single one as one."""
    lists = {name for name, option in _known_options().items() if option.is_list}
    return {name: names_of(value) if name in lists else _single(value) for name, value in given.items()}


def names_of(names: object) -> tuple[str, ...]:
    """Names without repetitions, from one name or several."""
    if isinstance(names, str):
        return (names,)
    assert isinstance(names, Iterable)
    return tuple(dict.fromkeys(names))


def _single(value: object) -> OptionValue:
    assert value is None or isinstance(value, (str, int))
    return value


def _json(value: OptionValue) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value


def _known_options() -> dict[str, Option]:
    return {option.name: option for made in FORMATS.values() for option in made.options}


def _changed(given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """The options whose value is not the default, and those that nobody knows."""
    known = _known_options()
    return {name: value for name, value in given.items() if name not in known or value != known[name].default}


def _check_owners(given: Mapping[str, OptionValue], chosen: Iterable[Format]) -> None:
    """Raises a `UserError` if an option belongs to no chosen format."""
    known = _known_options()
    for name in given:
        if name not in known:
            raise unknown_name("option", name, known)
    taken = {option.name for made in chosen for option in made.options}
    for name in (name for name in given if name not in taken):
        raise UserError(f"{name}: only for {_owners(known[name])}, which was not asked for. Leave it out.")


def _owners(option: Option) -> str:
    """The titles of the formats that take an option."""
    return " and ".join(made.title for made in FORMATS.values() if option in made.options)
