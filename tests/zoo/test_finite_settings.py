"""No setting, hparam or option takes an infinite number, or one that is none."""

from __future__ import annotations

import inspect
import math

import pytest

from zoo.cli.chosen import datasets, objectives, splits
from zoo.cli.settings import all_settings
from zoo.config import make_config, parse_settings
from zoo.errors import UserError
from zoo.options import check_options
from zoo.registry import spec, specs

# As YAML has them; the last is larger than the largest number.
NOT_FINITE = (".inf", "-.inf", ".nan", "1e999", "[.inf]", "{a: .inf}", "{a: [1.0, .nan]}")
VALUES = (math.inf, -math.inf, math.nan, [math.inf], [[math.nan]], {"a": math.inf})


@pytest.mark.parametrize("setting", all_settings())
def test_no_setting_is_infinite(setting, tmp_path):
    for value in NOT_FINITE:
        layer = parse_settings([f"{setting}={value}"])
        with pytest.raises(UserError, match=f"setting '{setting}|model"):
            make_config("mf", layer)
        # The same setting in a file.
        section, _, name = setting.rpartition(".")
        for within in reversed(section.split(".") if section else []):
            name, value = within, f"{{{name}: {value}}}"
        path = tmp_path / "own.yaml"
        path.write_text(f"{'' if name == 'model' else 'model: mf'}\n{name}: {value}\n", encoding="utf-8")
        with pytest.raises(UserError, match=f"setting '{setting}|model"):
            make_config(str(path))


@pytest.mark.parametrize("name", specs())
def test_no_hparam_is_infinite(name):
    for hparam in spec(name).hparams:
        for value in VALUES:
            with pytest.raises(UserError, match=f"hparam '{hparam}"):
                spec(name).check_hparams({hparam: value})


@pytest.mark.parametrize("choices", [objectives, splits, datasets])
def test_no_option_of_an_objective_a_split_or_a_dataset_is_infinite(choices):
    for options in choices().values():
        given = {name: option.default for name, option in options.items() if option.default is not inspect._empty}
        for name in options:
            for value in VALUES:
                with pytest.raises(UserError, match=f"option '{name}"):
                    check_options({**given, name: value}, options)


def test_the_message_has_the_place_of_the_number_and_what_to_give():
    with pytest.raises(UserError) as error:
        make_config("mf", {"hparams": {"experts": [{"units": 8}, {"units": math.inf}]}})
    assert str(error.value) == ("inf is not a finite number: setting 'hparams.experts[1].units'. Give a finite number.")
