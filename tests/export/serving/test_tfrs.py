"""An index of tensorflow-recommenders answers as the bundle does. Errors say why one cannot be made."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import export
from export.bundle.options import Options
from export.bundle.publishing import publish_bundle
from export.formats import open_runtime
from export.serving import tfrs
from export.verification.queries import sample_queries
from export.verification.reference import load_reference
from zoo.errors import UserError, ZooError

K = 10
EXAMPLE = Path(__file__).parents[3] / "examples" / "tfrs_index.py"

needs_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorflow_recommenders", "tf_keras")),
    reason=f"the extra tfrs is not installed: {tfrs.EXTRA}",
)


def scann_loads() -> bool:
    """Whether ScaNN's operators fit the installed TensorFlow. A process of its own tries it, because it may crash."""
    if importlib.util.find_spec("scann") is None:
        return False
    return subprocess.run([sys.executable, "-c", "import scann"], capture_output=True, check=False).returncode == 0


def ask(folder: Path, queries: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Asks an index with TensorFlow only."""
    recommend = tf.saved_model.load(str(folder)).signatures["recommend"]
    dtypes = {name: spec.dtype for name, spec in recommend.structured_input_signature[1].items()}
    answer = recommend(**{name: tf.constant(values.tolist(), dtypes[name]) for name, values in queries.items()})
    answer = {name: value.numpy() for name, value in answer.items()}
    if answer["items"].dtype == object:
        answer["items"] = np.vectorize(bytes.decode, otypes=[object])(answer["items"])
    return answer


def queries_of(bundle: export.Bundle) -> dict[str, np.ndarray]:
    """Random queries, edge cases and queries of real users."""
    return load_reference(bundle.folder)["embed_query"][0][0]


def recommended(bundle: export.Bundle, queries: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The recommendations of the bundle's SavedModel."""
    padding = next(info.padding for info in bundle.endpoints[0].inputs if info.name == "exclude")
    nothing = np.full((len(next(iter(queries.values()))), 1), padding, object if padding == "" else np.int64)
    runtime = open_runtime(bundle.folder, "saved_model", bundle.endpoints, bundle.version)
    return runtime.run("recommend", {**queries, "exclude": nothing, "candidates": nothing})


@pytest.fixture(scope="module")
def strings(run, tmp_path_factory) -> export.Bundle:
    """A trained matrix factorization whose string ids are easily damaged."""
    return export.export(run, tmp_path_factory.mktemp("strings") / "mf", "saved_model", k=K)


@pytest.fixture(scope="module")
def ratings(make_run, datasets, tmp_path_factory) -> export.Bundle:
    """Two towers over every kind of feature with integer ids. Scores are ratings, and two items are withdrawn."""
    made = make_run("two_tower", datasets["text"], normalize=False)
    made.model.set_rating_scale(3.5, 1.25)
    sample = sample_queries(made.model, made.dataset)
    out = tmp_path_factory.mktemp("ratings") / "two_tower"
    options = Options(("saved_model",), k=K)
    return publish_bundle(out, made.model, made.dataset, sample, options, {}, withdrawn=[2, 7])


@pytest.fixture(scope="module")
def strings_index(strings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("index") / "mf"
    tfrs.write(strings, folder, k=K)
    return folder


# Answers


@needs_extra
def test_an_index_recommends_what_the_bundle_recommends(strings, strings_index):
    queries = queries_of(strings)
    answer, expected = ask(strings_index, queries), recommended(strings, queries)
    np.testing.assert_array_equal(answer["items"], expected["items"])
    np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(answer["unknown_user"], expected["unknown_user"])


@pytest.mark.slow
@needs_extra
def test_an_index_has_the_scale_of_ratings_and_no_withdrawn_items(ratings, tmp_path):
    check = tfrs.write(ratings.folder, tmp_path / "index", k=K)
    queries = queries_of(ratings)
    answer, expected = ask(tmp_path / "index", queries), recommended(ratings, queries)
    np.testing.assert_array_equal(answer["items"], expected["items"])
    np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-5, atol=1e-5)
    assert not np.isin(ratings.manifest["withdrawn"], answer["items"]).any()
    assert check.passed
    assert (check.artefact, check.endpoint) == ("tfrs-brute_force", "recommend")


@needs_extra
def test_an_index_takes_the_query_inputs_by_name_and_any_number_of_queries(strings_index):
    loaded = tf.saved_model.load(str(strings_index))
    assert set(loaded.signatures) == {"recommend", "serving_default"}
    ((), inputs) = loaded.signatures["recommend"].structured_input_signature
    assert {name: (spec.dtype, spec.shape.rank) for name, spec in inputs.items()} == {"user": (tf.string, 1)}
    outputs = loaded.signatures["recommend"].structured_outputs
    assert set(outputs) == {"items", "scores", "unknown_user"}
    for size in (1, 3):
        assert ask(strings_index, {"user": np.array(["nobody"] * size, object)})["items"].shape == (size, K)


@pytest.mark.slow
@needs_extra
def test_an_index_of_a_run_may_have_a_larger_k_than_a_bundle(run, strings, strings_index, tmp_path):
    tfrs.write(run, tmp_path / "index", k=K + 5)
    queries = queries_of(strings)
    more, fewer = ask(tmp_path / "index", queries), ask(strings_index, queries)
    assert more["items"].shape[1] == K + 5
    np.testing.assert_array_equal(more["items"][:, :K], fewer["items"])


@pytest.mark.slow
@needs_extra
def test_an_index_with_other_answers_than_the_model_is_not_written(strings, tmp_path, monkeypatch):
    honest = tfrs._run

    def flipped(*arguments):
        answers = honest(*arguments)
        return {**answers, "scores": -answers["scores"]}

    monkeypatch.setattr(tfrs, "_run", flipped)
    with pytest.raises(ZooError, match="does not answer as the trained model does"):
        tfrs.write(strings, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


@needs_extra
def test_a_process_that_fails_is_an_error_with_the_end_of_its_output(strings, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    (tmp_path / "path" / "tensorflow_recommenders").mkdir(parents=True)
    (tmp_path / "path" / "tensorflow_recommenders" / "__init__.py").write_text("raise RuntimeError('of no use')")
    with pytest.raises(
        ZooError, match=r"(?s)The index could not be made\. Nothing was written.*RuntimeError: of no use"
    ):
        tfrs.write(strings, tmp_path / "index")
    assert not (tmp_path / "index").exists()


@needs_extra
@pytest.mark.skipif(not scann_loads(), reason="scann is not installed, or was built for another TensorFlow")
def test_scann_finds_at_least_nine_of_ten_recommended_items(ratings, tmp_path):
    check = tfrs.write(ratings, tmp_path / "index", k=K, index="scann")
    assert check.artefact == "tfrs-scann"
    assert check.what == "top-10 overlap"
    assert check.figure >= 0.9


@pytest.mark.slow
@needs_extra
def test_the_example_prints_items_for_three_users(tmp_path):
    arguments = ["--data", "synthetic", "--epochs", "1", "--out", "index"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "tfrs-brute_force recommend" in ran.stdout
    assert len(ran.stdout.splitlines()) >= 4


# Errors


def installed(monkeypatch, *names: str) -> None:
    """Makes it look as if only these packages of the extra were installed."""
    find = importlib.util.find_spec
    extra = ("tensorflow_recommenders", "tf_keras", "scann")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: (name in names or None) if name in extra else find(name)
    )


def test_the_error_without_the_extra_says_how_to_install_it(strings, tmp_path, monkeypatch):
    installed(monkeypatch, "tf_keras")
    with pytest.raises(UserError, match=r'needs tensorflow_recommenders, not installed here: pip install "recozoo\[tf'):
        tfrs.write(strings, tmp_path / "index")


def test_the_error_without_scann_says_how_to_install_it(strings, tmp_path, monkeypatch):
    installed(monkeypatch, "tensorflow_recommenders", "tf_keras")
    with pytest.raises(UserError, match=r'needs the package scann, not installed here: pip install "scann\[tf\]"'):
        tfrs.write(strings, tmp_path / "index", index="scann")


@pytest.mark.slow
@needs_extra
def test_the_error_of_a_scann_that_does_not_load_names_the_tensorflow_it_asks_for(strings, tmp_path, monkeypatch):
    path = tmp_path / "path"
    (path / "scann").mkdir(parents=True)
    (path / "scann" / "__init__.py").write_text("raise RuntimeError('undefined symbol: absl')")
    (path / "scann-0.1.dist-info").mkdir()
    (path / "scann-0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: scann\nVersion: 0.1\nProvides-Extra: tf\n"
        'Requires-Dist: tensorflow~=1.0; extra == "tf"\n'
    )
    monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("PYTHONPATH", str(path))
    said = r"scann 0\.1 does not load with TensorFlow 2.*asks for tensorflow~=1\.0.*brute_force.*undefined symbol"
    with pytest.raises(UserError, match=said):
        tfrs.write(strings, tmp_path / "index", index="scann")
    # The index brute_force works beside a ScaNN that does not load.
    assert tfrs.write(strings, tmp_path / "index").passed


@pytest.fixture
def with_extra(monkeypatch):
    installed(monkeypatch, "tensorflow_recommenders", "tf_keras", "scann")


def test_the_error_of_an_unknown_index_has_the_near_names(strings, tmp_path):
    with pytest.raises(UserError, match=r"Unknown index 'brute-force'\. Did you mean 'brute_force'"):
        tfrs.write(strings, tmp_path / "index", index="brute-force")


@pytest.mark.parametrize("searched", [0, 1.5, -1])
def test_the_share_searched_is_above_0_and_at_most_1(strings, tmp_path, searched):
    with pytest.raises(UserError, match="searched must be above 0 and at most 1"):
        tfrs.write(strings, tmp_path / "index", searched=searched)


@pytest.mark.parametrize("k", [0, 29, True])
def test_k_is_at_most_the_number_of_items_that_are_recommended(ratings, tmp_path, k, with_extra):
    with pytest.raises(UserError, match="k must be between 1 and the 28 items to recommend"):
        tfrs.write(ratings, tmp_path / "index", k=k)


def test_an_architecture_without_vectors_is_refused(make_run, datasets, tmp_path, with_extra):
    bundle = export.export(make_run("ease", datasets["ids"]), tmp_path / "ease", "saved_model", k=K)
    with pytest.raises(UserError, match="ease is of the family item logits: its items have no vectors"):
        tfrs.write(bundle, tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_a_bundle_without_a_savedmodel_is_refused(run, tmp_path, with_extra):
    bundle = export.export(run, tmp_path / "mf", "tflite", k=K)
    with pytest.raises(UserError, match="has no SavedModel to take the query tower from"):
        tfrs.write(bundle, tmp_path / "index")


def test_an_existing_folder_is_replaced_only_if_overwrite_says_so(strings, tmp_path, with_extra):
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        tfrs.write(strings, tmp_path / "index")
    with pytest.raises(UserError, match=r"has no saved_model\.pb, so it holds something else"):
        tfrs.write(strings, tmp_path / "index", overwrite=True)


def test_a_folder_that_is_neither_run_nor_bundle_is_refused(tmp_path, with_extra):
    with pytest.raises(UserError, match="not a bundle"):
        tfrs.write(tmp_path, tmp_path / "index")
