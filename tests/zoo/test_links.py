"""An output that is a link: what it leads to is replaced, and the link stays."""

from __future__ import annotations

import pytest

import export
import zoo
from zoo.errors import UserError

SETTINGS = {"hparams": {"embedding_dim": 4}, "evaluate": {"resamples": 20}, "train": {"epochs": 1}}


def train(data, out, **given):
    return zoo.train("mf", data, out=out, progress=False, **given, **SETTINGS)


def export_onnx(run, out, **given):
    return export.export(run, out, "onnx", **given)


@pytest.fixture
def untrained(make_run, datasets):
    return make_run("mf", datasets["ids"])


@pytest.fixture
def write(datasets, untrained):
    """The ways to write a folder, each with the file that makes the folder what it is."""
    return {
        "train": (lambda out, **given: train(datasets["ids"], out, **given), "run.json"),
        "save": (lambda out, **given: untrained.save(out, **given), "run.json"),
        "export": (lambda out, **given: export_onnx(untrained, out, **given), "manifest.json"),
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("way", ["train", "save", "export"])
def test_overwriting_a_link_replaces_what_it_leads_to(write, tmp_path, way):
    making, marker = write[way]
    (tmp_path / "real" / "place").mkdir(parents=True)
    (tmp_path / "real" / "place" / marker).write_text("{}")
    (tmp_path / "real" / "place" / "old.txt").write_text("old")
    (tmp_path / "link").symlink_to("real/place")
    with pytest.raises(UserError, match="exists already"):
        making(tmp_path / "link")
    made = making(tmp_path / "link", overwrite=True)
    folder = made if way == "save" else made.folder
    assert folder == tmp_path / "link"
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path) == ["link", "real"]
    assert names(tmp_path / "real") == ["place"]
    assert not (tmp_path / "real" / "place" / "old.txt").exists()
    opened = export.open_bundle(folder) if way == "export" else zoo.load(folder)
    assert opened.folder == tmp_path / "link"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("target", ["nowhere", "link"])
@pytest.mark.parametrize("way", ["train", "save", "export"])
def test_a_link_that_leads_nowhere_is_refused_and_stays(write, tmp_path, way, target, overwrite):
    making, _ = write[way]
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UserError, match=rf"a link to {target}, which leads nowhere\. Remove the link, or make"):
        making(tmp_path / "link", overwrite=overwrite)
    assert names(tmp_path) == ["link"]
    assert (tmp_path / "link").is_symlink()


def test_a_link_to_something_else_is_not_replaced(write, tmp_path):
    making, _ = write["save"]
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "photo.jpg").write_text("precious")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(UserError, match="holds something else"):
        making(tmp_path / "link", overwrite=True)
    assert names(tmp_path / "real") == ["photo.jpg"]


def test_a_training_into_a_link_that_was_interrupted_is_taken_up_through_the_link(datasets, tmp_path):
    import keras

    def stop(epoch, logs):
        raise KeyboardInterrupt

    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "run.json").write_text("{}")
    (tmp_path / "link").symlink_to("real")
    callbacks = [keras.callbacks.LambdaCallback(on_train_end=lambda logs: stop(0, logs))]
    with pytest.raises(KeyboardInterrupt):
        train(datasets["ids"], tmp_path / "link", overwrite=True, callbacks=callbacks)
    assert names(tmp_path) == [".real-unfinished", "link", "real"]
    assert train(datasets["ids"], tmp_path / "real", overwrite=True, resume=True).metrics
    assert names(tmp_path) == ["link", "real"]
