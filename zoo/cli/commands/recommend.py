"""`zoo recommend`: the best items for users of a run."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Annotated

import typer

from zoo.cli.console import AsJson, print_json, print_table, printable
from zoo.cli.runs import RunFolder, load_run
from zoo.errors import UserError

# A feature record as it is written in a shell.
RECORD = """'{"age": 34}'"""


def recommend(
    run: RunFolder,
    users: Annotated[list[str] | None, typer.Option("--user", help="A user id; may be repeated.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(help=f"What is known of a new user, e.g. {RECORD}; may be repeated."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Recommend seen items, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend items to users of a run. A user may be unknown, and may be known only by features."""
    asked = [*(users or []), *map(_feature_record, features or [])]
    if not asked:
        raise UserError(f"Nobody was named. Give users, e.g. --user 15 or --features {RECORD}.")
    loaded = load_run(run)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        frame = loaded.recommend(asked, k, exclude_seen=not keep_seen)
    for one in caught:
        print(printable(f"Warning: {one.message}"), file=sys.stderr)
    if as_json:
        print_json(frame.to_dict("records"))
    else:
        print_table("", list(frame.columns), frame.assign(score=frame["score"].map("{:.4f}".format)).to_numpy())


def _feature_record(text: str) -> dict[str, object]:
    try:
        record = json.loads(text)
    except ValueError as error:  # no JSON, or an integer too long to read
        raise UserError(f"--features: {text!r} is no JSON ({error}). Write e.g. {RECORD}.") from error
    if not isinstance(record, dict):
        raise UserError(f"--features: expected a JSON object, e.g. {RECORD}. Received: {text!r}.")
    return record
