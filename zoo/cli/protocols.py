"""The options of commands that evaluate. The help lists the protocols that are registered."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from zoo.evaluation.protocols import PROTOCOLS

_LISTED = "\n\n".join(f"{name}: {protocol.question}" for name, protocol in PROTOCOLS.items())

ProtocolName = Annotated[str | None, typer.Option(help=f"How to evaluate; by default as fits the run.\n\n{_LISTED}")]
EvaluateSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A setting of `evaluate` for this time, e.g. evaluate.ks=[5,20] or evaluate.negatives.number=50; "
        "see `zoo settings evaluate`. May be repeated.",
    ),
]
HeldOutPart = Annotated[Literal["valid", "test"], typer.Option(help="The held-out part.")]
