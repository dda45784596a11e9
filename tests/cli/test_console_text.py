"""What is printed of data and of names cannot command a terminal."""

from __future__ import annotations

import pandas as pd
import pytest

from zoo.cli.console import printable

EVIL = "a\x1b[31mred\x07\u202e"


@pytest.mark.parametrize("letter", ["\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u200b", "\x7f", "\r", "\x00"])
def test_letters_that_a_terminal_obeys_are_written_out(letter):
    assert printable(f"a{letter}b") == f"a{letter!r}b".replace("'", "")


@pytest.mark.parametrize("text", ["caf\u00e9", "\u5343\u3068\u5343\u5c0b", "two\nlines\t", "\U0001f600"])
def test_other_letters_stay(text):
    assert printable(text) == text


def test_columns_and_values_of_a_file_are_written_out(zoo_command, tmp_path):
    pd.DataFrame({"user": [EVIL, "b"], "item": [1, 2], EVIL: ["x", EVIL]}).to_csv(tmp_path / "visits.csv", index=False)
    code, out, errors = zoo_command("inspect", "visits.csv")
    assert code == 0
    assert "a\\x1b[31mred" in out
    assert not set("\x1b\x07\u202e") & set(out + errors)
    code, out, errors = zoo_command("inspect", "visits.csv", "--set", "data.columns={nothing: user}")
    assert code == 2
    assert not set("\x1b\x07\u202e") & set(out + errors)
