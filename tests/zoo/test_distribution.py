"""Training on several workers, on the devices of one machine, and after a kill; each beside one process undisturbed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import zoo
from zoo.cli import main
from zoo.config import make_config, parse_settings
from zoo.distribution import array_from_chief, cluster, from_chief, is_chief, make_strategy, meet
from zoo.errors import UserError

# Longer than any process here takes, however busy the machine.
PATIENCE = 600

# An address of no machine (RFC 5737).
ELSEWHERE = "192.0.2.1:2222"

BATCH = 64
SETTINGS = (
    f"train.batch_size={BATCH}",
    "train.epochs=2",
    "train.patience=null",
    "train.steps_per_call=2",
    "train.learning_rate=0.05",
    "train.worker_timeout=300",
    "evaluate.ks=[5]",
    "evaluate.resamples=20",
    "embedding_dim=4",
)
OBJECTIVES = {
    "negatives of each positive": ("train.options.negatives=3",),
    "shared negatives": ("train.options.shared=16",),
    "in-batch softmax": ("train.objective=in_batch_softmax", "train.clip_norm=0.5", "train.ema=0.9"),
}

# The gradient of a weight is a sum of a few hundred float32 numbers, in another order where there are several
# replicas, so it differs by about 1e-7 of what was summed. Adam divides it by its own size: where the summands cancel
# each other, a step of learning rate 0.05 differs by some 1e-6, and there are eight of them.
TOLERANCE = 1e-5

# TensorFlow takes seconds to import: one process does so for all others, which then are processes of their own.
FORK = """
import json, os, sys
import zoo.cli, zoo.training
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
os.environ.update({environment!r})
sys.argv = ["zoo", *{arguments!r}]
zoo.cli.main()
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
EXCHANGE = """
import json, numpy as np
from zoo.config import make_config
from zoo.distribution import array_from_chief, from_chief, make_strategy
with make_strategy(make_config("mf", {{"train": {train!r}}})).scope():
    arrays = dict(np.load("arrays-{worker}.npz"))
    np.savez("received-{worker}.npz", **{{name: array_from_chief(array) for name, array in arrays.items()}})
    print(json.dumps(from_chief({value!r})))
"""


def fork(folder: Path, **codes: str) -> dict[str, int]:
    """Runs each code in a process of its own, all at once in a folder; gives their exit codes."""
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    command = [sys.executable, "-c", FORK]
    with subprocess.Popen(command, cwd=folder, text=True, start_new_session=True, **pipes) as forking:
        try:
            out, err = forking.communicate(json.dumps(codes), timeout=PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(forking.pid, signal.SIGKILL)
    assert forking.returncode == 0, err
    return json.loads(out)


def command(*arguments: str, **environment: str) -> str:
    """The code of the command `zoo`."""
    return COMMAND.format(arguments=arguments, environment=environment)


def train_command(out: str, settings: tuple[str, ...], *arguments: str, **environment: str) -> str:
    """The code of `zoo train mf` on the events."""
    given = [part for setting in settings for part in ("--set", setting)]
    return command("train", "mf", "--data", "events.csv", "--out", out, *given, *arguments, **environment)


def write_events(folder: Path, num_train: int = 3 * BATCH + 1) -> None:
    """`events.csv`: users of one half like items of one half; the last batch of an epoch has but one example."""
    rng = np.random.default_rng(0)
    liked = [rng.permutation(20)[:12] + 20 * (user % 2) for user in range(20)]
    rows = [(f"u{user}", f"i{item}") for user, items in enumerate(liked) for item in items]
    frame = pd.DataFrame(rows, columns=["user", "item"]).sample(frac=1, random_state=0)
    frame["split"] = np.where(np.arange(len(frame)) < num_train, "train", np.resize(["valid", "test"], len(frame)))
    frame.to_csv(folder / "events.csv", index=False)


def free_addresses(number: int = 2) -> list[str]:
    """Addresses of this machine at which nobody listens."""
    with contextlib.ExitStack() as sockets:
        ports = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(number)]
    return [f"127.0.0.1:{port}" for port in ports]


def tf_config(workers: list[str], index: int) -> str:
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


def weights_of(folder: Path) -> list[np.ndarray]:
    return zoo.load(folder).model.get_weights()


def assert_equal(weights, others):
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(weight, other)


def assert_close(weights, others):
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(weight, other, rtol=0, atol=TOLERANCE)


# Equal to one process


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("distribution")
    write_events(made)
    return made


# What every worker has at hand for the exchange; the values of the first are what all are to get.
ARRAYS = {
    "numbers": np.array([[1.5, -0.0], [np.nan, np.float32(1e-45)]], np.float32),
    "double": np.array([np.pi, 1e300]),
    "bytes": np.frombuffer(b"seven b", np.uint8),
    "counts": np.array([2**62 + 1, -1], np.int64),
    "flags": np.array([True, False, True]),
    "scalar": np.array(7, np.int32),
    "nothing": np.zeros((0, 3), np.float32),
}
VALUES = ({"é": [1.5, None, True]}, "something longer than what worker 0 has to say about all of this")


@pytest.fixture(scope="module")
def exit_codes(folder) -> dict[str, int]:
    """Of all processes, which run at once."""
    codes = {}
    for name, settings in OBJECTIVES.items():
        workers = free_addresses()
        for index in range(2):
            if name == "shared negatives":
                given, environment = (), {"TF_CONFIG": tf_config(workers, index)}
            else:
                given, environment = ("--workers", ",".join(workers), "--worker", str(index)), {}
            codes[f"{name}-{index}"] = train_command(name, (*SETTINGS, *settings), *given, **environment)
    mirrored = {f"mirrored {name}": [*SETTINGS, *own, "train.strategy=mirrored"] for name, own in OBJECTIVES.items()}
    codes["mirrored"] = TRAIN.format(runs=mirrored, devices=2, is_killed=False)
    codes["killed"] = TRAIN.format(runs={"killed": SETTINGS}, devices=1, is_killed=True)
    moved = {"moved": [*SETTINGS, "train.strategy=mirrored"]}
    codes["moved"] = TRAIN.format(runs=moved, devices=2, is_killed=True)
    workers = free_addresses()
    for index, value in enumerate(VALUES):
        arrays = {name: array if index == 0 else np.ones_like(array) for name, array in ARRAYS.items()}
        np.savez(folder / f"arrays-{index}.npz", **arrays)
        train = {"workers": workers, "worker": index, "worker_timeout": 300}
        codes[f"exchange-{index}"] = EXCHANGE.format(train=train, worker=index, value=value)
    return fork(folder, **codes)


@pytest.fixture(scope="module")
def alone(folder) -> dict[str, zoo.Run]:
    """What one process learns."""
    return {
        name: zoo.train("mf", folder / "events.csv", progress=False, **parse_settings([*SETTINGS, *settings]))
        for name, settings in OBJECTIVES.items()
    }
