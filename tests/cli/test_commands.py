"""Subcommands: they are found by name, imported singly, and come from packages and files of a user's own too."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import zoo
from zoo.cli import loader

HELLO = '''
from typing import Annotated

import typer

from zoo.cli import command


@command
def say_hello(name: str, loud: Annotated[bool, typer.Option("--loud", help="Shout.")] = False) -> None:
    """Greet somebody."""
    print(f"HELLO {name}" if loud else f"Hello {name}")
'''
OWN = ("list", "info", "settings", "train", "evaluate", "recommend", "compare", "bench", "doctor")
EXPORTS = ("export", "verify", "refresh", "demo")


@pytest.fixture
def own_commands(monkeypatch):
    """No commands of files, before and after."""
    monkeypatch.setattr(loader, "_functions", {})


def add_package(monkeypatch, folder: Path, name: str, **modules: str) -> None:
    """An installed package whose modules are commands."""
    (folder / name).mkdir()
    for module, code in {"__init__": "", **modules}.items():
        (folder / name / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(loader, "plugins", lambda group: [EntryPoint(name, name, group)])


def test_the_help_lists_every_command_with_what_it_does(zoo_command):
    code, out, _ = zoo_command("--help")
    assert code == 0
    for name in (*OWN, *EXPORTS):
        (line,) = [line for line in out.splitlines() if line.strip("│ ").split(" ")[0] == name]
        assert len(line.strip("│ ").split()) > 3


@pytest.mark.parametrize("name", [*OWN, *EXPORTS])
def test_every_command_has_help(name, zoo_command):
    code, out, _ = zoo_command(name, "--help")
    assert code == 0
    assert f"zoo {name}" in out.replace("__main__.py", "zoo").replace("pytest", "zoo")


def test_the_version_is_the_one_of_the_package(zoo_command):
    assert zoo_command("--version") == (0, f"recozoo {zoo.__version__}\n", "")


def test_a_command_imports_no_other_command():
    code = (
        "import sys; sys.argv = ['zoo', 'list', '--json']; import zoo.cli\n"
        "try: zoo.cli.main()\nexcept SystemExit: pass\n"
        "print(*(name for name in sys.modules if '.commands.' in name), 'rich' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "zoo.cli.commands.list False"


def test_a_typo_gets_the_near_commands(zoo_command):
    code, out, err = zoo_command("trian")
    assert (code, out, err) == (2, "", "Error: Unknown command 'trian'. Did you mean 'train'?\n")


def test_a_file_of_ones_own_adds_a_command(zoo_command, own_commands, monkeypatch, tmp_path):
    (tmp_path / "hello.py").write_text(HELLO)
    monkeypatch.setenv("ZOO_PLUGINS", str(tmp_path / "hello.py"))
    assert zoo_command("say-hello", "Anna", "--loud") == (0, "HELLO Anna\n", "")
    assert "Greet somebody." in zoo_command("--help")[1]
    assert "Did you mean 'say-hello'?" in zoo_command("say-helo")[2]


def test_a_command_of_another_package_is_a_module_of_it(zoo_command, own_commands, monkeypatch, tmp_path):
    add_package(monkeypatch, tmp_path, "added_commands", print_="def print_() -> None:\n    print('printed')\n")
    assert zoo_command("print") == (0, "printed\n", "")


@pytest.mark.parametrize(
    ("package", "modules", "message"),
    [
        ("bare", {"empty": "x = 1"}, "bare.empty: no function 'empty'"),
        ("twice", {"train": ""}, "Two commands are called 'train': in zoo.cli.commands.train and in twice.train."),
    ],
)
def test_a_package_that_cannot_be_read_is_refused(
    package, modules, message, zoo_command, own_commands, monkeypatch, tmp_path
):
    add_package(monkeypatch, tmp_path, package, **modules)
    code, _, err = zoo_command("--help")
    assert code == 2
    assert message in err


def test_an_entry_point_that_names_no_package_is_refused(zoo_command, own_commands, monkeypatch):
    monkeypatch.setattr(loader, "plugins", lambda group: [EntryPoint("gone", "not_there.commands", group)])
    code, _, err = zoo_command("list")
    assert code == 2
    assert "'not_there.commands'" in err


def test_a_file_cannot_take_the_name_of_a_command_that_is_there(zoo_command, own_commands, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(HELLO.replace("say_hello", "train"))
    monkeypatch.setenv("ZOO_PLUGINS", str(tmp_path / "mine.py"))
    code, _, err = zoo_command("--help")
    assert code == 2
    assert "Two commands are called 'train'" in err
