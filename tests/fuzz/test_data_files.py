"""Odd and damaged tables: 200 cases with a fixed seed. `data_files.py` runs as many as one likes."""

from __future__ import annotations

import pytest
from data_files import outcome


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_an_odd_or_damaged_table_ends_in_usable_data_or_in_a_sentence(start):
    ended = {number: outcome(0, number) for number in range(start, start + 50)}
    assert {number: what for number, what in ended.items() if what not in ("data", "error")} == {}
    assert set(ended.values()) == {"data", "error"}
