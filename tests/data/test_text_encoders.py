from __future__ import annotations

# An encoder of one's own, in a file that ZOO_PLUGINS names.
OWN = """
import numpy as np
from zoo.data.text import TEXT_ENCODERS
from zoo.data.text.encoder import TextEncoder

@TEXT_ENCODERS.register
class Lengths(TextEncoder):
    'The number of letters of a text.'

    name = "lengths"

    def fit(self, texts):
        self.fitted = {"encoder": self.name, "most": max(map(len, texts))}
        return self.fitted

    def encode(self, texts):
        return np.array([[len(text) / self.fitted["most"]] for text in texts], np.float32)
"""
ENCODE = """
import pandas as pd
from zoo.data import prepare
from zoo.data.text import TEXT_ENCODERS, encode_texts
from zoo.errors import UserError
items = pd.DataFrame({"item": [1, 2], "plot": ["abcd", "ab"]})
visits = pd.DataFrame({"user": [1, 1], "item": [1, 2]})
whole = {"name": "random", "valid": 0, "test": 0}
data = prepare(visits, items=items, features={"plot": {"encoder": "lengths"}}, split=whole)
print(list(TEXT_ENCODERS), data.items["plot"].tolist(), encode_texts(data.encoders["plot"], ["abc"]))
try:
    prepare(visits, items=items, features={"plot": {"encoder": "length"}}, split=whole)
except UserError as error:
    print(error)
"""


def test_a_file_of_ones_own_adds_an_encoder_whose_vectors_are_features(run_with_plugin):
    printed = run_with_plugin(OWN, ENCODE)
    expected = "['keras-hub', 'lengths', 'sentence-transformers', 'tfidf'] [[0.0], [0.0], [1.0], [0.5]] [[0.75]]"
    assert expected in printed
    assert "Unknown text encoder 'length'. Did you mean 'lengths'" in printed
