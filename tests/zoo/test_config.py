from __future__ import annotations

import copy
import datetime
import math

import numpy as np
import pytest

from zoo.config import (
    Config,
    ExportConfig,
    TrainConfig,
    changed,
    configs_folder,
    make_config,
    parse_settings,
    preset,
)
from zoo.errors import UserError
from zoo.registry import spec, specs
from zoo.yaml_reader import read_yaml

SHIPPED = sorted((configs_folder() / "presets").glob("*.yaml"))


@pytest.fixture
def own_yaml(tmp_path):
    def write(text):
        path = tmp_path / "own.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def presets(tmp_path, monkeypatch):
    """A folder of presets in place of the shipped one."""
    monkeypatch.setattr("zoo.config.configs_folder", lambda: tmp_path)
    folder = tmp_path / "presets"
    folder.mkdir()
    return folder


# Layers


def test_later_layers_win_and_leave_the_rest(presets):
    (presets / "mf.yaml").write_text("train: {epochs: 7, batch_size: 32}\nhparams: {embedding_dim: 8}\n")
    last = {"train": {"seed": 5}, "hparams": {"embedding_dim": 3}}
    config = make_config("mf", {"train": {"epochs": 2}}, last)
    assert (config.train.epochs, config.train.batch_size, config.train.seed) == (2, 32, 5)
    assert config.hparams == {"embedding_dim": 3}
    assert config.model == "mf"


def test_the_defaults_hold_without_a_preset(presets):
    assert make_config("mf") == Config(model="mf")


def test_nested_options_of_two_layers_are_merged(presets):
    options = make_config(
        "mf", {"train": {"options": {"negatives": 2}}}, {"train": {"options": {"feedback": "explicit"}}}
    ).train.options
    assert options == {"negatives": 2, "feedback": "explicit"}


def test_the_layers_given_stay_as_they_were(presets):
    first = {"train": {"options": {"negatives": 2}}}
    before = copy.deepcopy(first)
    make_config("mf", first, {"train": {"options": {"feedback": "explicit"}}})
    assert first == before


def test_a_yaml_file_of_ones_own_names_its_model(presets, own_yaml):
    path = own_yaml("model: ncf\nhparams: {dropout: 0.5}\nevaluate: {ks: [5, 20]}\n")
    (presets / "ncf.yaml").write_text("hparams: {embedding_dim: 8, dropout: 0.1}\n")
    config = make_config(str(path), {"evaluate": {"resamples": 50}})
    assert config.model == "ncf"
    assert config.hparams == {"embedding_dim": 8, "dropout": 0.5}
    assert (config.evaluate.ks, config.evaluate.resamples) == ((5, 20), 50)


@pytest.mark.parametrize("text", ["train: {epochs: 1}\n", "model: [mf]\n", ""])
def test_a_yaml_file_without_a_model_is_refused(own_yaml, text):
    with pytest.raises(UserError, match="expected a key 'model'"):
        make_config(str(own_yaml(text)))


# Mistakes


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"trian": {}}, "Unknown setting 'trian'. Did you mean 'train'?"),
        ({"train": {"epoch": 3}}, "Unknown setting in 'train' 'epoch'. Did you mean 'epochs'?"),
        ({"data": {"max_hist": 3}}, "Unknown setting in 'data' 'max_hist'. Did you mean 'max_history'?"),
        ({"split": {"option": {}}}, "Unknown setting in 'split' 'option'. Did you mean 'options'?"),
        ({"evaluate": {"k": 3}}, "Unknown setting in 'evaluate' 'k'. Did you mean 'ks'?"),
    ],
)
def test_an_unknown_key_gives_the_near_ones_at_every_level(layer, message):
    with pytest.raises(UserError) as error:
        make_config("mf", layer)
    assert str(error.value) == message


def test_a_key_like_no_other_gives_the_valid_ones():
    with pytest.raises(UserError, match="Valid: name, options"):
        make_config("mf", {"split": {"zzz": 1}})


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        ({"train": {"epochs": "many"}}, "train.epochs"),
        ({"train": {"epochs": "3"}}, "train.epochs"),
        ({"train": {"epochs": True}}, "train.epochs"),
        ({"train": {"epochs": 3.0}}, "train.epochs"),
        ({"train": {"epochs": None}}, "train.epochs"),
        ({"train": {"learning_rate": "1e-3"}}, "train.learning_rate"),
        ({"train": {"learning_rate": math.nan}}, "train.learning_rate"),
        ({"train": {"learning_rate": math.inf}}, "train.learning_rate"),
        ({"train": {"jit_compile": 1}}, "train.jit_compile"),
        ({"train": {"schedule": "linaer"}}, "train.schedule"),
        ({"train": {"workers": "a:1"}}, "train.workers"),
        ({"data": {"features": {"price": 3}}}, "data.features"),
        ({"train": {"epochs": 0}}, "train.epochs"),
        ({"train": {"learning_rate": -1}}, "train.learning_rate"),
        ({"train": {"seed": -1}}, "train.seed"),
        ({"data": {"duplicates": "middle"}}, "data.duplicates"),
        ({"data": {"max_history": 0}}, "data.max_history"),
        ({"evaluate": {"ks": 10}}, "evaluate.ks"),
        ({"evaluate": {"resamples": 1}}, "evaluate.resamples"),
        ({"hparams": 3}, "hparams"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_named(layer, where):
    with pytest.raises(UserError) as error:
        make_config("mf", layer)
    value = next(iter(layer.values()))
    received = next(iter(value.values())) if isinstance(value, dict) else value
    if isinstance(received, dict):
        ((key, received),) = received.items()
        where = f"{where}.{key}"
    assert str(error.value).startswith(f"{received!r} is not ")
    assert f": setting {where!r}. Give " in str(error.value)


def test_a_section_that_is_no_mapping_is_refused():
    with pytest.raises(UserError, match=r"^3 is not keys and values: setting 'train'\. Give keys and values\.$"):
        make_config("mf", {"train": 3})


@pytest.mark.parametrize(
    ("former", "name"),
    [
        ("steps_per_call", "steps_per_execution"),
        ("xla", "jit_compile"),
        ("precision", "dtype_policy"),
        ("clip_norm", "global_clipnorm"),
    ],
)
def test_a_former_name_of_a_setting_gives_the_new_one(former, name):
    with pytest.raises(UserError) as error:
        make_config("mf", parse_settings([f"train.{former}=1"]))
    assert str(error.value) == f"Setting 'train.{former}' is called 'train.{name}' now. Rename it."
    assert name in TrainConfig.model_fields
    assert former not in TrainConfig.model_fields


@pytest.mark.parametrize(
    ("ks", "message"),
    [
        ([10, "a"], "'a' is not an integer: setting 'evaluate.ks[1]'. Give an integer."),
        ([0], "0 is not at least 1: setting 'evaluate.ks[0]'. Give at least 1."),
        ([True], "True is not an integer: setting 'evaluate.ks[0]'. Give an integer."),
        ([], "[] is not a list of at least 1: setting 'evaluate.ks'. Give a list of at least 1."),
    ],
)
def test_settings_are_checked_into_lists(ks, message):
    with pytest.raises(UserError) as error:
        make_config("mf", {"evaluate": {"ks": ks}})
    assert str(error.value) == message


def test_lists_tuples_and_numbers_of_numpy_are_taken():
    config = make_config(
        "mf", {"train": {"epochs": np.int64(3), "learning_rate": 1}, "evaluate": {"ks": [5, np.int32(10)]}}
    )
    assert (config.train.epochs, config.train.learning_rate, config.evaluate.ks) == (3, 1.0, (5, 10))
    assert make_config("mf", config.model_dump()) == config
    assert make_config("mf", config.model_dump(mode="json")) == config


def test_limits_of_an_export_are_checked_like_settings():
    with pytest.raises(UserError, match=r"^2 is not at most 1: setting 'export\.overlap'\. Give at most 1\.$"):
        changed(ExportConfig(), {"overlap": 2}, "export")


# Values of YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        (".5e2", 50.0),
        ("1.", 1.0),
        ("-1E+2", -100.0),
        ("012", 12),
        ("0o12", 10),
        ("0x1F", 31),
        ("+3", 3),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        (".inf", math.inf),
        ("yes", True),
        ("no", False),
        ("~", None),
        ("2020-01-02", datetime.date(2020, 1, 2)),
        ('"1e-3"', "1e-3"),
        ("1e", "1e"),
    ],
)
def test_a_value_is_the_same_in_a_file_and_on_the_command_line(own_yaml, text, value):
    found = read_yaml(own_yaml(f"own: {text}\nlist: [{text}]\n"))
    assert found == {"own": value, "list": [value]}
    assert parse_settings([f"own={text}", f"other=[{text}]"]) == {"hparams": {"own": value, "other": [value]}}
    assert type(found["own"]) is type(value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read") as error:
        make_config(str(tmp_path / "none.yaml"))
    assert str(tmp_path / "none.yaml") in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [1", "not valid YAML"), ("- a\n- b\n", "keys and values. Received: list")]
)
def test_a_file_that_is_no_yaml_mapping_is_named(own_yaml, text, message):
    path = own_yaml(text)
    with pytest.raises(UserError, match=message) as error:
        read_yaml(path)
    assert str(error.value).startswith(str(path))


def test_an_empty_file_has_no_settings(own_yaml):
    assert read_yaml(own_yaml("# nothing yet\n")) == {}


# Settings of the command line


def test_settings_are_read_as_yaml_and_nested_by_dots():
    assert parse_settings(["train.epochs=3", "train.options.feedback=explicit", "evaluate.ks=[5, 10]"]) == {
        "train": {"epochs": 3, "options": {"feedback": "explicit"}},
        "evaluate": {"ks": [5, 10]},
    }


def test_a_key_that_is_no_section_is_an_hparam():
    assert parse_settings(["embedding_dim=16", "hidden=[64, 32]", "hparams.dropout=0.1"]) == {
        "hparams": {"embedding_dim": 16, "hidden": [64, 32], "dropout": 0.1}
    }


def test_the_value_may_hold_equals_signs():
    assert parse_settings(["data.source=a=b.csv"]) == {"data": {"source": "a=b.csv"}}


def test_an_empty_value_means_null():
    assert parse_settings(["train.patience="]) == {"train": {"patience": None}}


@pytest.mark.parametrize("setting", ["train.epochs", "=3", ""])
def test_a_setting_without_key_or_value_is_refused(setting):
    with pytest.raises(UserError, match=r"Expected a setting like train\.epochs=3"):
        parse_settings([setting])


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UserError, match="contradicts an earlier one"):
        parse_settings(["train=3", "train.epochs=4"])


def test_a_value_that_is_no_yaml_is_refused():
    with pytest.raises(UserError, match="not valid YAML"):
        parse_settings(["evaluate.ks=[1"])


def test_an_integer_that_python_does_not_read_is_refused(own_yaml):
    with pytest.raises(UserError, match=r"The value is not valid YAML: setting 'train\.epochs=9999"):
        parse_settings([f"train.epochs={'9' * 5000}"])
    with pytest.raises(UserError, match="an integer of 5000 digits is too long"):
        read_yaml(own_yaml(f"epochs: {'9' * 5000}"))


def test_parsed_settings_make_a_config(presets):
    config = make_config("mf", parse_settings(["embedding_dim=16", "train.learning_rate=1e-2"]))
    assert config.hparams == {"embedding_dim": 16}
    assert config.train.learning_rate == 0.01


def test_an_hparam_may_be_written_with_an_exponent():
    assert parse_settings(["dropout=1e-2"]) == {"hparams": {"dropout": 0.01}}


# What is shipped


def test_an_architecture_without_preset_has_no_settings_of_its_own(presets):
    assert preset("mf") == {}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_config_is_valid(path):
    is_preset = path.stem in specs()
    config = make_config(path.stem if is_preset else str(path))
    spec(config.model).check_hparams(config.hparams)
    if is_preset:
        assert config.model == path.stem, "a preset is for the architecture it is named after"
