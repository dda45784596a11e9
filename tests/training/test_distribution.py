"""Training on several workers, on several devices and after a kill, each beside one process that nothing disturbs."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import zoo
from zoo.cli import main
from zoo.config import make_config, parse_settings
from zoo.errors import UserError
from zoo.training.distribution import array_from_chief, cluster, from_chief, is_chief, make_strategy, meet

# Seconds; longer than any process here takes, however busy the machine.
PATIENCE = 600

# Addresses of no machine (RFC 5737).
ELSEWHERE = "198.51.100.1:2222", "203.0.113.1:2222"

BATCH = 64
SETTINGS = (
    f"train.batch_size={BATCH}",
    "train.epochs=2",
    "train.patience=null",
    "train.steps_per_execution=2",
    "train.worker_timeout=300",
    "evaluate.ks=[5]",
    "evaluate.resamples=20",
    "embedding_dim=4",
)
# Each positive has negatives of its own; and the whole batch is pitted against itself. Adam would make steps of the
# rounding errors that user biases get from a softmax, whose gradients cancel, so the second has another optimizer.
OBJECTIVES = {
    "pointwise": ("train.learning_rate=0.05", "train.options.negatives=3"),
    "softmax": (
        "train.objective=in_batch_softmax",
        "train.optimizer=sgd",
        "train.learning_rate=30",
        "train.global_clipnorm=0.1",
    ),
}

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


def train_arguments(out: str, objective: str, *more: str) -> list[str]:
    """The arguments of `zoo` to train on the events."""
    settings = [part for setting in (*SETTINGS, *OBJECTIVES[objective]) for part in ("--set", setting)]
    return ["train", "mf", "--data", "events.csv", "--out", out, *settings, *more]


def as_worker(workers: list[str], index: int) -> tuple[str, ...]:
    return "--workers", ",".join(workers), "--worker", str(index)


def tf_config(workers: list[str], index: int, **more: object) -> str:
    return json.dumps({"cluster": {"worker": workers, **more}, "task": {"type": "worker", "index": index}})


def write_events(path: Path) -> None:
    """Users of one half like items of one half; the last batch of an epoch has but one example, for one worker."""
    rng = np.random.default_rng(0)
    liked = [rng.permutation(20)[:12] + 20 * (user % 2) for user in range(20)]
    rows = [(f"u{user}", f"i{item}") for user, items in enumerate(liked) for item in items]
    frame = pd.DataFrame(rows, columns=["user", "item"]).sample(frac=1, random_state=0)
    parts = np.resize(["valid", "test"], len(frame)).astype(object)
    parts[: 3 * BATCH + 1] = "train"
    frame.assign(split=parts).to_csv(path, index=False)


def free_addresses(number: int = 2) -> list[str]:
    """Addresses of this machine at which nobody listens."""
    with contextlib.ExitStack() as sockets:
        ports = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(number)]
    return [f"127.0.0.1:{port}" for port in ports]


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
def alone(folder) -> dict[str, zoo.Run]:
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
def test_two_workers_learn_from_shared_batches_what_one_learns_from_whole_ones(folder, exit_codes, alone, objective):
    assert exit_codes["worker-0"] == 0, errors_of(folder, "worker-0")
    assert exit_codes["worker-1"] == 0, errors_of(folder, "worker-1")
    run = zoo.load(folder / f"workers-{objective}")
    assert_close(run.model.get_weights(), alone[objective].model.get_weights())
    for epoch, expected in zip(run.history, alone[objective].history, strict=True):
        assert epoch["loss"] == pytest.approx(expected["loss"], rel=TOLERANCE)
        assert epoch["ndcg@5"] == pytest.approx(expected["ndcg@5"])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_devices_learn_from_shared_batches_what_one_learns_from_whole_ones(folder, exit_codes, alone, objective):
    assert exit_codes["mirrored"] == 0, errors_of(folder, "mirrored")
    assert_close(weights_of(folder / f"mirrored-{objective}"), alone[objective].model.get_weights())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_learnt_is_far_more_than_the_tolerance(alone, objective):
    run = alone[objective]
    assert run.history[1]["loss"] < run.history[0]["loss"] - 0.01
    user, item = run.model.get_weights()[0], run.model.get_weights()[2]
    assert min(np.abs(user).max(), np.abs(item).max()) > 0.1
    assert run.dataset.notes == ["Split: as given by column 'split': 193 train, 23 valid, 24 test."]


def test_the_first_worker_alone_writes_and_all_tell_its_metrics(folder, exit_codes):
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
def test_a_process_alone_is_its_own_chief(value):
    assert is_chief()
    assert from_chief(value) is value
    for array in ARRAYS.values():
        assert array_from_chief(array) is array


# Killed


def test_a_killed_run_is_taken_up_and_ends_with_the_same_weights(folder, exit_codes, alone):
    assert exit_codes["killed"] == -signal.SIGKILL
    assert not (folder / "killed").exists()
    assert (folder / ".killed-unfinished" / "checkpoint.npz").exists()
    # Where it runs may change in between.
    settings = [*SETTINGS, *OBJECTIVES["pointwise"], "train.worker_timeout=7"]
    resumed = train_here(folder, settings, out="killed", resume=True)
    assert_equal(resumed.model.get_weights(), alone["pointwise"].model.get_weights())
    assert [epoch["loss"] for epoch in resumed.history] == [epoch["loss"] for epoch in alone["pointwise"].history]
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


# Meeting


def meet_all(workers: list[str], settings: dict[int, str], timeout: float = PATIENCE) -> dict[int, str]:
    """Lets workers with some settings meet, each in a thread; gives what went wrong for each."""

    def problem(index: int) -> str:
        try:
            meet(workers, index, settings[index], timeout)
        except UserError as error:
            return str(error)
        return ""

    with concurrent.futures.ThreadPoolExecutor(len(settings)) as threads:
        return dict(zip(settings, threads.map(problem, settings), strict=True))


def test_workers_that_all_come_meet():
    workers = free_addresses(3)
    assert meet_all(workers, dict.fromkeys(range(3), "same")) == {0: "", 1: "", 2: ""}
    # Their ports are free again, for TensorFlow.
    assert meet_all(workers, dict.fromkeys(range(3), "same")) == {0: "", 1: "", 2: ""}


def test_workers_may_come_before_the_first_one():
    workers = free_addresses()
    with concurrent.futures.ThreadPoolExecutor() as threads:
        early = threads.submit(meet, workers, 1, "same", PATIENCE)
        with pytest.raises(concurrent.futures.TimeoutError):
            early.result(timeout=0.5)
        meet(workers, 0, "same", PATIENCE)
        early.result(timeout=PATIENCE)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_worker_that_does_not_come_is_named_to_all_others_with_the_timeout(missing):
    workers = free_addresses(3)
    problems = meet_all(workers, {index: "same" for index in range(3) if index != missing}, timeout=0.5)
    message = f"Worker {missing} at {workers[missing]} did not come within 0.5 seconds (train.worker_timeout). "
    assert (
        list(problems.values()) == [message + "Start it with the same settings, or leave it out of train.workers."] * 2
    )


def test_a_worker_with_other_settings_is_named_to_both():
    workers = free_addresses()
    message = f"Worker 1 at {workers[1]} has other settings than worker 0. Start all with the same."
    assert meet_all(workers, {0: "these", 1: "those"}) == {0: message, 1: message}


def test_a_port_that_is_taken_is_named():
    workers = free_addresses()
    port = int(workers[1].rpartition(":")[2])
    message = rf"Worker 1 cannot listen at {re.escape(workers[1])} \(Address already in use.*\)\. Choose a free port\."
    with socket.create_server(("127.0.0.1", port)), pytest.raises(UserError, match=message):
        meet(workers, 1, "same", PATIENCE)


@pytest.mark.parametrize(
    "words", [b"", b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b'{"worker": 9}\n', b'{"worker": "1"}\n', b"\xff\n"]
)
def test_who_is_no_worker_is_not_taken_for_one(words):
    workers = free_addresses()
    host, _, port = workers[0].rpartition(":")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(meet, workers, 0, "same", PATIENCE)
        while True:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as stranger:
                stranger.sendall(words)
                break
        meet(workers, 1, "same", PATIENCE)
        first.result(timeout=PATIENCE)


# Mistakes


def train_config(**settings):
    return make_config("mf", {"train": settings}).train


@pytest.mark.parametrize("worker", ["", "localhost", "localhost:", ":2222", "localhost:http", "localhost:0", "a:65536"])
def test_an_address_that_has_no_host_or_no_port_is_named(monkeypatch, worker):
    message = f"Worker {worker!r} is not like host:port, e.g. 10.0.0.5:2222."
    with pytest.raises(UserError) as error:
        cluster(train_config(workers=["10.0.0.5:2222", worker], worker=0))
    assert str(error.value) == message
    monkeypatch.setenv("TF_CONFIG", tf_config(["10.0.0.5:2222", worker], 0))
    with pytest.raises(UserError) as error:
        cluster(train_config())
    assert str(error.value) == message


def test_a_worker_that_is_listed_twice_is_named():
    with pytest.raises(UserError, match=r"Worker 'a:1' is listed 2 times"):
        cluster(train_config(workers=["b:1", "a:1", "a:1"], worker=0))


def test_a_place_that_no_worker_has_is_told_with_their_number(monkeypatch):
    with pytest.raises(UserError, match=r"train\.worker is 2, but there are 2 workers, counted from 0"):
        cluster(train_config(workers=["a:1", "b:1"], worker=2))
    with pytest.raises(UserError, match=r"Setting 'train\.worker'.*Received: -1"):
        train_config(workers=["a:1", "b:1"], worker=-1)
    for index in (2, -1):
        monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:1"], index))
        with pytest.raises(UserError, match=rf"The task's index in TF_CONFIG is {index}, but there are 2 workers"):
            cluster(train_config())


def test_a_place_needs_workers_to_be_a_place_of():
    with pytest.raises(UserError, match=r"train\.worker says which one of train\.workers this is, but there are no"):
        cluster(train_config(worker=0))


def test_a_worker_knows_its_place_by_the_only_address_of_its_machine():
    assert cluster(train_config(workers=[ELSEWHERE[0], "127.0.0.1:2222"])) == ([ELSEWHERE[0], "127.0.0.1:2222"], 1)


@pytest.mark.parametrize(
    ("workers", "which"),
    [
        (["127.0.0.1:2222", "127.0.0.1:2223"], "Several of the workers are"),
        (ELSEWHERE, "None of the workers is"),
    ],
)
def test_a_place_that_the_addresses_do_not_tell_is_asked_for(workers, which):
    with pytest.raises(
        UserError, match=f"{which} at an address of this machine: say which one this is by train.worker"
    ):
        cluster(train_config(workers=workers))


def test_without_workers_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster(train_config()) == ([], 0)
    assert make_strategy(make_config("mf")) is tf.distribute.get_strategy()
    monkeypatch.setenv("TF_CONFIG", tf_config(["127.0.0.1:2222"], 0))
    assert make_strategy(make_config("mf")) is tf.distribute.get_strategy()


def test_workers_are_those_of_the_environment_unless_settings_name_some(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:1"], 1))
    assert cluster(train_config()) == (["a:1", "b:1"], 1)
    assert cluster(train_config(workers=["c:1", "d:1"], worker=0)) == (["c:1", "d:1"], 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"cluster": {}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": "first"}}',
        '{"cluster": {"worker": 2}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": ["worker"], "index": 0}}',
        '{"cluster": "worker", "task": {"type": "worker", "index": 0}}',
    ],
)
def test_an_environment_that_describes_no_workers_is_told_how_to(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=r'TF_CONFIG is not like {"cluster": {"worker": \["host:port", ...\]}'):
        cluster(train_config())


@pytest.mark.parametrize(
    ("cluster_of", "task"),
    [({"worker": ["a:1"], "ps": ["b:1"]}, "worker"), ({"worker": ["a:1"]}, "ps")],
    ids=["another one", "this one"],
)
def test_tasks_that_are_no_workers_are_named(monkeypatch, cluster_of, task):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster_of, "task": {"type": task, "index": 0}}))
    with pytest.raises(UserError, match=r"TF_CONFIG has tasks of type 'ps'\. All tasks must be of type 'worker'"):
        cluster(train_config())


def test_several_workers_are_not_mirrored():
    with pytest.raises(UserError, match=r"train\.strategy=mirrored is for one machine"):
        make_strategy(make_config("mf", {"train": {"strategy": "mirrored", "workers": ["a:1", "b:1"], "worker": 0}}))


def test_there_is_nothing_to_mirror_on_without_a_gpu(monkeypatch):
    cpu = tf.config.list_logical_devices("CPU")[:1]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: cpu if kind == "CPU" else [])
    with pytest.raises(UserError, match=r"train\.strategy=mirrored needs a GPU, and TensorFlow sees none"):
        make_strategy(make_config("mf", {"train": {"strategy": "mirrored"}}))


def test_workers_need_a_process_that_is_new_to_tensorflow():
    workers = free_addresses()
    tf.constant(0)

    def problem(index: int) -> str:
        with pytest.raises(UserError) as error:
            make_strategy(make_config("mf", {"train": {"workers": workers, "worker": index}}))
        return str(error.value)

    with concurrent.futures.ThreadPoolExecutor() as threads:
        for message in threads.map(problem, range(2)):
            assert message.startswith("Several workers need a process in which TensorFlow was not used before")


@pytest.fixture
def zoo_train(monkeypatch, capfd, tmp_path):
    """Runs `zoo train` in a folder with nothing but events; gives exit code and errors."""
    monkeypatch.chdir(tmp_path)
    write_events(tmp_path / "events.csv")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["zoo", *train_arguments("runs/mf", "pointwise", *arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert [path.name for path in tmp_path.iterdir()] == ["events.csv"], "nothing is written"
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), " ".join(err.split())

    return run


@pytest.mark.parametrize("index", [0, 1])
def test_the_command_ends_with_2_if_a_worker_does_not_come(zoo_train, index):
    workers = free_addresses()
    code, errors = zoo_train(*as_worker(workers, index), "--set", "train.worker_timeout=0.5")
    assert code == 2
    assert f"Worker {1 - index} at {workers[1 - index]} did not come within 0.5 seconds" in errors


def test_the_command_ends_with_2_if_a_worker_has_other_settings(zoo_train):
    workers = free_addresses()
    with concurrent.futures.ThreadPoolExecutor() as threads:
        other = threads.submit(meet, workers, 1, "other settings", PATIENCE)
        code, errors = zoo_train(*as_worker(workers, 0))
        assert code == 2
        assert f"Worker 1 at {workers[1]} has other settings than worker 0" in errors
        with pytest.raises(UserError, match="has other settings"):
            other.result(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--worker", "1"), "there are no train.workers"),
        (("--workers", "127.0.0.1:2222,", "--worker", "0"), "Worker '' is not like host:port"),
        (("--workers", "127.0.0.1:2222,127.0.0.1:2223"), "say which one this is by train.worker"),
    ],
)
def test_the_command_ends_with_2_for_workers_that_make_no_sense(zoo_train, arguments, message):
    code, errors = zoo_train(*arguments)
    assert code == 2
    assert message in errors
