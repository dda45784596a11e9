"""What stands in a card of data and column names is text, whatever they are."""

from __future__ import annotations

import pandas as pd
import pytest

import export
import zoo
from zoo.data import prepare

EVIL = "<img src=x onerror=alert(1)> ![x](https://example.com/x.png) [y](javascript:z) `c`"


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    rows = pd.DataFrame(
        {"user": [1, 1, 2, 2, 3], "item": [7, 8, 7, 9, 9], EVIL: [1, 2, 1, 2, 2], "x\n\n# h": [1, 2, 3, 4, 4]}
    )
    data = prepare(rows, name=f"{EVIL}\n# Heading", split={"name": "random", "valid": 0, "test": 0})
    run = zoo.train("popularity", data, progress=False)
    folder = tmp_path_factory.mktemp("cards") / "shop"
    export.export(run, folder, "onnx", k=2)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_no_tag_image_or_link_of_the_data_is_in_the_card(card):
    body = card.split("---\n", 2)[2]
    for part in ("<img", "![x](", "[y](", "\n# Heading", "\n# h"):
        assert part not in body
    assert r"&lt;img src=x onerror=alert(1)> !\[x\](https://example.com/x.png)" in body
