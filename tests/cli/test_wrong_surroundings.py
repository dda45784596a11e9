"""What is wrong around a command, such as its disk, ends it with a sentence and exit code 2. Nothing is left behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

import export
import zoo
from zoo.errors import UserError
from zoo.evaluation.bootstrap import check_resamples

DATA = "data.options={num_users: 30, num_items: 20, num_interactions: 120}"
TRAIN = (
    "train",
    "mf",
    "--data",
    "synthetic",
    "--set",
    DATA,
    "--set",
    "train.epochs=1",
    "--set",
    "evaluate.resamples=20",
)


def refused(outcome) -> str:
    code, _, err = outcome
    assert code == 2, err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (("--set", "model=ncf"), "--set model=ncf: the architecture is the argument of zoo train"),
        (("--set", "data.options={users: a.csv}", "--set", "data.users=b.csv"), "data.options has 'users'"),
        (("--set", "data.options={split: time}"), "data.options has 'split', .* Give split.name instead"),
        (("--set", "data.options={scratch: here}"), "data.options has 'scratch'"),
        (("--set", "data.options={users: 5}"), "data.options has 'users', .* Give data.users instead"),
        (("--set", "evaluate.resamples=2000000000"), r"evaluate\.resamples.* Choose fewer"),
        (("--set", "evaluate.resamples=1e12"), "is not an integer: setting 'evaluate.resamples'"),
        (("--out", "x" * 300), "cannot be written .File name too long"),
        (("--out", "x" * 240), "cannot be written .File name too long"),
        (("--out", ".", "--overwrite"), "the working folder is in it, so it is not replaced"),
        (("--out", "..", "--overwrite"), "the working folder is in it, so it is not replaced"),
        (("--out", "/", "--overwrite"), "no place for an output"),
    ],
)
def test_a_wrong_setting_or_output_is_told_and_leaves_nothing(zoo_command, tmp_path, further, message):
    import re

    assert re.search(message, refused(zoo_command(*TRAIN, *further)).replace("\n", " "))
    assert list(tmp_path.iterdir()) == []


def test_resamples_that_would_take_hours_are_refused():
    with pytest.raises(UserError, match=r"1,000,000 resamples of 1,000,000 users would take about 9 hours"):
        check_resamples(1_000_000, 1_000_000)
    check_resamples(10_000_000, 1000)


def test_negatives_beyond_memory_are_told(zoo_command, tmp_path, monkeypatch):
    import tensorflow as tf

    def fail(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr("zoo.training.loop.Trainer._steps", lambda self, is_xla: fail)
    said = refused(zoo_command(*TRAIN, "--set", "train.options={negatives: 1000}", "--out", "run"))
    assert "needs more memory than there is. Choose a smaller train.batch_size, fewer negatives" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize(
    "step", ["zoo.saving.save_arrays", "zoo.training.loop.write_checkpoint", "zoo.run._write_json"]
)
def test_a_disk_that_is_full_or_closed_is_told(zoo_command, tmp_path, monkeypatch, number, step):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(step, fail)
    said = refused(zoo_command(*TRAIN, "--out", "run"))
    assert f"run: cannot be written ({os.strerror(number)}). Choose another output" in said
    # What was trained is kept, if the disk has room for it.
    assert [path.name for path in tmp_path.iterdir()] == ([] if "checkpoint" in step else [".run-unfinished"])


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 kB, where the system lets us make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has tmpfs")
def test_a_disk_that_is_really_full_is_told(zoo_command, small_disk, make_run, datasets):
    (small_disk / "full").write_bytes(bytes(200_000))
    large = ("--set", "embedding_dim=400")
    assert "No space left on device" in refused(zoo_command(*TRAIN, *large, "--out", small_disk / "run"))
    assert [path.name for path in small_disk.iterdir()] == ["full"]


def test_a_read_only_place_is_told(zoo_command, monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert "run: cannot be written (Permission denied)" in refused(zoo_command(*TRAIN, "--out", "run"))
    assert list(tmp_path.iterdir()) == []


def test_a_working_folder_that_is_gone_is_told(tmp_path):
    code = "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); from zoo.cli import main; main()"
    command = [sys.executable, "-c", code, *TRAIN, "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300, check=False)
    refused((done.returncode, done.stdout, done.stderr))


# Damaged arrays


@pytest.fixture
def run_folder(make_run, datasets, tmp_path):
    return make_run("mf", datasets["ids"]).save(tmp_path / "run")


def test_a_small_file_that_unpacks_to_more_than_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    from zoo.arrays import load_arrays

    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, zeros=np.zeros(50_000_000, np.int8))
    monkeypatch.setattr("zoo.memory.available_memory", lambda: 40_000_000)
    monkeypatch.setattr("numpy.lib.format.read_array", lambda *_, **__: pytest.fail("it is unpacked"))
    with pytest.raises(UserError, match=r"bomb\.npz needs 50\.0 MB of memory, and 40\.0 MB are available"):
        load_arrays(path)


def test_weights_of_other_shapes_are_refused_before_they_are_unpacked(run_folder, monkeypatch):
    from zoo.saving import read_recommender

    np.savez_compressed(run_folder / "weights.npz", **{"0000": np.zeros(50_000_000, np.int8)})
    monkeypatch.setattr("numpy.lib.format.read_array", lambda *_, **__: pytest.fail("it is unpacked"))
    with pytest.raises(UserError, match="its weights do not fit the architecture 'mf'"):
        read_recommender(run_folder)


def test_a_run_and_a_bundle_may_be_in_the_working_folder(zoo_command, make_run, datasets, tmp_path):
    make_run("mf", datasets["ids"]).save("run")
    assert zoo.load("run").folder.name == "run"
    assert export.export("run", "bundle", "onnx").folder.name == "bundle"
