from __future__ import annotations

import contextlib
import json
import shutil
import sys
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from zoo.data import prepare
from zoo.data.text import TEXT_ENCODERS, encode_texts, text_encoder
from zoo.data.text.pretrained import PretrainedEncoder
from zoo.data.text.tfidf import TfidfEncoder
from zoo.errors import UserError
from zoo.saving import read_preprocessing

TEXTS = ["a red kettle", "a blue kettle", "the old man and the sea", "M", "", "Amélie"]


def test_the_stored_state_is_enough_for_the_same_vectors():
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


# Pretrained encoders


class LettersEncoder(PretrainedEncoder):
    """Counts the letters of a text, as a model that is loaded and asked like any other."""

    name = "letters"
    package = "json"
    takes = "any name or a folder"
    loaded = 0
    asked: ClassVar[list[str]] = []

    @contextlib.contextmanager
    def _open(self):
        type(self).loaded += 1
        yield self._count

    def _count(self, texts):
        self.asked.extend(texts)
        return np.stack([[text.count(letter) for letter in "abcdefgh"] for text in texts])


@pytest.fixture
def letters(home, monkeypatch):
    TEXT_ENCODERS.register(LettersEncoder)
    monkeypatch.setattr(LettersEncoder, "loaded", 0)
    monkeypatch.setattr(LettersEncoder, "asked", [])
    return LettersEncoder


def cached(home):
    return sorted(home.rglob("*.npz"))


WORDS = ["bad", "cafe", "head", "dead beef"]


def test_a_pretrained_vector_is_that_of_the_model_at_length_one(letters):
    encoder = text_encoder("letters:small")
    assert encoder.fit(WORDS) == {"encoder": "letters", "model": "small", "identity": "small", "width": 8}
    vectors = encoder.encode(["bad", "aab", "", "  ", "xyz"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[0], np.array([1, 1, 0, 1, 0, 0, 0, 0]) / np.sqrt(3), atol=1e-6)
    np.testing.assert_allclose(vectors[1], np.array([2, 1, 0, 0, 0, 0, 0, 0]) / np.sqrt(5), atol=1e-6)
    assert not vectors[2:].any()


def test_texts_that_were_encoded_once_do_not_load_the_model_again(letters):
    first = text_encoder("letters:small")
    fitted = first.fit([*WORDS, "bad"])
    vectors = first.encode(WORDS)
    assert letters.loaded == 1
    assert letters.asked == WORDS

    again = text_encoder("letters:small")
    assert again.fit(WORDS) == fitted
    np.testing.assert_array_equal(again.encode(WORDS), vectors)
    np.testing.assert_array_equal(encode_texts(fitted, WORDS[::-1]), vectors[::-1])
    assert letters.loaded == 1

    encode_texts(fitted, [*WORDS, "new"])
    assert letters.loaded == 2
    assert letters.asked == [*WORDS, "new"]


def test_every_batch_is_kept_as_soon_as_it_is_encoded(letters, monkeypatch):
    monkeypatch.setattr("zoo.data.text.pretrained.BATCH", 2)

    def count_some(self, texts):
        if "head" in texts:
            raise KeyboardInterrupt
        return np.ones((len(texts), 8))

    with monkeypatch.context() as context:
        context.setattr(letters, "_count", count_some)
        with pytest.raises(KeyboardInterrupt):
            text_encoder("letters:small").fit(WORDS)
    text_encoder("letters:small").fit(WORDS)
    assert letters.asked == WORDS[2:]


def test_models_do_not_share_vectors(letters, folder):
    text_encoder("letters:small").fit(WORDS)
    text_encoder("letters:large").fit(WORDS)
    text_encoder(f"letters:{folder}").fit(WORDS)
    (folder / "weights").write_text("1 2 4")
    text_encoder(f"letters:{folder}").fit(WORDS)
    assert letters.loaded == 4


def test_the_same_model_in_another_folder_is_the_same_model(letters, folder, tmp_path):
    fitted = text_encoder(f"letters:{folder}").fit(WORDS)
    moved = text_encoder(f"letters:{shutil.copytree(folder, tmp_path / 'elsewhere')}").fit(WORDS)
    assert letters.loaded == 1
    assert moved["identity"] == fitted["identity"]


@pytest.mark.parametrize("damage", ["emptied", "truncated", "edited", "other"])
def test_a_damaged_file_of_the_cache_is_encoded_anew(letters, home, damage):
    expected = text_encoder("letters:small").fit(WORDS), text_encoder("letters:small")
    expected[1].fit(WORDS)
    (file,) = cached(home)
    content = file.read_bytes()
    number = np.float32(1 / np.sqrt(3)).tobytes()
    if damage == "other":
        np.savez(file, keys=np.array(["a"]), vectors=np.zeros((2, 8), np.float32))
    else:
        file.write_bytes(
            {
                "emptied": b"",
                "truncated": content[: len(content) // 2],
                "edited": content.replace(number, np.float32(0.5).tobytes()),
            }[damage]
        )
        assert file.read_bytes() != content
    again = text_encoder("letters:small")
    assert again.fit(WORDS) == expected[0]
    np.testing.assert_array_equal(again.encode(WORDS), expected[1].encode(WORDS))
    assert letters.loaded == 2
    text_encoder("letters:small").fit(WORDS)
    assert letters.loaded == 2


def test_a_cache_that_cannot_be_written_is_a_warning(letters, home):
    home.write_text("a file where the folder should be")
    encoder = text_encoder("letters:small")
    with pytest.warns(UserWarning, match="cannot keep vectors of texts"):
        encoder.fit(WORDS)
    assert encoder.encode(WORDS).any(axis=1).all()
    assert letters.loaded == 1


def test_vectors_are_reduced_only_if_a_smaller_width_is_asked_for(letters):
    assert text_encoder("letters:small", dim=9).fit(WORDS).keys() == {"encoder", "model", "identity", "width"}
    encoder = text_encoder("letters:small", dim=2)
    fitted = encoder.fit(WORDS)
    assert fitted["components"].shape == (2, 8)
    vectors = encoder.encode([*WORDS, ""])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(encode_texts(fitted, [*WORDS, ""]), vectors)


def test_a_reduction_keeps_dot_products_of_what_spans_no_more(letters):
    texts = ["a", "b", "ab", "aab", "abbb"]
    whole, reduced = text_encoder("letters:small"), text_encoder("letters:small", dim=2)
    whole.fit(texts)
    reduced.fit(texts)
    np.testing.assert_allclose(
        reduced.encode(texts) @ reduced.encode(texts).T, whole.encode(texts) @ whole.encode(texts).T, atol=1e-5
    )


def test_a_reduction_is_no_wider_than_there_are_texts(letters):
    fitted = text_encoder("letters:small", dim=4).fit(["bad"])
    assert encode_texts(fitted, ["bad", "cafe", ""]).shape == (3, 1)


@pytest.mark.parametrize("name", ["tfidf", "letters:small", "keras-hub:bert_tiny_en_uncased"])
@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_a_catalogue_without_any_text_has_zeros(letters, name, texts):
    fitted = text_encoder(name).fit(texts)
    vectors = encode_texts(fitted, ["a text that came later", ""])
    assert vectors.shape == (2, 1)
    assert not vectors.any()


def test_the_stored_state_survives_json_and_arrays(letters):
    fitted = text_encoder("letters:small", dim=2).fit(WORDS)
    components = fitted.pop("components")
    stored = {**json.loads(json.dumps(fitted)), "components": components}
    np.testing.assert_array_equal(
        encode_texts(stored, WORDS), encode_texts({**fitted, "components": components}, WORDS)
    )


def test_half_a_surrogate_pair_is_a_text_like_any_other(letters):
    assert text_encoder("letters:small").fit(["bad \ud83d"])["width"] == 8


def test_a_model_that_is_gone_or_another_by_now_is_named(letters, folder):
    fitted = text_encoder(f"letters:{folder}").fit(WORDS)
    (folder / "weights").write_text("1 2 4")
    with pytest.raises(UserError, match=rf"{folder}: not the model that the texts were encoded with by 'letters'"):
        encode_texts(fitted, ["new"])
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=f"'letters': there is no folder {folder}"):
        encode_texts(fitted, ["new"])
    assert encode_texts(fitted, WORDS).any(axis=1).all()


def test_vectors_that_are_not_finite_are_refused_and_not_kept(letters, home, monkeypatch):
    monkeypatch.setattr(letters, "_count", lambda self, texts: np.full((len(texts), 8), np.nan))
    with pytest.raises(UserError, match="The model 'small' gives vectors that are not finite"):
        text_encoder("letters:small").fit(WORDS)
    assert not cached(home)


@pytest.mark.parametrize("name", ["sentence-transformers", "keras-hub"])
def test_a_pretrained_encoder_needs_a_model(name):
    for nothing in (name, f"{name}:", f"{name}: "):
        with pytest.raises(UserError, match=f"'{name}' needs the name of a"):
            text_encoder(nothing)


@pytest.mark.parametrize("name", ["sentence-transformers", "keras-hub"])
def test_a_folder_that_does_not_exist_is_named(name, tmp_path):
    for missing in (tmp_path / "nothing", "./nothing", "~/nothing"):
        with pytest.raises(UserError, match=f"'{name}': there is no folder {missing}"):
            text_encoder(f"{name}:{missing}").fit(TEXTS)


@pytest.mark.parametrize("name", ["sentence-transformers", "keras-hub"])
def test_a_package_that_is_not_installed_is_an_extra_to_install(name, home, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, name.replace("-", "_"), None)
    with pytest.raises(UserError, match=rf"'{name}' needs the package {name[:4]}.*pip install \"recozoo\[text\]\""):
        text_encoder(f"{name}:{folder}").fit(TEXTS)


def test_tfidf_takes_no_model():
    with pytest.raises(UserError, match=r"'tfidf' takes no model. Received: 'tfidf:large'"):
        text_encoder("tfidf:large")


def test_a_kind_with_a_model_has_near_names_too():
    with pytest.raises(UserError, match="Did you mean 'sentence-transformers'"):
        text_encoder("sentence-transformer:all-MiniLM-L6-v2")


# As a feature


def items_with(texts, **said):
    interactions = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 3]})
    items = pd.DataFrame({"item": [1, 2, 3], "plot": texts})
    return prepare(interactions, items=items, features={"plot": {"kind": "text", **said}})


@pytest.mark.parametrize("encoder", ["tfidf", "letters:small"])
def test_items_without_a_text_have_zeros(letters, encoder):
    data = items_with(["bad cafe", None, ""], encoder=encoder)
    plots = data.items["plot"]
    assert plots[2].any()
    assert not plots[[0, 1, 3, 4]].any()
    nobody = items_with(["", None, ""], encoder=encoder)
    assert nobody.items["plot"].shape == (5, 1)
    assert not nobody.items["plot"].any()


def test_a_feature_is_encoded_by_the_encoder_that_it_names(letters, tmp_path):
    data = items_with(WORDS[:3], encoder="letters:small")
    assert data.schema["plot"].size == 8
    assert items_with(WORDS[:3], encoder="letters:small", dim=2).schema["plot"].size == 2
    assert letters.loaded == 1
    data.save_preprocessing(tmp_path)
    fitted = read_preprocessing(tmp_path).encoders["plot"]
    np.testing.assert_array_equal(encode_texts(fitted, WORDS[:3]), data.items["plot"][2:])


def test_an_error_of_an_encoder_names_the_feature(home):
    with pytest.raises(UserError, match=r"Feature 'plot': Unknown text encoder 'tf-idf'. Did you mean 'tfidf'"):
        items_with(WORDS[:3], encoder="tf-idf")
    with pytest.raises(UserError, match=r"5 is not a text: option 'encoder' of feature 'plot'"):
        items_with(WORDS[:3], encoder=5)
