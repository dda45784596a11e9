"""`zoo list` and `zoo info`: what architectures there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from zoo.cli.console import AsJson, print_json, print_table, quiet_tensorflow
from zoo.errors import unknown_name
from zoo.registry import Spec, spec, specs


def list_models(
    pattern: Annotated[str, typer.Argument(help="A shell-style pattern, e.g. '*cf'.")] = "*",
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README.")] = False,
) -> None:
    """List the architectures."""
    found = specs(pattern)
    if not found:
        raise unknown_name("architecture", pattern, specs())
    if as_json:
        print_json([_facts(one) for one in found.values()])
        return
    if markdown:
        quiet_tensorflow()
        print(markdown_table(found.values()))
        return
    width = max(map(len, found))
    for one in found.values():
        print(f"{one.name:{width}}  {one.summary}")


def info(name: Annotated[str, typer.Argument(help="A registered architecture.")], as_json: AsJson = False) -> None:
    """Show what is known of an architecture: hparams, preset, objective, paper."""
    from zoo.config import preset

    one = spec(name)
    settings = preset(name)
    if as_json:
        print_json({**_facts(one), "preset": settings})
        return
    print(f"{one.name}: {one.summary}")
    print(f"  objective  {one.objective}")
    print(f"  query      {', '.join(one.query)}")
    print(f"  paper      {one.paper or '-'}")
    print(f"  file       {one.file}")
    print_table("hparams", ["name", "default"], [(key, repr(value)) for key, value in one.hparams.items()])
    if settings:
        print_table("preset", ["setting", "value"], list(_flat(settings)))


def markdown_table(found: Iterable[Spec]) -> str:
    """A row an architecture: name, family, objective, what its query reads, and what it is."""
    from zoo.registry import build

    lines = ["| name | family | objective | query | what it is |", "| --- | --- | --- | --- | --- |"]
    for one in found:
        family = type(build(one.name, **one.tiny)).__name__.lower()
        source = f" [{one.paper}]" if one.paper else ""
        lines.append(f"| `{one.name}` | {family} | {one.objective} | {', '.join(one.query)} | {one.summary}{source} |")
    return "\n".join(lines)


def _facts(one: Spec) -> dict[str, Any]:
    return {
        "name": one.name,
        "summary": one.summary,
        "objective": one.objective,
        "query": list(one.query),
        "paper": one.paper,
        "ordered": one.ordered,
        "hparams": dict(one.hparams),
    }


def _flat(settings: dict[str, Any], path: str = "") -> Any:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
