"""The texts of `zoo list` and `zoo info` on architectures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from zoo.cli.console import quiet_tensorflow
from zoo.registry import Spec, build


def spec_json(one: Spec) -> dict[str, object]:
    """What is known of an architecture before it is built, as JSON."""
    return {
        "name": one.name,
        "summary": one.summary,
        "objective": one.objective or None,
        "solver": one.solver or None,
        "query": list(one.query),
        "paper": one.paper,
        "ordered": one.ordered,
        "unfit": one.not_meant_for or None,
        "hparams": dict(one.hparams),
    }


def hparam_meanings(one: Spec) -> dict[str, str]:
    """The meaning of each hparam of an architecture, from the section `Hparams:` of the docstring in its file.

    Args:
        one: The architecture.

    Returns:
        The meaning by the name of the hparam, without those that the docstring leaves out.

    Example:

    >>> import zoo
    >>> hparam_meanings(zoo.info("mf"))["biases"]
    'Whether users and items have biases.'
    """
    _, _, section = _docstring(one).partition("\nHparams:\n")
    # The section ends where a line is not indented.
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in entries}


def family(one: Spec) -> str:
    """The family of an architecture: `"towers"`, `"pairs"` or `"item logits"`.

    It is the class that the builder is annotated to return. An architecture without that annotation is built, which
    imports TensorFlow.

    Args:
        one: The architecture.

    Example:

    >>> import zoo
    >>> family(zoo.info("ease"))
    'item logits'
    """
    builder = _builder(_tree(one), one.name)
    if builder is not None and builder.returns is not None:
        words = re.findall("[A-Z][a-z]*", ast.unparse(builder.returns).rpartition(".")[2])
        return " ".join(words).lower()
    quiet_tensorflow()
    return build(one.name, **one.tiny).family


def _docstring(one: Spec) -> str:
    """The docstring of the builder, else that of its file."""
    tree = _tree(one)
    builder = _builder(tree, one.name)
    own = ast.get_docstring(builder) if builder else None
    return own or ast.get_docstring(tree) or ""


def _tree(one: Spec) -> ast.Module:
    return ast.parse(Path(one.file).read_text(encoding="utf-8"))


def _builder(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return next((function for function in functions if function.name == name), None)


def markdown_table(found: Iterable[Spec]) -> str:
    """A row an architecture: name, family, objective, what its query reads, what it is and what it reached."""
    from zoo.bench.results import best_figures, read_rows, recorded_results

    best = best_figures(read_rows(recorded_results()))
    columns = ("name", "family", "objective or solver", "query", "what it is", "best recorded figures")
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for one in found:
        source = f" [{one.paper}]" if one.paper else ""
        reached = [
            f"{figure.metric} {figure.mean:.4f} (`{figure.benchmark}`, {figure.protocol})"
            for figure in best.get(one.name, ())
        ]
        cells = (f"`{one.name}`", family(one), one.learner, ", ".join(one.query), f"{one.summary}{source}")
        lines.append(f"| {' | '.join(cells)} | {'; '.join(reached) or '-'} |")
    return "\n".join(lines)
