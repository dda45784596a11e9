"""How a bundle is written: its formats, their options, and what quantized artefacts may lose."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from export.formats.base import FORMATS, Format, Option, OptionValue
from zoo.config import ExportConfig
from zoo.errors import UserError, unknown_name


@dataclasses.dataclass(frozen=True)
class Options:
    """How a bundle is written.

    Args:
        formats: Names of registered formats; by default all of them.
        k: How many items `recommend` gives; by default 100, or the whole of a smaller catalogue.
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
        for name in self.formats:
            if name not in FORMATS:
                raise unknown_name("format", name, FORMATS)
        known = _known_options()
        given = {name: v for name, v in self.of_formats.items() if name not in known or v != known[name].default}
        object.__setattr__(self, "of_formats", given)
        _check_owners(given, [FORMATS[name] for name in self.formats])
        for name in self.formats:
            FORMATS[name].check(self.of(FORMATS[name]))

    def of(self, made: Format) -> dict[str, OptionValue]:
        """The value of every option of a format."""
        return {option.name: self.of_formats.get(option.name, option.default) for option in made.options}

    @property
    def artefacts(self) -> tuple[str, ...]:
        """The names of what a bundle holds, e.g. its formats and the quantized TFLite files."""
        return tuple(name for chosen in self.formats for name in FORMATS[chosen].written(self.of(FORMATS[chosen])))

    def to_json(self) -> dict[str, object]:
        """The options for the manifest."""
        of_formats = {name: value for chosen in self.formats for name, value in self.of(FORMATS[chosen]).items()}
        shown = {name: list(value) if isinstance(value, tuple) else value for name, value in of_formats.items()}
        return {"formats": list(self.formats), "k": self.k, **shown, "limits": self.limits.model_dump()}

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Options:
        """The options that `to_json` described."""
        rest = {name: value for name, value in values.items() if name not in ("formats", "k", "limits")}
        limits, k, formats = values["limits"], values["k"], values["formats"]
        assert isinstance(limits, dict)
        assert k is None or isinstance(k, int)
        assert isinstance(formats, list)
        return cls(tuple(formats), k, option_values(rest), ExportConfig(**limits))


def option_values(given: Mapping[str, object]) -> dict[str, OptionValue]:
    """Values of options as formats take them: several values as a tuple without repetitions, a single one as one."""
    found: dict[str, OptionValue] = {}
    for name, value in given.items():
        option = _known_options().get(name)
        if option is not None and option.is_list:
            found[name] = names_of(value)
        else:
            assert value is None or isinstance(value, (str, int))
            found[name] = value
    return found


def names_of(names: object) -> tuple[str, ...]:
    """Names without repetitions, from one name or several."""
    if isinstance(names, str):
        return (names,)
    assert isinstance(names, Iterable)
    return tuple(dict.fromkeys(names))


def _known_options() -> dict[str, Option]:
    return {option.name: option for made in FORMATS.values() for option in made.options}


def _check_owners(given: Mapping[str, OptionValue], chosen: list[Format]) -> None:
    """Raises a `UserError` if an option belongs to no chosen format."""
    known = _known_options()
    for name in given:
        if name not in known:
            raise unknown_name("option", name, known)
    taken = {option.name for made in chosen for option in made.options}
    for name in given:
        if name not in taken:
            owners = [made.title for made in FORMATS.values() if known[name] in made.options]
            raise UserError(f"{name}: only for {' and '.join(owners)}, which was not asked for.")
