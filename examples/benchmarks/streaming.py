"""Training from files against training in memory: milliseconds a step, peak memory, seconds of preparation.

Trains matrix factorization (d = 64, batches of 1,024) on random interactions. Peaks are those of processes that do
nothing else. Steps of both ways are timed by turns in one process, so other work on the machine slows both alike. The
objective `sampled_softmax` does the same work in both ways. `pointwise` leaves out seen items only in memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CHUNK_ROWS = 2**20
BATCH_SIZE, STEPS_PER_CALL = 1024, 100
OBJECTIVES = ("sampled_softmax", "pointwise")


def write_parquet(path, rows, users, items):
    """Random interactions, chunk by chunk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("user", pa.int64()), ("item", pa.int64()), ("rating", pa.float32())])
    with pq.ParquetWriter(path, schema) as writer:
        for values in chunks(rows, users, items):
            writer.write_table(pa.table(dict(zip(schema.names, values, strict=True)), schema))


def write_tfrecord(path, rows, users, items):
    """Random interactions, record by record."""
    import tensorflow as tf

    def ints(value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for values in chunks(rows, users, items):
            for user, item, rating in zip(*(column.tolist() for column in values), strict=True):
                rated = tf.train.Feature(float_list=tf.train.FloatList(value=[rating]))
                features = tf.train.Features(feature={"user": ints(user), "item": ints(item), "rating": rated})
                writer.write(tf.train.Example(features=features).SerializeToString())


def chunks(rows, users, items):
    """Users, items and ratings of up to `CHUNK_ROWS` interactions at a time."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, CHUNK_ROWS):
        number = min(CHUNK_ROWS, rows - start)
        ratings = rng.integers(1, 6, number).astype(np.float32)
        yield rng.integers(0, users, number), rng.integers(0, items, number), ratings


def prepare(path, streamed):
    """The data, and the seconds of preparing it without the import of TensorFlow."""
    import tensorflow  # noqa: F401

    from zoo.data import load_dataset

    split = {"name": "sample"} if streamed else {"name": "random", "valid": 0, "test": 0}
    started = time.perf_counter()
    data = load_dataset(path, stream=streamed, scratch=Path(path).parent, split=split, duplicates="keep")
    return data, time.perf_counter() - started


def calls(data, objective):
    """Yields the milliseconds a step of every call of the compiled function in an epoch. The first call compiles."""
    from zoo import build
    from zoo.config import TrainConfig
    from zoo.objectives import make_objective
    from zoo.training.loop import Trainer

    model = build("mf", data.schema, embedding_dim=64)
    config = TrainConfig(epochs=1, batch_size=BATCH_SIZE, steps_per_execution=STEPS_PER_CALL)
    trainer = Trainer(model, make_objective(objective, model, data, {}), config, dict, "loss")
    started = time.perf_counter()
    for call in trainer._calls():
        _, steps = trainer._call(*call)
        yield 1000 * (time.perf_counter() - started) / steps
        started = time.perf_counter()


def measure_memory(path, streamed):
    """Seconds of preparation and peak memory of one way."""
    data, seconds = prepare(path, streamed)
    prepared = peak()
    times = [ms for ms, _ in zip(calls(data, "sampled_softmax"), range(10), strict=False)]
    return {"seconds": seconds, "prepared": prepared, "peak": peak(), "ms": float(np.median(times[1:]))}


def measure_steps(path, number):
    """Median milliseconds a step of both ways by objective, and the median of their ratios."""
    data = [prepare(path, streamed)[0] for streamed in (False, True)]
    found = {}
    for objective in OBJECTIVES:
        both = zip(*(calls(one, objective) for one in data), strict=True)
        times = np.array([pair for pair, _ in zip(both, range(number + 1), strict=False)][1:])
        found[objective] = [*np.median(times, axis=0), float(np.median(times[:, 1] / times[:, 0]))]
    return found


def peak():
    """The most memory that this process ever had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_process(*task):
    """The result of a task in a process of its own."""
    command = [sys.executable, __file__, "--task", json.dumps([str(one) for one in task])]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, default=20_000_000)
parser.add_argument("--record-rows", type=int, default=1_000_000, help="Interactions of the TFRecord file.")
parser.add_argument("--users", type=int, default=100_000)
parser.add_argument("--items", type=int, default=100_000)
parser.add_argument("--calls", type=int, default=30, help=f"Timed calls of {STEPS_PER_CALL} steps.")
parser.add_argument("--folder", type=Path, help="Where the files are written. By default a temporary folder.")
parser.add_argument("--task", help=argparse.SUPPRESS)
arguments = parser.parse_args()

if arguments.task:
    what, path, option = json.loads(arguments.task)
    print(json.dumps(measure_steps(path, int(option)) if what == "steps" else measure_memory(path, option == "True")))
    sys.exit()

with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
    parquet, tfrecord = Path(folder) / "events.parquet", Path(folder) / "events.tfrecord"
    write_parquet(parquet, arguments.rows, arguments.users, arguments.items)
    write_tfrecord(tfrecord, arguments.record_rows, arguments.users, arguments.items)
    for name, path, streamed, rows in (
        ("in memory", parquet, False, arguments.rows),
        ("streamed", parquet, True, arguments.rows),
        ("streamed from TFRecord", tfrecord, True, arguments.record_rows),
    ):
        took = in_process("memory", path, streamed)
        print(
            f"{name}: {rows} rows, {took['seconds'] / rows * 1e6:.2f} s a million to prepare; peak memory "
            f"{took['prepared']:.2f} GB prepared, {took['peak']:.2f} GB trained; {took['ms']:.2f} ms a step",
            flush=True,
        )
    for objective, (memory, streamed, ratio) in in_process("steps", parquet, arguments.calls).items():
        print(f"{objective}: {memory:.2f} ms a step in memory, {streamed:.2f} ms streamed, ratio {ratio:.2f}")
