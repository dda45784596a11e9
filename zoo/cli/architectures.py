"""What `zoo list` and `zoo info` say of architectures."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.registry import Spec


def spec_json(one: Spec) -> dict[str, object]:
    """What is known of an architecture before it is built, as JSON."""
    return {
        "name": one.name,
        "summary": one.summary,
        "objective": one.objective,
        "query": list(one.query),
        "paper": one.paper,
        "ordered": one.ordered,
        "hparams": dict(one.hparams),
    }


def markdown_table(found: Iterable[Spec]) -> str:
    """A row an architecture: name, family, objective, what its query reads, what it is and what it reached."""
    from zoo.bench.results import best_figures, read_rows, recorded_results
    from zoo.registry import build

    best = best_figures(read_rows(recorded_results()))
    columns = ("name", "family", "objective", "query", "what it is", "best recorded figures")
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for one in found:
        family = type(build(one.name, **one.tiny)).__name__.lower()
        source = f" [{one.paper}]" if one.paper else ""
        reached = [
            f"{figure.metric} {figure.mean:.4f} (`{figure.benchmark}`, {figure.protocol})"
            for figure in best.get(one.name, ())
        ]
        cells = (f"`{one.name}`", family, one.objective, ", ".join(one.query), f"{one.summary}{source}")
        lines.append(f"| {' | '.join(cells)} | {'; '.join(reached) or '-'} |")
    return "\n".join(lines)
