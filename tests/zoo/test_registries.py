"""Registries find named objects in a package, in other installed packages and in files that a user names."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from zoo import plugins, registries
from zoo.errors import UserError
from zoo.registries import Registry

# Registers an object in the registry of the package that a test has made.
COLOUR = """\
import dataclasses
from {package} import COLOURS

@dataclasses.dataclass(frozen=True)
class Colour:
    name: str
    mark: str = __name__

COLOURS.register(Colour({name!r}))
"""


class Made:
    """A package of colours, and the registry of it."""

    def __init__(self, folder, package):
        self.folder, self.package = folder, package

    @property
    def colours(self) -> Registry:
        return importlib.import_module(self.package).COLOURS

    def write(self, path, name, before=""):
        """Writes a file that registers a colour."""
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before + COLOUR.format(package=self.package, name=name))
        return path


@pytest.fixture
def made(tmp_path, monkeypatch, request) -> Made:
    package = f"colours_{abs(hash(request.node.nodeid))}"
    made = Made(tmp_path, package)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(registries.PLUGINS_VARIABLE, raising=False)
    before = set(sys.modules)
    made.write(f"{package}/red.py", "red")
    made.write(f"{package}/blue.py", "blue")
    registry = f'COLOURS = Registry("colour", {package!r}, "zoo.colours")'
    (tmp_path / package / "__init__.py").write_text(f"from zoo.registries import Registry\n\n{registry}\n")
    yield made
    for name in set(sys.modules) - before:
        if name.startswith((package, "zoo_plugins")):
            del sys.modules[name]


@pytest.fixture
def name_plugins(monkeypatch):
    """Sets `ZOO_PLUGINS` to some paths."""
    return lambda *paths: monkeypatch.setenv(registries.PLUGINS_VARIABLE, os.pathsep.join(map(str, paths)))


def test_every_module_of_the_package_is_found(made):
    assert set(made.colours) == {"red", "blue"}
    assert len(made.colours) == 2
    assert "red" in made.colours
    assert made.colours["blue"].mark == f"{made.package}.blue"


def test_nothing_is_imported_before_the_first_look(made):
    colours = made.colours
    assert f"{made.package}.red" not in sys.modules
    assert "red" in colours
    assert f"{made.package}.red" in sys.modules


def test_names_are_sorted_whatever_the_files_are_called(made):
    made.write(f"{made.package}/aaa.py", "yellow")
    made.write(f"{made.package}/zzz.py", "amber")
    assert list(made.colours) == ["amber", "blue", "red", "yellow"]


def test_the_file_of_an_object_is_known(made, name_plugins):
    own = made.write("own.py", "pink")
    name_plugins(own)
    assert made.colours.file_of("red") == str(made.folder / made.package / "red.py")
    assert made.colours.file_of("pink") == str(own)
    with pytest.raises(UserError, match="Unknown colour 'rad'"):
        made.colours.file_of("rad")


def test_an_unknown_name_gives_the_near_ones(made):
    with pytest.raises(UserError, match=r"Unknown colour 'rad'. Did you mean 'red'\?"):
        made.colours["rad"]


def test_a_name_may_be_looked_for_with_a_default(made):
    assert made.colours.get("red") is made.colours["red"]
    assert made.colours.get("rad") is None
    assert made.colours.get("rad", 3) == 3


def test_an_unknown_name_unlike_any_gives_all(made):
    with pytest.raises(UserError, match=r"Unknown colour 'zinc'. Valid: blue, red."):
        made.colours["zinc"]


def test_an_installed_package_adds_objects_by_its_entry_point(made, monkeypatch):
    made.write("installed_colours.py", "green")
    point = EntryPoint("green", "installed_colours", "zoo.colours")
    monkeypatch.setattr(registries, "plugins", lambda group: [point] if group == "zoo.colours" else [])
    try:
        assert list(made.colours) == ["blue", "green", "red"]
    finally:
        sys.modules.pop("installed_colours", None)


def test_entry_points_are_sorted_by_name(monkeypatch):
    points = [EntryPoint(name, name, "zoo.colours") for name in ("b", "c", "a")]

    class Installed:
        def select(self, *, group):
            return [point for point in points if point.group == group]

    monkeypatch.setattr(plugins, "_installed", Installed)
    assert [point.name for point in plugins.plugins("zoo.colours")] == ["a", "b", "c"]
    assert plugins.plugins("zoo.sounds") == []


def test_a_file_and_a_folder_of_a_users_own_add_objects(made, name_plugins):
    one = made.write("own.py", "pink")
    made.write("folder/first.py", "grey")
    made.write("folder/second.py", "gold")
    (made.folder / "folder" / "notes.txt").write_text("not Python")
    name_plugins(one, made.folder / "folder")
    assert list(made.colours) == ["blue", "gold", "grey", "pink", "red"]


def test_a_path_that_does_not_exist_is_named(made, name_plugins):
    name_plugins(made.folder / "nowhere.py")
    with pytest.raises(UserError, match=r"ZOO_PLUGINS names '.*nowhere.py', which does not exist"):
        list(made.colours)


def test_a_file_that_is_not_python_is_named(made, name_plugins):
    path = made.folder / "notes.txt"
    path.write_text("not Python")
    name_plugins(path)
    with pytest.raises(UserError, match=r"notes.txt is not a Python file. Give a file whose name ends with .py"):
        list(made.colours)


def test_two_objects_of_one_name_in_two_files_are_an_error_that_names_both(made, name_plugins):
    name_plugins(made.write("own.py", "red"))
    with pytest.raises(UserError, match=r"Two colours are called 'red': in .*red.py and in .*own.py") as caught:
        list(made.colours)
    assert str(made.folder / "own.py") in str(caught.value)


def test_objects_of_one_class_in_two_files_cannot_share_a_name(made, name_plugins):
    shared = "import types\nfrom {} import COLOURS\nCOLOURS.register(types.SimpleNamespace(name='pink'))\n"
    for name in ("own.py", "other.py"):
        (made.folder / name).write_text(shared.format(made.package))
    name_plugins(made.folder / "own.py", made.folder / "other.py")
    with pytest.raises(UserError, match=r"Two colours are called 'pink': in .*own.py and in .*other.py"):
        list(made.colours)


def test_a_module_that_is_imported_again_replaces_its_own_object(made):
    first = made.colours["red"]
    importlib.reload(sys.modules[f"{made.package}.red"])
    assert made.colours["red"] is not first
    assert len(made.colours) == 2


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("x = 1\ny = (\n", 2, "SyntaxError: '\\(' was never closed"),
        ("x = 1\n\nraise OSError('no disk')\n", 3, "OSError: no disk"),
        ("def f():\n    return {}['a']\n\nf()\n", 2, "KeyError: 'a'"),
        ("import nothing_of_this_name\n", 1, "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError"),
    ],
    ids=["syntax", "exception", "function", "import", "library"],
)
def test_a_file_that_fails_is_named_with_its_line(made, name_plugins, content, line, said):
    path = made.folder / "own.py"
    path.write_text(content)
    name_plugins(path)
    with pytest.raises(UserError, match=rf"own.py, line {line}: .*{said}.*Correct the file") as caught:
        list(made.colours)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_text_is_named(made, name_plugins):
    path = made.folder / "own.py"
    path.write_bytes(b"x = '\xff\xfe'\n")
    name_plugins(path)
    with pytest.raises(UserError, match=r"own.py.*SyntaxError"):
        list(made.colours)


def test_an_error_that_the_file_means_for_the_user_is_left_as_it_is(made, name_plugins):
    path = made.folder / "own.py"
    path.write_text("from zoo.errors import UserError\nraise UserError('Buy paint first.')\n")
    name_plugins(path)
    with pytest.raises(UserError, match=r"^Buy paint first\.$"):
        list(made.colours)


def test_a_file_that_failed_is_run_again_by_the_next_look(made, name_plugins):
    path = made.write("own.py", "pink", before="raise OSError\n")
    name_plugins(path)
    for _ in range(2):
        with pytest.raises(UserError, match="OSError"):
            list(made.colours)
    path.write_text(COLOUR.format(package=made.package, name="pink") + "# mended\n")
    assert list(made.colours) == ["blue", "pink", "red"]


def test_a_file_is_run_once_however_its_path_is_written(made, name_plugins):
    log = made.folder / "log"
    path = made.write("own.py", "pink", before=f"open({str(log)!r}, 'a').write('run ')\n")
    (made.folder / "folder").mkdir()
    name_plugins(path, made.folder / "folder" / ".." / "own.py")
    assert list(made.colours) == ["blue", "pink", "red"]
    registries.run_plugin_files()
    other = Registry("colour", made.package, "zoo.colours")
    assert len(other) == 0
    assert log.read_text() == "run "


def test_the_command_line_shows_a_failing_file_without_a_traceback(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("x = 1\ny = 1 / 0\n")
    ran = subprocess.run(
        [sys.executable, "-m", "zoo", "--help"],
        env={**os.environ, registries.PLUGINS_VARIABLE: str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "ZeroDivisionError" in ran.stderr
    assert "Traceback" not in ran.stderr
