"""One comparison of an artefact with the trained model, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypedDict

from zoo.errors import ZooError

# What the figure of a float artefact is.
DIFFERENCE = "largest difference"
# Scores that are nearer than this differ by rounding. Others are wrong.
NEARLY = 1e-3


@dataclasses.dataclass(frozen=True)
class Check:
    """One comparison of an artefact with the trained model.

    Args:
        artefact: The artefact, e.g. `"onnx"` or `"tflite-int8"`.
        endpoint: The endpoint.
        batch_size: Queries a call.
        queries: Queries compared.
        what: What the figure is: `"largest difference"` (as a share of the size, if that is above 1). For quantized
            artefacts it is `"top-10 overlap"`, `"NDCG@10 loss"` or `"error"`.
        figure: The figure.
        limit: The largest figure that passes. For an overlap it is the smallest one.
        problem: What else is wrong, in words. It is empty where nothing is.
    """

    artefact: str
    endpoint: str
    batch_size: int
    queries: int
    what: str
    figure: float
    limit: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure keeps to the limit and nothing else is wrong."""
        within = self.figure >= self.limit if self.is_rising else self.figure <= self.limit
        return bool(within) and not self.problem

    @property
    def is_rising(self) -> bool:
        """Whether a larger figure is better, as it is with an overlap."""
        return self.what.endswith("overlap")

    @property
    def shown_figure(self) -> str:
        """The figure for people."""
        if self.what != DIFFERENCE:
            return f"{self.figure:.4f}"
        short = f"{self.figure:.1e}"
        # A figure just above the limit must not look like the limit.
        return f"{self.figure:.4e}" if float(short) <= self.limit < self.figure else short

    @property
    def bound(self) -> str:
        """The limit for people, e.g. `at most 1e-05`."""
        return f"{'at least' if self.is_rising else 'at most'} {self.limit:g}"

    def is_worse_than(self, other: Check) -> bool:
        """Whether the figure is worse than that of another check of the same kind."""
        return self.figure < other.figure if self.is_rising else self.figure > other.figure

    def __str__(self) -> str:
        problem = f"; {self.problem}" if self.problem else ""
        return (
            f"{self.artefact} {self.endpoint}, batch {self.batch_size}, {self.queries} queries: "
            f"{self.what} {self.shown_figure} ({self.bound}){problem}"
        )

    def to_json(self) -> CheckJson:
        """The check for the manifest."""
        made: CheckJson = {**dataclasses.asdict(self), "passed": self.passed}  # type: ignore[typeddict-item]
        return made

    @classmethod
    def from_json(cls, values: CheckJson) -> Check:
        """The check that `to_json` described."""
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})  # type: ignore[literal-required]


class CheckJson(TypedDict):
    """A `Check` in a manifest."""

    artefact: str
    endpoint: str
    batch_size: int
    queries: int
    what: str
    figure: float
    limit: float
    problem: str
    passed: bool


Report = Callable[[Check], None]


def raise_if_failed(checks: list[Check], consequence: str) -> None:
    """Raises a `ZooError` that lists the checks that failed, if any did."""
    failed = [check for check in checks if not check.passed]
    if failed:
        listed = "\n".join(f"  {check}" for check in failed)
        raise ZooError(f"{len(failed)} of {len(checks)} checks failed. {consequence}\n{listed}{_way_out(failed)}")


def _way_out(failed: list[Check]) -> str:
    """What to do if scores are not near enough and nothing else is wrong."""
    largest = max(check.figure for check in failed)
    if any(check.problem or check.what != DIFFERENCE for check in failed) or not largest < NEARLY:
        return ""
    return (
        "\nThe artefacts rank as the model does, and their scores differ in the last digits, because runtimes add up "
        f"numbers in different orders. If that is near enough, allow it: --set export.tolerance={2 * largest:.0e}."
    )
