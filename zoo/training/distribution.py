"""Where training runs: on one device, on all GPUs of a machine, or on several machines (`tf.distribute`).

Every worker is a process that is started with the same settings and sees the same data. Each step's batch is dealt
to the workers and their gradients are summed, so that all of them hold the same weights after every step, and what
several learn is what one would have learnt from the whole batch. Only the first worker, the chief, writes files.

TensorFlow notices within half a minute that a worker is gone. Nothing can be trained without it, so the others end
with an error, and all are started again with `resume`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from zoo.config import Config, TrainConfig
from zoo.errors import UserError, ZooError

# Environment variable by which TensorFlow's jobs are told of their workers.
CLUSTER = "TF_CONFIG"

# Settings that may differ between workers: the place of each, and where it has its files.
OWN_SETTINGS = {
    "data": {"source", "data_root", "users", "items"},
    "train": {"worker", "workers", "worker_timeout", "pretrained"},
}

# Settings of where training runs. They may change when a run is taken up again, because they do not change what is
# learnt.
PLACE = {"train": {"strategy", "workers", "worker", "worker_timeout"}}

# What JSON can hold.
Json = TypeVar("Json")

# Seconds between two attempts to reach the first worker.
PAUSE = 0.1

# A process joins its workers once, and stays with them.
_joined: dict[tuple[str | int, ...], tf.distribute.Strategy] = {}


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """The strategy that a config asks for.

    Args:
        config: All settings. Without `train.workers` those of the environment variable TF_CONFIG count.

    Returns:
        A strategy, under whose scope the model is to be built.

    Raises:
        UserError: If there is no GPU to mirror on, the list of workers makes no sense, a worker does not come in
            time or has other settings, or TensorFlow has been used before in this process.
    """
    workers, index = cluster(config.train)
    if len(workers) > 1:
        if config.train.strategy == "mirrored":
            raise UserError(
                "train.strategy=mirrored is given beside several workers, and it is about one machine. "
                "Leave one of train.strategy and train.workers out."
            )
        described = config.model_dump_json(exclude=OWN_SETTINGS)
        settings = hashlib.sha256(described.encode()).hexdigest()
        if (*workers, index) not in _joined:
            meet(workers, index, settings, config.train.worker_timeout)
            _joined[(*workers, index)] = _multi_worker(workers, index)
        return _joined[(*workers, index)]
    if config.train.strategy == "mirrored":
        return _mirrored(_mirrored_devices())
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One for all runs of a process: TensorFlow tells sums apart by numbers that every strategy counts from 1 on."""
    return tf.distribute.MirroredStrategy(devices)


def _mirrored_devices() -> tuple[str, ...]:
    gpus, cpus = (tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU"))
    # Several logical CPUs stand in for GPUs only where somebody has set them up.
    devices = gpus or (cpus if len(cpus) > 1 else [])
    if not devices:
        raise UserError("train.strategy=mirrored needs a GPU, and TensorFlow sees none. Leave it out.")
    return tuple(device.name for device in devices)


def cluster(config: TrainConfig) -> tuple[list[str], int]:
    """The addresses of all workers and the place of this one, by the config or by TF_CONFIG.

    Args:
        config: The training settings.

    Returns:
        The workers, none if there is only this process, and the index of this one.

    Raises:
        UserError: If an address is no `host:port` or comes twice, or this worker's own place is not known.
    """
    if config.workers:
        workers, index = list(config.workers), config.worker
        _check_addresses(workers)
        return workers, _place("train.worker", _own_place(workers) if index is None else index, workers)
    if config.worker is not None:
        raise UserError(
            f"train.worker={config.worker} is given, but there are no train.workers. "
            "Give train.workers too, or leave it out."
        )
    if CLUSTER not in os.environ:
        return [], 0
    try:
        described = json.loads(os.environ[CLUSTER])
        workers = [str(worker) for worker in described["cluster"]["worker"]]
        index, kinds = int(described["task"]["index"]), {*described["cluster"], described["task"]["type"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{CLUSTER} is not like {{"cluster": {{"worker": ["host:port", ...]}}, '
            f'"task": {{"type": "worker", "index": 0}}}} ({error!r}).'
        ) from error
    if kinds != {"worker"}:
        other = min(kinds - {"worker"})
        raise UserError(f"{CLUSTER} has tasks of type {other!r}. All tasks must be of type 'worker'.")
    _check_addresses(workers)
    return workers, _place(f"The task's index in {CLUSTER}", index, workers)


def _place(name: str, index: int, workers: Sequence[str]) -> int:
    if not 0 <= index < len(workers):
        raise UserError(
            f"{name} is {index}, but there are {len(workers)} workers, counted from 0. Give a number below that."
        )
    return index


def _check_addresses(workers: Sequence[str]) -> None:
    for worker in workers:
        host, _, port = worker.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UserError(f"Worker {worker!r} is not like host:port, e.g. 10.0.0.5:2222.")
    for worker in workers:
        if workers.count(worker) > 1:
            raise UserError(
                f"Worker {worker!r} is listed {workers.count(worker)} times in train.workers. Leave it out once."
            )


def _own_place(workers: Sequence[str]) -> int:
    """The only place whose host is this machine."""
    own = [place for place, worker in enumerate(workers) if _is_local(worker.rpartition(":")[0])]
    if len(own) == 1:
        return own[0]
    which = "Several of the workers are" if own else "None of the workers is"
    raise UserError(f"{which} at an address of this machine: say which one this is by train.worker, counted from 0.")


def _is_local(host: str) -> bool:
    try:
        socket.create_server((host, 0)).close()
    except OSError:
        return False
    return True


def _multi_worker(workers: Sequence[str], index: int) -> tf.distribute.Strategy:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(workers)}),
        task_type="worker",
        task_id=index,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise UserError(f"Several workers need a process in which TensorFlow was not used before ({error}).") from error


def meet(workers: Sequence[str], index: int, settings: str, timeout: float) -> None:
    """Waits until all workers are there: they report to the first one, which answers when the last has come.

    TensorFlow would wait for an hour, and train with whatever settings each has.

    Args:
        workers: `host:port` of each.
        index: The place of this worker.
        settings: What must be the same on all workers.
        timeout: Seconds to wait.

    Raises:
        UserError: If a worker does not come in time, with its address and the timeout; if this worker's own
            port is taken; or if the settings of a worker differ from those of the first.
    """
    try:
        own = socket.create_server(_address(workers[index]))
    except OSError as error:
        raise UserError(
            f"Worker {index} cannot listen at {workers[index]} ({error.strerror}). Choose a free port."
        ) from error
    with own:
        problem = _gather(own, workers, settings, timeout) if index == 0 else _report(workers, index, settings, timeout)
    if problem:
        raise UserError(problem)


def _gather(own: socket.socket, workers: Sequence[str], settings: str, timeout: float) -> str:
    """Tells the others that all are there, as the first worker does. Gives what went wrong, or an empty text."""
    deadline, problem = time.monotonic() + timeout, ""
    with contextlib.ExitStack() as connections:
        there: dict[int, socket.socket] = {}
        while len(there) < len(workers) - 1 and not problem:
            own.settimeout(max(deadline - time.monotonic(), PAUSE))
            try:
                connection = connections.enter_context(own.accept()[0])
            except TimeoutError:
                missing = next(place for place in range(1, len(workers)) if place not in there)
                problem = _absent(missing, workers, timeout)
                break
            hello = _receive(connection, timeout=1)
            place = hello.get("worker")
            if isinstance(place, int) and 1 <= place < len(workers):
                there[place] = connection
                if hello.get("settings") != settings:
                    problem = (
                        f"Worker {place} at {workers[place]} has other settings than worker 0. Start all with the same."
                    )
        for connection in there.values():
            with contextlib.suppress(OSError):
                _send(connection, {"problem": problem})
    return problem


def _report(workers: Sequence[str], index: int, settings: str, timeout: float) -> str:
    """Reports to the first worker and waits for its answer, as the others do. Gives what went wrong, if anything."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(_address(workers[0]), timeout=1) as connection:
            _send(connection, {"worker": index, "settings": settings})
            # The first one may have come just now, and waits as long for the others.
            answer = _receive(connection, timeout + 1)
            if "problem" in answer:
                return str(answer["problem"])
        time.sleep(PAUSE)
    return _absent(0, workers, timeout)


def _absent(place: int, workers: Sequence[str], timeout: float) -> str:
    return (
        f"Worker {place} at {workers[place]} did not come within {timeout:g} seconds (train.worker_timeout). "
        "Start it with the same settings, or leave it out of train.workers."
    )


def _address(worker: str) -> tuple[str, int]:
    host, _, port = worker.rpartition(":")
    return host, int(port)


def _send(connection: socket.socket, message: Mapping[str, object]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _receive(connection: socket.socket, timeout: float) -> dict[str, object]:
    """A message, or an empty one if whoever is there says something else or nothing."""
    connection.settimeout(timeout)
    try:
        with connection.makefile("rb") as lines:
            message = json.loads(lines.readline(10_000))
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}


def is_chief() -> bool:
    """Whether this process is the one that writes files: the first worker, or the only one."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    return resolver is None or resolver.task_id == 0


def from_chief(value: Json) -> Json:
    """The value that the chief gives here, on every worker. Those of the others are ignored.

    Args:
        value: A JSON-ready value.

    Returns:
        The chief's.
    """
    if not _has_workers():
        return value
    content = json.dumps(value).encode()
    size = int(array_from_chief(np.array([len(content)], np.int32))[0])
    return json.loads(array_from_chief(np.resize(np.frombuffer(content, np.uint8), size)).tobytes())


def array_from_chief(values: np.ndarray) -> np.ndarray:
    """The values of the chief, on every worker. The others give an array of the same shape and type."""
    # TensorFlow crashes over a sum of nothing.
    if not _has_workers() or not values.size:
        return values
    # Workers can only sum, so all except the chief add zeros. Sums of integers change no bit.
    content = values.tobytes() if is_chief() else bytes(values.nbytes)
    words = np.frombuffer(content + bytes(-len(content) % 4), np.int32)
    words = tf.distribute.get_strategy().reduce(tf.distribute.ReduceOp.SUM, tf.constant(words), axis=None).numpy()
    return np.frombuffer(words.tobytes()[: values.nbytes], values.dtype).reshape(values.shape)


def _has_workers() -> bool:
    return tf.distribute.get_strategy().cluster_resolver is not None


@contextlib.contextmanager
def losing_workers() -> Iterator[None]:
    """Raises a `ZooError` that names the worker, where TensorFlow says that one is lost."""
    try:
        yield
    except tf.errors.OpError as error:
        _, aborted, reason = str(error).partition("Collective ops is aborted by: ")
        # A mistake in shapes aborts as well.
        if not aborted or not _has_workers() or isinstance(error, tf.errors.InvalidArgumentError):
            raise
        raise ZooError(
            f"{_lost_worker(reason)} is lost. Start all workers again with --resume (resume=True): "
            "they go on where the last whole epoch ended."
        ) from error


def _lost_worker(reason: str) -> str:
    workers = tf.distribute.get_strategy().cluster_resolver.cluster_spec().as_dict()["worker"]
    place = re.search(r"/task:(\d+)", reason)
    if place:
        return f"Worker {place[1]} at {workers[int(place[1])]}"
    # The first worker runs the service by which all hear of each other.
    return f"Worker 0 at {workers[0]}" if "CoordinationService" in reason else "A worker"
