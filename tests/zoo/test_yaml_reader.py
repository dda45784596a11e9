"""YAML that nobody would write is refused in words, at once and before it is built."""

from __future__ import annotations

import pytest
import yaml

from zoo.config import make_config, parse_settings
from zoo.errors import UserError
from zoo.yaml_reader import MOST_VALUES, parse_yaml, read_yaml

BOMB = "b0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "stands for more than 20,000 values"),
        ("[" * 5000 + "]" * 5000, "inside each other more than 30 deep"),
        ("{a: " * 5000 + "1" + "}" * 5000, "inside each other more than 30 deep"),
        ("- " * 5000 + "1", "inside each other more than 30 deep"),
        ("9" * 5000, "an integer of 5000 digits is too long"),
        ("0x" + "f" * 500_000, "an integer of 500002 digits is too long"),
        ("[" + "1," * 1_000_000 + "1]", "2,000,003 characters, and at most 1,048,576 are read"),
        ("[" + "1," * MOST_VALUES + "1]", "stands for more than 20,000 values"),
        ("a: &a {b: *a}", "what is called 'a' contains itself"),
        ("2001-99-99", "month must be in 1..12"),
        ("*nowhere", "undefined alias"),
    ],
    ids=["bomb", "lists", "mappings", "block", "digits", "hexadecimal", "long", "many", "itself", "date", "undefined"],
)
def test_yaml_that_nobody_would_write_is_refused(tmp_path, text, reason):
    with pytest.raises(yaml.YAMLError, match=reason):
        parse_yaml(text)
    with pytest.raises(UserError, match="The value is not valid YAML: setting"):
        parse_settings([f"train.epochs={text}"])
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    for read in (read_yaml, lambda path: make_config(str(path))):
        with pytest.raises(UserError, match=reason) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: not valid YAML")
        assert len(str(error.value)) < 500


def test_aliases_and_depth_that_people_use_are_read():
    text = "a: &a {x: [1, [2, [3, [4]]]]}\nb: *a\nc: {<<: *a, y: 5}\n"
    same = {"x": [1, [2, [3, [4]]]]}
    assert parse_yaml(text) == {"a": same, "b": same, "c": {**same, "y": 5}}
