"""Workers that meet before training, and what is wrong with them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import re
import socket
import sys

import pytest
import tensorflow as tf
from workers import (
    ELSEWHERE,
    PATIENCE,
    as_worker,
    free_addresses,
    tf_config,
    train_arguments,
    write_events,
)

from zoo.cli import main
from zoo.config import make_config
from zoo.errors import UserError
from zoo.training.distribution import cluster, make_strategy, meet

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
def test_a_stranger_is_not_taken_for_a_worker(words):
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
    with pytest.raises(UserError, match=r"-1 is not at least 0: setting 'train\.worker'"):
        train_config(workers=["a:1", "b:1"], worker=-1)
    for index in (2, -1):
        monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:1"], index))
        with pytest.raises(UserError, match=rf"The task's index in TF_CONFIG is {index}, but there are 2 workers"):
            cluster(train_config())


def test_a_place_needs_workers_to_be_a_place_of():
    with pytest.raises(UserError, match=r"train\.worker=0 is given, but there are no train\.workers"):
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


def test_a_process_is_the_only_one_without_workers(monkeypatch):
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
    with pytest.raises(UserError, match=r"train\.strategy=mirrored is given beside several workers"):
        make_strategy(make_config("mf", {"train": {"strategy": "mirrored", "workers": ["a:1", "b:1"], "worker": 0}}))


def test_mirroring_without_a_gpu_is_refused(monkeypatch):
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
    """Runs `zoo train` in a folder that has only events. Gives exit code and errors."""
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
