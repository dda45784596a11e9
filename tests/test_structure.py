"""The structure that keeps the code easy to change, read from its source without running it."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from radon.complexity import average_complexity, cc_visit

import zoo.registry
from zoo.registries import Registry

ROOT = Path(__file__).parent.parent
PACKAGES = ("zoo", "export")

# The order of imports: a module imports modules of its own layer and of those above it in this list. The longest name
# that fits a module decides its layer.
LAYERS = (
    ("zoo.errors", "zoo.types"),
    ("zoo.options", "zoo.plugins", "zoo.memory", "zoo.keras_internals", "zoo.yaml_reader"),
    ("zoo.config", "zoo.files", "zoo.locks", "zoo.registries", "zoo.solvers"),
    ("zoo.schema", "zoo.arrays"),
    ("zoo.layers",),
    ("zoo.families",),
    # `build` gives a `Recommender`, so the registry of architectures knows the families, and not they it.
    ("zoo.registry",),
    ("zoo.models",),
    ("zoo.objectives", "zoo.data"),
    ("zoo.saving", "zoo.training", "zoo.evaluation"),
    ("zoo.cold_start", "zoo.run"),
    # `train` gives a `Run`.
    ("zoo.training.train",),
    ("zoo.comparison", "zoo.bench"),
    ("zoo", "zoo.api"),
    ("zoo.cli", "zoo.__main__"),
    ("export.endpoints", "export.markdown"),
    ("export.values", "export.rendering"),
    # What TF Serving reads is part of the SavedModel, and the signatures are shared with its client.
    ("export.serving",),
    ("export.formats",),
    ("export.verification",),
    ("export.bundle",),
    # An index of tensorflow-recommenders is made from a bundle.
    ("export.serving.tfrs",),
    ("export",),
    ("export.commands",),
)

# What is left to move into the object that has the name.
LEFT: set[tuple[str, str]] = set()


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the packages and its file."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[tuple[str, int]]:
    """The modules that a module imports, inside functions and for types too, and the lines."""
    for node in ast.walk(tree(module)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            # `from zoo.schema import Schema` imports the module `zoo.schema`.
            known = name if name in modules() else name.rpartition(".")[0]
            if known in modules():
                yield known, node.lineno


@functools.cache
def graph() -> dict[str, dict[str, int]]:
    """For every module those that it imports, and a line where it does."""
    return {module: dict(imports(module)) for module in modules()}


def layer(module: str) -> int:
    """The place of a module in `LAYERS`."""
    fitting = [
        (len(name), place)
        for place, names in enumerate(LAYERS)
        for name in names
        if module == name or (name != "zoo" and module.startswith(f"{name}."))
    ]
    assert fitting, f"{module} is in no layer: add it to LAYERS"
    return max(fitting)[1]


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The sets of modules that import each other, directly or through others (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in graph[module]:
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            place = stack.index(module)
            if len(stack) - place > 1 or module in graph[module]:
                found.append(sorted(stack[place:]))
            del stack[place:]

    for module in graph:
        if module not in order:
            visit(module)
    return found


def test_a_planted_circle_is_found():
    assert circles({"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": []}) == [["a", "b", "c"]]
    assert circles({"a": ["a"], "b": ["a"]}) == [["a"]]
    assert circles({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_imports_are_read_wherever_they_stand(monkeypatch):
    source = """
from typing import TYPE_CHECKING
import zoo.schema as known
if TYPE_CHECKING:
    from zoo.run import Run
def later():
    from zoo import config
"""
    monkeypatch.setattr(sys.modules[__name__], "tree", lambda module: ast.parse(source))
    assert dict(imports("planted")) == {"zoo.schema": 3, "zoo.run": 5, "zoo.config": 7}


def test_modules_do_not_import_each_other_in_a_circle():
    assert circles(graph()) == []


def test_imports_run_down_the_layers():
    rising = [
        f"{module}, line {line}: imports {other}"
        for module, others in graph().items()
        for other, line in others.items()
        if layer(other) > layer(module)
    ]
    assert rising == []


def test_zoo_does_not_import_export():
    found = [
        f"{module}, line {line}: imports {other}"
        for module, others in graph().items()
        for other, line in others.items()
        if module.startswith("zoo") and other.startswith("export")
    ]
    assert found == []


def registries() -> Iterator[Registry]:
    """Every registry that is a constant of a module."""
    for module in modules():
        for node in tree(module).body:
            value = getattr(node, "value", None)
            if isinstance(value, ast.Call) and ast.unparse(value.func).partition("[")[0] == "Registry":
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                yield getattr(importlib.import_module(module), target.id)


@functools.cache
def homes() -> dict[str, set[Path]]:
    """For every registered name the files in which an object has it."""
    found: dict[str, set[Path]] = {}
    for known in zoo.registry.specs().values():
        found.setdefault(known.name, set()).add(Path(known.file))
    for registry in registries():
        for name in registry:
            found.setdefault(name, set()).add(Path(registry.file_of(name)))
    return found


def compared(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The texts that a file compares something with, and the lines."""
    for node in ast.walk(tree):
        given: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            given = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = node.args if node.func.attr in ("startswith", "endswith") else []
        elif isinstance(node, ast.MatchValue):
            given = [node.value]
        for value in given:
            for part in value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]:
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value, part.lineno


def test_planted_comparisons_are_found():
    source = """
a == "one"
"two" != a
a in ("three", "four")
a.startswith("five")
match a:
    case "six":
        pass
a["seven"], f("eight"), {"nine": a}
"""
    assert {text for text, _ in compared(ast.parse(source))} == {"one", "two", "three", "four", "five", "six"}


def test_a_name_is_compared_only_in_the_file_of_its_object():
    faults = [
        f"{module}, line {line}: {text!r}"
        for module, path in modules().items()
        for text, line in compared(tree(module))
        if text in homes() and path not in homes()[text] and (module, text) not in LEFT
    ]
    assert faults == []


def test_files_have_at_most_400_lines():
    long = {}
    for folder in (*PACKAGES, "tests", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > 400:
                long[str(path.relative_to(ROOT))] = lines
    assert long == {}


def test_any_is_written_fewer_than_300_times():
    texts = {module: path.read_text(encoding="utf-8") for module, path in modules().items()}
    written = {module: len(re.findall(r"\bAny\b", text)) for module, text in texts.items()}
    total, most = sum(written.values()), sorted(written, key=written.__getitem__)[-10:]
    assert total < 300, f"{total} times, most of them in {most}"


def test_functions_are_simple_on_average():
    blocks = [block for path in modules().values() for block in cc_visit(path.read_text(encoding="utf-8"))]
    worst = sorted(blocks, key=lambda block: -block.complexity)[:10]
    assert average_complexity(blocks) <= 3.0, [f"{block.name}: {block.complexity}" for block in worst]


@pytest.mark.parametrize(
    "module", ["zoo", "zoo.config", "zoo.evaluation.protocols", "zoo.evaluation.metrics", "export", "export.formats"]
)
def test_importing_is_light(module):
    code = f"import sys, {module}; print(*({{'tensorflow', 'keras', 'pandas'}} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == ""
