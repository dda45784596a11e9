"""Training on several workers, on several devices and after a kill, each beside one process that nothing disturbs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workers import (
    OBJECTIVES,
    PATIENCE,
    SETTINGS,
    as_worker,
    free_addresses,
    tf_config,
    train_arguments,
    write_events,
)

import zoo
from zoo.config import parse_settings
from zoo.training.distribution import array_from_chief, from_chief, is_chief

# Several replicas sum the terms of a gradient in another order than one does, which changes it by about 1e-7 of their
# size (float32 has 24 bits), and a weight by as much of the way that such terms take it, which is 0.3 to 2 here.
TOLERANCE = 1e-6

# TensorFlow takes seconds to import: one process does so for all others, which then are processes of their own.
FORK = """
import json, os, sys
import zoo.cli, zoo.training.train
names = {}
for name, code in json.load(sys.stdin).items():
    child = os.fork()
    if not child:
        for number, kind in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{name}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        exec(code, {"__name__": "__main__"})
        sys.exit()
    names[child] = name
print(json.dumps({names[child]: os.waitstatus_to_exitcode(status) for child, status in (os.wait() for _ in names)}))
"""
COMMAND = """
import os, sys, zoo.cli
sys.argv = ["zoo", *{arguments!r}]
zoo.cli.main()
"""
COMMANDS = """
import os, zoo.cli
for arguments, environment in {commands!r}:
    os.environ.update(environment)
    zoo.cli.make_app()(arguments, standalone_mode=False)
"""
EXCHANGE = """
import numpy as np
from zoo.config import make_config
from zoo.training.distribution import array_from_chief, from_chief, is_chief, make_strategy
with make_strategy(make_config("mf")).scope():
    arrays = dict(np.load("sent-{index}.npz"))
    texts = [from_chief(text) for text in arrays.pop("texts").tolist()]
    np.savez("received-{index}.npz", texts=texts, **{{name: array_from_chief(array) for name, array in arrays.items()}})
    assert is_chief() == ({index} == 0)
"""
TRAIN = """
import os, signal, keras, tensorflow as tf, zoo
from zoo.config import parse_settings

if {devices} > 1:
    cpu, parts = tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * {devices}
    tf.config.set_logical_device_configuration(cpu, parts)

class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)

callbacks = [Kill()] if {is_killed} else []
for out, settings in {runs!r}.items():
    zoo.train("mf", "events.csv", out=out, progress=False, callbacks=callbacks, **parse_settings(settings))
"""


def fork(folder: Path, codes: dict[str, str]) -> dict[str, int]:
    """Runs each code in a process of its own, all at once in a folder; gives their exit codes."""
    with subprocess.Popen(
        [sys.executable, "-c", FORK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        start_new_session=True,
    ) as forking:
        try:
            out, err = forking.communicate(json.dumps(codes), timeout=PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(forking.pid, signal.SIGKILL)
    assert forking.returncode == 0, err
    return json.loads(out)


def weights_of(folder: Path) -> list[np.ndarray]:
    return zoo.load(folder).model.get_weights()


def assert_equal(weights, others):
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(weight, other)


def assert_close(weights, others):
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(weight, other, rtol=0, atol=TOLERANCE)


# Equal to one process


# What the first worker has and all are to get, bit by bit; the others have arrays of ones.
ARRAYS = {
    "floats": np.array([[1.5, -0.0], [np.nan, 1e-45]], np.float32),
    "doubles": np.array([np.pi, 1e300]),
    "bytes": np.frombuffer(b"seven b", np.uint8),
    "integers": np.array([2**62 + 1, -1], np.int64),
    "flags": np.array([True, False, True]),
    "scalar": np.array(7, np.int32),
    "nothing": np.zeros((0, 3), np.float32),
}
TEXTS = (["é", "", "a longer one" * 20], ["not heard", "not heard " * 20, ""])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where all is trained that is compared below."""
    made = tmp_path_factory.mktemp("distribution")
    write_events(made / "events.csv")
    for index in range(2):
        arrays: dict[str, Any] = {name: np.ones_like(array) if index else array for name, array in ARRAYS.items()}
        np.savez(made / f"sent-{index}.npz", texts=TEXTS[index], **arrays)
    return made


@pytest.fixture(scope="module")
def exit_codes(folder) -> dict[str, int]:
    """Of two workers that train twice, first as they are told by flags; of two devices; and of one that is killed."""
    codes, workers = {}, free_addresses()
    for index in range(2):
        by_flags = train_arguments("workers-pointwise", "pointwise", "--json", *as_worker(workers, index))
        by_environment = train_arguments("workers-softmax", "softmax", "--json")
        commands = [(by_flags, {}), (by_environment, {"TF_CONFIG": tf_config(workers, index)})]
        codes[f"worker-{index}"] = COMMANDS.format(commands=commands) + EXCHANGE.format(index=index)
    mirrored = {f"mirrored-{name}": [*SETTINGS, *own, "train.strategy=mirrored"] for name, own in OBJECTIVES.items()}
    codes["mirrored"] = TRAIN.format(runs=mirrored, devices=2, is_killed=False)
    killed = {"killed": [*SETTINGS, *OBJECTIVES["pointwise"]]}
    codes["killed"] = TRAIN.format(runs=killed, devices=1, is_killed=True)
    return fork(folder, codes)


@pytest.fixture(scope="module")
def by_one_process(folder) -> dict[str, zoo.Run]:
    """What one process learns."""
    return {name: train_here(folder, [*SETTINGS, *own]) for name, own in OBJECTIVES.items()}


def train_here(folder: Path, settings: list[str], **options) -> zoo.Run:
    """Trains in this process, from the folder that the others train in: a resumed run must name the same data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return zoo.train("mf", "events.csv", progress=False, **parse_settings(settings), **options)


def errors_of(folder: Path, name: str) -> str:
    return (folder / f"{name}.err").read_text()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_workers_learn_from_shared_batches_what_one_learns_from_whole_ones(
    folder, exit_codes, by_one_process, objective
):
    assert exit_codes["worker-0"] == 0, errors_of(folder, "worker-0")
    assert exit_codes["worker-1"] == 0, errors_of(folder, "worker-1")
    run = zoo.load(folder / f"workers-{objective}")
    assert_close(run.model.get_weights(), by_one_process[objective].model.get_weights())
    for epoch, expected in zip(run.history, by_one_process[objective].history, strict=True):
        assert epoch["loss"] == pytest.approx(expected["loss"], rel=TOLERANCE)
        assert epoch["ndcg@5"] == pytest.approx(expected["ndcg@5"])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_devices_learn_from_shared_batches_what_one_learns_from_whole_ones(
    folder, exit_codes, by_one_process, objective
):
    assert exit_codes["mirrored"] == 0, errors_of(folder, "mirrored")
    assert_close(weights_of(folder / f"mirrored-{objective}"), by_one_process[objective].model.get_weights())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_weights_change_by_far_more_than_the_tolerance(by_one_process, objective):
    run = by_one_process[objective]
    assert run.history[1]["loss"] < run.history[0]["loss"] - 0.01
    user, item = run.model.get_weights()[0], run.model.get_weights()[2]
    assert min(np.abs(user).max(), np.abs(item).max()) > 0.1
    assert run.dataset.notes == ["Split: as given by column 'split': 193 train, 23 valid, 24 test."]


def test_only_the_first_worker_writes_and_all_tell_its_metrics(folder, exit_codes):
    first, second = ((folder / f"worker-{index}.out").read_text() for index in range(2))
    decode = json.JSONDecoder().raw_decode
    for objective in OBJECTIVES:
        (told, end), (heard, other_end) = decode(first), decode(second)
        assert told.pop("run") == f"workers-{objective}"
        assert heard.pop("run") is None
        assert heard == told
        assert told["metrics"] == zoo.load(folder / f"workers-{objective}").metrics
        first, second = first[end:].lstrip(), second[other_end:].lstrip()
    assert first == second == ""
    assert exit_codes["worker-1"] == 0
    written = {path.name for path in folder.iterdir() if path.is_dir()} - {"killed"}
    assert written == {".killed-unfinished", *(f"{by}-{name}" for by in ("workers", "mirrored") for name in OBJECTIVES)}


def test_all_workers_get_what_the_first_has_to_the_last_bit(folder, exit_codes):
    assert exit_codes["worker-0"] == exit_codes["worker-1"] == 0
    for index in range(2):
        received = np.load(folder / f"received-{index}.npz")
        assert received["texts"].tolist() == TEXTS[0]
        for name, array in ARRAYS.items():
            assert (received[name].dtype, received[name].shape) == (array.dtype, array.shape)
            assert received[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("value", [None, 1.5, "text", [1, {"a": None}]])
def test_the_only_process_is_its_own_chief(value):
    assert is_chief()
    assert from_chief(value) is value
    for array in ARRAYS.values():
        assert array_from_chief(array) is array


# Killed


def test_a_killed_run_is_taken_up_and_ends_with_the_same_weights(folder, exit_codes, by_one_process):
    assert exit_codes["killed"] == -signal.SIGKILL
    assert not (folder / "killed").exists()
    assert (folder / ".killed-unfinished" / "checkpoint.npz").exists()
    # Where it runs may change in between.
    settings = [*SETTINGS, *OBJECTIVES["pointwise"], "train.worker_timeout=7"]
    resumed = train_here(folder, settings, out="killed", resume=True)
    assert_equal(resumed.model.get_weights(), by_one_process["pointwise"].model.get_weights())
    assert [epoch["loss"] for epoch in resumed.history] == [
        epoch["loss"] for epoch in by_one_process["pointwise"].history
    ]
    assert not (folder / ".killed-unfinished").exists()


@pytest.fixture(scope="module")
def lost(folder) -> dict[int, tuple[int, str, list[str]]]:
    """By the worker that is killed: exit code and errors of the other one, and the workers."""
    codes, clusters = {}, {victim: free_addresses() for victim in range(2)}
    for victim, workers in clusters.items():
        place = [f"train.workers=[{','.join(workers)}]", f"train.worker={victim}"]
        runs = {f"lost-{victim}": [*SETTINGS, *OBJECTIVES["pointwise"], *place]}
        codes[f"victim-{victim}"] = TRAIN.format(runs=runs, devices=1, is_killed=True)
        arguments = train_arguments(f"lost-{victim}", "pointwise", *as_worker(workers, 1 - victim))
        codes[f"left-{victim}"] = COMMAND.format(arguments=arguments)
    ended = fork(folder, codes)
    assert ended["victim-0"] == ended["victim-1"] == -signal.SIGKILL
    return {
        victim: (ended[f"left-{victim}"], errors_of(folder, f"left-{victim}"), workers)
        for victim, workers in clusters.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_that_is_lost_is_named_to_the_others(lost, victim):
    code, errors, workers = lost[victim]
    assert code == 1, errors
    assert "Traceback" not in errors
    assert f"Worker {victim} at {workers[victim]} is lost" in " ".join(errors.split())
    assert "--resume" in errors


@pytest.mark.slow
def test_workers_that_are_started_again_end_with_the_weights_of_undisturbed_ones(folder, exit_codes, lost):
    codes = {}
    for victim in lost:
        workers = free_addresses()
        for index in range(2):
            arguments = train_arguments(f"lost-{victim}", "pointwise", "--resume", *as_worker(workers, index))
            codes[f"again-{victim}-{index}"] = COMMAND.format(arguments=arguments)
    ended = fork(folder, codes)
    assert ended == dict.fromkeys(codes, 0), [errors_of(folder, name) for name in codes]
    for victim in lost:
        assert_equal(weights_of(folder / f"lost-{victim}"), weights_of(folder / "workers-pointwise"))
        assert not (folder / f".lost-{victim}-unfinished").exists()
