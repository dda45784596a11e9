"""`zoo info` and `zoo settings`: everything that can be set is listed with what it means."""

from __future__ import annotations

import json

import pytest

from zoo.cli.architectures import family, hparam_meanings
from zoo.cli.settings import all_settings
from zoo.config import Config
from zoo.data.splits import SPLITS
from zoo.objectives import OBJECTIVES
from zoo.registry import build, spec, specs

OWN = '''"""One vector a user.

Hparams:
    width: Numbers of a vector,
        on both sides.

Not a section of hparams:
    other: Nothing.
"""

from zoo.families import Towers
from zoo.layers import Embedding
from zoo.registry import register


@register("own", objective="bpr", query=("user",), tiny={"width": 4})
def own(schema, *, width=8, unsaid=(1, 2)):
    pass
'''


BODY = """
    sides = (Embedding(schema.size(side), width)(schema.input(side)) for side in ("user", "item"))
    return Towers(*sides)
"""


@pytest.mark.parametrize("name", specs())
def test_every_hparam_has_a_meaning(name):
    known = spec(name)
    assert set(hparam_meanings(known)) == set(known.hparams)


def test_the_meaning_of_an_hparam_ends_with_its_section(monkeypatch, tmp_path, forgetful_registry):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.setenv("ZOO_MODELS", str(tmp_path / "own.py"))
    assert hparam_meanings(spec("own")) == {"width": "Numbers of a vector, on both sides."}


def test_info_shows_the_meaning_of_hparams_and_of_the_preset(zoo_command):
    code, out, _ = zoo_command("info", "mf")
    assert code == 0
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.strip()}
    assert lines["family"] == "family towers"
    assert lines["biases"] == "biases true Whether users and items have biases."
    assert lines["train.epochs"].endswith(all_settings()["train.epochs"].meaning)
    known = json.loads(zoo_command("info", "mf", "--json")[1])
    assert known["hparam_meanings"]["biases"] == "Whether users and items have biases."
    assert known["family"] == "towers"


@pytest.mark.parametrize("name", specs())
def test_the_family_is_that_of_what_is_built(name):
    known = spec(name)
    assert family(known) == build(name, **known.tiny).family


def test_the_family_is_known_of_a_function_without_annotations(monkeypatch, tmp_path, forgetful_registry):
    (tmp_path / "own.py").write_text(OWN.replace("    pass\n", BODY))
    monkeypatch.setenv("ZOO_MODELS", str(tmp_path / "own.py"))
    assert family(spec("own")) == "towers"


def test_every_setting_has_a_default_and_a_meaning():
    known = all_settings()
    assert all(one.meaning for one in known.values())
    config = Config(model="mf").model_dump()
    for name, one in known.items():
        value = config
        for part in name.split("."):
            value = value[part]
        assert name == "model" or one.default == value


def test_settings_lists_all_settings_or_those_asked_for(zoo_command):
    code, out, _ = zoo_command("settings")
    assert code == 0
    assert all(name in out for name in all_settings())
    asked = json.loads(zoo_command("settings", "train", "--json")[1])
    assert [one["name"] for one in asked] == [name for name in all_settings() if name.startswith("train.")]
    assert [one["name"] for one in json.loads(zoo_command("settings", "*.seed", "--json")[1])] == [
        "train.seed",
        "evaluate.negatives.seed",
    ]


def test_settings_names_the_values_where_they_are_few(zoo_command):
    assert "Values: constant, linear, cosine." in zoo_command("settings", "train.schedule")[1]


def test_settings_gives_the_near_names_for_a_typo(zoo_command):
    code, _, err = zoo_command("settings", "train.epoch")
    assert code == 2
    assert "'train.epochs'" in err


@pytest.mark.parametrize(
    ("setting", "name", "option"),
    [
        ("train.objective", "bpr", ("sampler", "uniform")),
        ("train.options", "gbce", ("avoid_seen", "true")),
        ("split.options", "random", ("test", "0.2")),
        ("data.options", "ml-100k", ("fold", "null")),
    ],
)
def test_settings_lists_the_options_of_what_a_setting_names(zoo_command, setting, name, option):
    (known,) = json.loads(zoo_command("settings", setting, "--json")[1])
    assert option in known["choices"][name].items()
    code, out, _ = zoo_command("settings", setting)
    assert code == 0
    assert "=".join(option) in next(line for line in out.splitlines() if line.split()[:1] == [name])


def test_settings_lists_every_objective_and_split(zoo_command):
    for setting, registry in (("train.options", OBJECTIVES), ("split.name", SPLITS)):
        (known,) = json.loads(zoo_command("settings", setting, "--json")[1])
        assert list(known["choices"]) == list(registry)


def test_a_section_lists_no_options_of_objects(zoo_command):
    assert all("choices" not in one for one in json.loads(zoo_command("settings", "train", "--json")[1]))
