"""A number that an architecture cannot be built with is the user's mistake, whatever the architecture."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from zoo.config import make_config, parse_settings
from zoo.errors import UserError
from zoo.options import MISSING, check_value
from zoo.registry import build, spec, specs


def with_number(name: str, hparam: str, number: int) -> object:
    """A value of an hparam that is the number or a list of it, or `MISSING` if the hparam takes neither."""
    for value in (number, [number]):
        with contextlib.suppress(UserError):
            check_value(hparam, value, spec(name).options[hparam])
            return value
    return MISSING


def numbers() -> Iterator[tuple[str, str, object]]:
    """Every architecture, each of its hparams that takes a number or a list of them, and values below the usual."""
    for name, known in specs().items():
        for hparam in known.hparams:
            for number in (-1, 0):
                value = with_number(name, hparam, number)
                if value is not MISSING and not isinstance(known.hparams[hparam], bool):
                    yield name, hparam, value


@pytest.mark.parametrize(("name", "hparam", "value"), numbers())
def test_a_number_of_0_or_below_builds_or_is_refused_in_words(datasets, name, hparam, value):
    refused = ""
    try:
        build(name, datasets["text"].schema, **{**spec(name).tiny, hparam: value})
    except UserError as error:
        refused = str(error)
    assert not refused or any(word in refused for word in (hparam, str(value), "embedding_dim", "width", "installed"))
    assert "\n" not in refused


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**63, 2**31])
@pytest.mark.parametrize("name", specs())
def test_an_integer_beyond_all_measure_is_refused_before_anything_is_built(monkeypatch, name, number):
    monkeypatch.setattr("zoo.registry._builder", lambda known: pytest.fail("it is built"))
    for hparam, value in too_large(name, number).items():
        with pytest.raises(UserError, match=rf"^{number} is not at (most|least) -?2147483647: hparam '{hparam}"):
            build(name, num_users=5, num_items=5, **{hparam: value})


def too_large(name: str, number: int) -> dict[str, object]:
    """The hparams of an architecture that are integers or lists of them, each with a value of that number."""
    found: dict[str, object] = {}
    for hparam, default in spec(name).hparams.items():
        if type(default) is int:
            found[hparam] = number
        elif isinstance(default, tuple) and default and all(type(one) is int for one in default):
            found[hparam] = [number]
    return found


@pytest.mark.parametrize("setting", ["embedding_dim", "hidden", "train.epochs", "train.batch_size"])
@pytest.mark.parametrize("number", [10**30, 2**63, 2**31])
def test_a_number_beyond_all_measure_is_the_users_mistake(setting, number):
    value = f"[{number}]" if setting == "hidden" else number
    settings = parse_settings([f"{setting}={value}"])
    with pytest.raises(UserError, match=f"^{number} is not at most 2147483647: .*{setting}.*Give at most 2147483647"):
        spec("ncf").check_hparams(make_config("ncf", settings).hparams)


def test_the_command_line_answers_a_number_beyond_all_measure_with_exit_code_2():
    command = [sys.executable, "-m", "zoo", "train", "ncf", "--data", "synthetic", "--set", f"embedding_dim={10**30}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"{10**30} is not at most 2147483647: hparam 'embedding_dim' of 'ncf'." in " ".join(done.stderr.split())
