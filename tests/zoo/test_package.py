"""What `import zoo` gives: names that load when they are used, their types, one version."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import export
import zoo

HEAVY = ("tensorflow", "keras", "pandas", "numpy")


def names_in_the_stub() -> list[str]:
    tree = ast.parse(Path(zoo.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    return [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_dir_lists_what_the_types_list():
    assert sorted(dir(zoo)) == sorted([*names_in_the_stub(), "__version__"])
    assert sorted(zoo.__all__) == sorted(names_in_the_stub())


@pytest.mark.parametrize("name", names_in_the_stub())
def test_every_name_loads_and_is_what_its_module_defines(name):
    assert getattr(zoo, name).__name__ == name


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        zoo.no_such_name  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "code", ["import zoo; dir(zoo)", "import zoo; zoo.list_models()", "import export; dir(export)"]
)
def test_importing_a_package_imports_nothing_heavy(code):
    watched = f"import sys; {code}; print([name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


EVERY_SUBMODULE = """
import importlib, json, pkgutil, sys
import {package} as package
before = {{name: getattr(package, name) for name in package.__all__}}
for module in pkgutil.walk_packages(package.__path__, "{package}."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
names = [name for name in package.__all__ if getattr(package, name) is not before[name]]
names += [name for name, one in before.items() if type(one) is type(sys)]
print("changed:", names)
"""


@pytest.mark.parametrize("package", ["zoo", "export"])
def test_no_submodule_takes_the_place_of_a_public_name(package):
    code = EVERY_SUBMODULE.format(package=package)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert ran.stdout.splitlines()[-1:] == ["changed: []"], ran.stderr


@pytest.mark.parametrize("package", [zoo, export])
def test_no_submodule_has_the_name_of_a_public_name(package):
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert modules.isdisjoint(package.__all__)


def test_the_installed_version_is_the_one_of_the_package():
    assert version("recozoo") == zoo.__version__


@pytest.mark.parametrize("package", [zoo, export])
def test_packages_say_that_they_have_types(package):
    assert (Path(package.__file__).parent / "py.typed").exists()
