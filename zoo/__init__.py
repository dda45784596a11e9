"""Every recommender architecture behind `zoo.build`, one training loop, and numbers that name their protocol.

Importing this package does not import TensorFlow; that happens when something needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.registry import Spec, build, register, spec, specs

if TYPE_CHECKING:
    from zoo.run import Run
    from zoo.training.train import train

__version__ = "0.1.0"
__all__ = ["Run", "build", "evaluate", "info", "list_models", "load", "register", "train"]


def list_models(pattern: str = "*") -> list[str]:
    """The names of the architectures that match a shell-style pattern.

    Example:

    >>> list_models("n*")
    ['ncf']
    """
    return list(specs(pattern))


def info(name: str) -> Spec:
    """What is known of an architecture before it is built: hparams with defaults, objective, paper."""
    return spec(name)


def load(folder: Any) -> Run:
    """Loads a run that was saved into a folder. Raises a `UserError` if a file was truncated or edited."""
    from zoo.run import Run

    return Run.load(folder)


def evaluate(run: Any, protocol: str | None = None, part: str = "test") -> Any:
    """Evaluates a run, or the folder of one; see `Run.evaluate`."""
    from zoo.run import Run

    loaded = run if isinstance(run, Run) else Run.load(run)
    return loaded.evaluate(protocol, part)  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    # These import TensorFlow, so they wait until they are asked for.
    if name == "train":
        from zoo.training.train import train

        return train
    if name == "Run":
        from zoo.run import Run

        return Run
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")
