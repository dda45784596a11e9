"""What a training step costs as embedding tables grow: time, and memory compared with that of the tables.

Trains matrix factorization (vectors of 64, batches of 1,024 positives with 4 negatives each, Adam) on random
interactions. It does so by the zoo's own trainer and, for contrast, by `fit` with stock Keras embeddings and Adam on as
many samples a step. Each size is a process of its own. The first epoch is left out, because it compiles. The fastest of
the others counts, because other work on the machine only ever makes a step slower. Memory is the peak of the process
minus what it had before the tables were made, as a multiple of the tables. Adam's two moments make it 3 at least.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

DIM, BATCH, NEGATIVES, STEPS = 64, 1024, 4, 100

# Numbers of users and items. Each has a vector and a bias.
SIZES = ((10_000, 10_000), (100_000, 100_000), (1_000_000, 1_000_000), (1_000_000, 10_000_000))

# In larger tables a step of stock Keras takes seconds.
MOST_ROWS_OF_KERAS = 100_000


def main() -> None:
    """Measures every size in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6, help=f"Epochs of {STEPS} steps that are timed.")
    parser.add_argument("--most-rows-of-keras", type=int, default=MOST_ROWS_OF_KERAS)
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "USERS", "ITEMS"), help="One measurement, as JSON.")
    arguments = parser.parse_args()
    if arguments.one:
        what, users, items = arguments.one
        print(json.dumps(measured(what, int(users), int(items), arguments.epochs)))
        return
    print(f"{'':6} {'users':>10} {'items':>10} {'ms/step':>9} {'x first':>8} {'tables MB':>10} {'x tables':>9}")
    for what in ("zoo", "keras"):
        first = None
        for users, items in SIZES:
            if what == "keras" and max(users, items) > arguments.most_rows_of_keras:
                continue
            own = ["--epochs", str(arguments.epochs), "--one", what, str(users), str(items)]
            ran = subprocess.run([sys.executable, __file__, *own], stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(ran.stdout.splitlines()[-1])
            first = first or found["seconds"]
            tables = found["tables"] / 1e6
            print(
                f"{what:6} {users:10,} {items:10,} {found['seconds'] * 1000:9.2f} {found['seconds'] / first:8.2f} "
                f"{tables:10,.0f} {found['memory'] / found['tables']:9.2f}",
                flush=True,
            )


def measured(what: str, users: int, items: int, epochs: int) -> dict[str, float]:
    """Seconds of a step, bytes of the tables, and bytes of memory at the peak minus those before."""
    import tensorflow as tf

    import zoo.training.train  # noqa: F401

    tf.constant(0)
    before = peak()
    seconds = (zoo_seconds if what == "zoo" else keras_seconds)(users, items, epochs)
    return {"seconds": min(seconds), "tables": (users + items) * (DIM + 1) * 4, "memory": peak() - before}


def peak() -> int:
    """The most bytes of memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def zoo_seconds(users: int, items: int, epochs: int) -> list[float]:
    """Seconds of a step of the zoo's trainer, in each epoch after the first."""
    import numpy as np
    import pandas as pd

    import zoo
    from zoo.config import TrainConfig
    from zoo.data.dataset import Dataset
    from zoo.objectives import make_objective
    from zoo.schema import Schema
    from zoo.training.loop import Trainer

    rng = np.random.default_rng(0)
    number = BATCH * STEPS
    rows = pd.DataFrame(
        {
            # Indices of known users and items begin at 2.
            "user": np.sort(rng.integers(2, users + 2, number, dtype=np.int32)),
            "item": rng.integers(2, items + 2, number, dtype=np.int32),
            "label": np.ones(number, np.float32),
            "part": "train",
        }
    )
    schema = Schema.of_ids(num_users=users, num_items=items)
    data = Dataset("random interactions", schema, {}, rows, titles=np.array([]))
    model = zoo.build("mf", schema, embedding_dim=DIM)
    objective = make_objective("pointwise", model, data, {"negatives": NEGATIVES})
    config = TrainConfig(
        epochs=1 + epochs, batch_size=BATCH, steps_per_execution=STEPS, optimizer="adam", patience=None
    )
    history = Trainer(model, objective, config, dict, "loss").fit().history
    return [epoch["seconds"] / STEPS for epoch in history[1:]]


def keras_seconds(users: int, items: int, epochs: int) -> list[float]:
    """Seconds of a step of Keras's `fit`, in each epoch after the first."""
    import keras
    import numpy as np
    from keras import layers

    class Stopwatch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append((time.perf_counter() - self.start) / STEPS)

    inputs = {name: keras.Input((), dtype="int32", name=name) for name in ("user", "item")}
    sizes = {"user": users, "item": items}
    vectors = [layers.Embedding(sizes[name], DIM)(one) for name, one in inputs.items()]
    biases = [layers.Embedding(sizes[name], 1)(one) for name, one in inputs.items()]
    model = keras.Model(inputs, layers.Dot(1)(vectors) + biases[0] + biases[1])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile("adam", loss, steps_per_execution=STEPS)
    rng, seconds = np.random.default_rng(0), []
    size = BATCH * (1 + NEGATIVES)
    table = {name: rng.integers(0, sizes[name], size * STEPS, dtype=np.int32) for name in inputs}
    labels = (np.arange(size * STEPS) % (1 + NEGATIVES) == 0).astype(np.float32)
    model.fit(table, labels, batch_size=size, epochs=1 + epochs, verbose=0, callbacks=[Stopwatch()])
    return seconds[1:]


if __name__ == "__main__":
    main()
