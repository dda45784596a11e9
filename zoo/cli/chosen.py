"""The names that a setting such as `train.objective` can have, and the options that each of them takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zoo.cli.console import quiet_tensorflow
from zoo.cli.settings import yaml_text
from zoo.options import MISSING, Option, options_of

Options = dict[str, dict[str, Option]]


def objectives() -> Options:
    """The options of every objective by its name. Imports TensorFlow."""
    quiet_tensorflow()
    from zoo.objectives import OBJECTIVES

    return {name: options_of(kind, without=("model", "dataset")) for name, kind in OBJECTIVES.items()}


def splits() -> Options:
    """The options of every split by its name."""
    from zoo.data.splits import SPLITS

    return {name: one.options for name, one in SPLITS.items()}


def datasets() -> Options:
    """The options of every named dataset by its name."""
    from zoo.data.datasets import DATASETS

    return {name: options_of(one.load, without=("data_root",)) for name, one in DATASETS.items()}


_CHOICES: Mapping[str, Callable[[], Options]] = {
    **dict.fromkeys(("train.objective", "train.options"), objectives),
    **dict.fromkeys(("split.name", "split.options"), splits),
    **dict.fromkeys(("data.source", "data.options"), datasets),
}


def choices_of(setting: str) -> Options:
    """The names that a setting can have, or whose options it holds.

    Args:
        setting: The name of the setting, e.g. `"split.name"` or `"split.options"`.

    Returns:
        For every registered name its options; nothing for any other setting.

    Example:

    >>> list(choices_of("split.options")["users"])
    ['valid', 'test', 'seed', 'holdout']
    """
    choices = _CHOICES.get(setting)
    return choices() if choices else {}


def default_text(option: Option) -> str:
    """The default of an option as `--set` takes it, or that it must be given.

    Example:

    >>> default_text(Option(int, 4)), default_text(Option(int))
    ('4', 'must be given')
    """
    return "must be given" if option.default is MISSING else yaml_text(option.default)
