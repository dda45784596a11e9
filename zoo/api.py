"""The short way to what the zoo offers: `zoo.list_models`, `zoo.info`, `zoo.load` and `zoo.evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.registry import Spec, spec, specs

if TYPE_CHECKING:
    from zoo.data.dataset import Part
    from zoo.evaluation.protocols import Evaluation
    from zoo.run import Run


def list_models(pattern: str = "*") -> list[str]:
    """The names of architectures, sorted.

    Args:
        pattern: A shell-style pattern that the names must match. By default all match.

    Returns:
        The names, each of which `zoo.build`, `zoo.train` and `zoo.info` take.

    Example:

    >>> import zoo
    >>> zoo.list_models("n*")
    ['ncf', 'neumf', 'ngcf']
    """
    return list(specs(pattern))


def info(name: str) -> Spec:
    """What is known of an architecture before it is built.

    Args:
        name: The name of an architecture, see `list_models`.

    Returns:
        A `Spec` with the hparams and their defaults, the objective, the roles that a query reads and the paper.

    Raises:
        UserError: If no architecture has the name. The error names the near ones.

    Example:

    >>> import zoo
    >>> zoo.info("ncf").hparams["embedding_dim"]
    32
    """
    return spec(name)


def load(folder: str | Path) -> Run:
    """The run in a folder.

    Args:
        folder: A folder that `zoo train`, `zoo.train` or `Run.save` has written.

    Returns:
        A `Run` with the model, the data, all settings and the figures.

    Raises:
        UserError: If the folder holds no run, or a file of it is missing, truncated or edited.
    """
    from zoo.run import Run

    return Run.load(folder)


def evaluate(run: Run | str | Path, protocol: str | None = None, part: Part = "test", **settings: object) -> Evaluation:
    """The figures of a run on a held-out part of its data, beside popularity.

    Args:
        run: A run, or the folder of one.
        protocol: The name of a protocol. By default the one that the run was configured with, else the one that fits
            the model and the data.
        part: `"valid"` or `"test"`.
        **settings: Settings of `evaluate` for this time, e.g. `ks=(5, 20)` or `negatives={"number": 50}`.

    Returns:
        An `Evaluation`: every metric with its 95% interval over users, and the name of the protocol.

    Raises:
        UserError: If the folder holds no run, a name or a setting is wrong, or the protocol does not fit the data.
    """
    from zoo.run import Run

    loaded = run if isinstance(run, Run) else Run.load(run)
    return loaded.evaluate(protocol, part, **settings)
