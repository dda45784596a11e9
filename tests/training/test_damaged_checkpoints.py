"""An interrupted run that was damaged is refused, or taken up as if nothing had happened."""

from __future__ import annotations

import random
import shutil
import zipfile

import keras
import numpy as np
import pytest

import zoo
from zoo.errors import UserError

SETTINGS = {"hparams": {"embedding_dim": 4}, "evaluate": {"resamples": 20}, "train": {"epochs": 3, "batch_size": 64}}


class Killed(Exception):  # noqa: N818
    """What ends training in these tests."""


def train(data, out, **given):
    return zoo.train("mf", data, out=out, progress=False, **given, **SETTINGS)


def kill(epoch, logs):
    if epoch == 2:
        raise Killed


@pytest.fixture(scope="module")
def interrupted(datasets, tmp_path_factory):
    """The hidden folder of a run that was killed after its second epoch."""
    out = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(Killed):
        train(datasets["features"], out, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=kill)])
    return out.with_name(".run-unfinished")


@pytest.fixture(scope="module")
def whole(datasets):
    """The weights of the run, had it not been interrupted."""
    return train(datasets["features"], None).model.get_weights()


def flip(content, draw):
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def cut(content, draw):
    return content[: draw.randrange(1, len(content))]


def overwrite_some(content, draw):
    place = draw.randrange(len(content))
    return content[:place] + draw.randbytes(len(content[place : place + 64])) + content[place + 64 :]


DAMAGES = {"flip": flip, "cut": cut, "overwrite": overwrite_some, "empty": lambda content, draw: b"", "delete": None}


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def ends_well(datasets, whole, out):
    """Whether the run is taken up with the weights it should have. Otherwise it is refused."""
    refused, run = "", None
    try:
        run = train(datasets["features"], out, resume=True)
    except UserError as error:
        refused = str(error)
    if run is None:
        assert "--overwrite" in refused
        return False
    for weight, expected in zip(run.model.get_weights(), whole, strict=True):
        np.testing.assert_array_equal(weight, expected)
    return True


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_interrupted_run_is_refused_or_ends_as_it_should(datasets, interrupted, whole, tmp_path, damage):
    draw = random.Random(f"{damage} 0")
    for number, name in enumerate(name for name in files_of(interrupted) if not name.startswith("logs/")):
        out = tmp_path / str(number) / "run"
        folder = shutil.copytree(interrupted, out.with_name(".run-unfinished"))
        if DAMAGES[damage]:
            (folder / name).write_bytes(DAMAGES[damage]((folder / name).read_bytes(), draw))
        else:
            (folder / name).unlink()
        well = ends_well(datasets, whole, out)
        assert not well or name == "checkpoint.npz", f"{name} is damaged, and nobody noticed"


@pytest.mark.parametrize("damage", ["flip", "cut", "overwrite"])
def test_a_checkpoint_that_is_damaged_anywhere_is_refused_or_read_as_it_was(interrupted, tmp_path, damage):
    from zoo.arrays import open_arrays

    with np.load(interrupted / "checkpoint.npz") as arrays:
        expected = {name: arrays[name] for name in arrays.files}
    content, draw, refused = (interrupted / "checkpoint.npz").read_bytes(), random.Random(damage), 0
    # Headers are what a parser stumbles over, and most bytes are those of arrays.
    with zipfile.ZipFile(interrupted / "checkpoint.npz") as archive:
        headers = [one.header_offset for one in archive.infolist()] + [archive.start_dir]
    for number in range(300):
        path = tmp_path / "checkpoint.npz"
        if number % 2 and damage != "cut":
            place = draw.choice(headers)
            changed = content[:place] + DAMAGES[damage](content[place : place + 150], draw) + content[place + 150 :]
        else:
            changed = DAMAGES[damage](content, draw)
        path.write_bytes(changed)
        try:
            with open_arrays(path) as arrays:
                found = {name: arrays[name] for name in expected}
        except UserError:
            refused += 1
        else:
            for name, values in expected.items():
                np.testing.assert_array_equal(found[name], values)
    assert refused > 200


def test_an_interrupted_run_without_its_checksums_is_refused(datasets, interrupted, tmp_path):
    folder = shutil.copytree(interrupted, tmp_path / ".run-unfinished")
    (folder / "prepared.json").unlink()
    with pytest.raises(UserError, match=r"has no prepared\.json.* Start anew with --overwrite"):
        train(datasets["features"], tmp_path / "run", resume=True)
    assert train(datasets["features"], tmp_path / "run", overwrite=True).metrics


def test_what_was_trained_is_kept_when_the_run_cannot_be_written(datasets, whole, tmp_path, monkeypatch):
    def fail(run, folder):
        raise UserError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("zoo.run.Run.write", fail)
        with pytest.raises(UserError, match="no room"):
            train(datasets["features"], tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == [".run-unfinished"]
    begun = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    run = train(datasets["features"], tmp_path / "run", resume=True, callbacks=[count])
    assert begun == []
    for weight, expected in zip(run.model.get_weights(), whole, strict=True):
        np.testing.assert_array_equal(weight, expected)
