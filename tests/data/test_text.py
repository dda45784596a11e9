from __future__ import annotations

import json

import numpy as np
import pytest

from zoo.data.text import TfidfEncoder, encode_texts, text_encoder
from zoo.errors import UserError

TEXTS = ["a red kettle", "a blue kettle", "the old man and the sea", "M", "", "Amélie"]


def test_the_stored_state_alone_gives_the_same_vectors():
    encoder = TfidfEncoder()
    fitted = encoder.fit(TEXTS)
    arrays = {name: value for name, value in fitted.items() if isinstance(value, np.ndarray)}
    values = {name: value for name, value in fitted.items() if name not in arrays}
    stored = {**json.loads(json.dumps(values)), **arrays}
    new = [*TEXTS, "a red sea", "never seen"]
    np.testing.assert_allclose(encode_texts(stored, new), encoder.encode(new), atol=1e-6)


def test_vectors_have_length_one_or_are_zero_where_nothing_is_known():
    vectors = encode_texts(TfidfEncoder().fit(TEXTS), [*TEXTS, "xyzzy"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1)[[0, 1, 2]], 1, atol=1e-6)
    assert not vectors[TEXTS.index("")].any()
    assert not vectors[-1].any()


def test_similar_texts_are_closer_than_others():
    vectors = encode_texts(TfidfEncoder(dim=3).fit(TEXTS), TEXTS)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_accents_and_case_do_not_matter():
    fitted = TfidfEncoder().fit(TEXTS)
    np.testing.assert_array_equal(encode_texts(fitted, ["AMELIE"]), encode_texts(fitted, ["Amélie"]))


@pytest.mark.parametrize(
    ("texts", "width"), [([], 1), ([""], 1), (["", "!!"], 1), (["one"], 1), (["one", "two"], 1), (TEXTS, 5)]
)
def test_a_tiny_corpus_has_vectors_of_the_width_it_supports(texts, width):
    fitted = TfidfEncoder().fit(texts)
    vectors = encode_texts(fitted, ["one", "", *texts])
    assert vectors.shape == (len(texts) + 2, width)
    assert np.isfinite(vectors).all()


def test_the_width_is_at_most_dim():
    assert encode_texts(TfidfEncoder(dim=2).fit(TEXTS), TEXTS).shape == (6, 2)


def test_wrong_names_and_widths_are_errors():
    with pytest.raises(UserError, match=r"Unknown text encoder 'tfdif'. Did you mean 'tfidf'"):
        text_encoder("tfdif")
    with pytest.raises(UserError, match="dim of at least 1"):
        text_encoder(dim=0)
    with pytest.raises(UserError, match="Unknown text encoder 'other'"):
        encode_texts({"encoder": "other"}, [])
