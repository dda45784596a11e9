"""The zoo's training beside stock Keras `fit`: samples a second of NeuMF on the tables of MovieLens 1M.

A sample is one (user, item, label). Both train the same layers by Adam on the same positives with 3 negatives each. A
step has the same number of samples: the zoo's `batch_size` counts positives, so it is a quarter of Keras's. Keras gets
negatives that are drawn beforehand, by a shuffled, batched and prefetched `tf.data` pipeline over arrays in memory. The
zoo draws new negatives in every step. The first epoch of both is left out, because it compiles.
"""

import argparse
import dataclasses
import os
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import zoo
from zoo.data import load_dataset

DIM, HIDDEN, NEGATIVES = 32, (64, 32, 16), 3


class Stopwatch(keras.callbacks.Callback):
    """Notes the seconds of every epoch."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        """Starts."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stops."""
        self.seconds.append(time.perf_counter() - self.start)


def neumf(num_users, num_items):
    """The layers of the zoo's `neumf`, with Keras's own embeddings."""
    user, item = (keras.Input((), dtype="int32", name=name) for name in ("user", "item"))
    product = layers.Embedding(num_users, DIM)(user) * layers.Embedding(num_items, DIM)(item)
    both = layers.Concatenate()([layers.Embedding(num_users, DIM)(user), layers.Embedding(num_items, DIM)(item)])
    for units in HIDDEN:
        both = layers.Dense(units, activation="relu")(both)
    return keras.Model({"user": user, "item": item}, layers.Dense(1)(layers.Concatenate()([product, both])))


def seconds_of_keras(data, batch_size, epochs):
    """Seconds of each epoch of `fit` after the first."""
    rows = data.interactions
    items = np.random.default_rng(0).integers(2, data.num_items, (len(rows), 1 + NEGATIVES), dtype=np.int32)
    items[:, 0] = rows["item"]
    labels = np.zeros(items.shape, np.float32)
    labels[:, 0] = 1
    inputs = {"user": np.repeat(rows["user"].to_numpy(np.int32), 1 + NEGATIVES), "item": items.reshape(-1)}
    samples = tf.data.Dataset.from_tensor_slices((inputs, labels.reshape(-1, 1)))
    samples = samples.shuffle(100_000).batch(batch_size).prefetch(tf.data.AUTOTUNE)
    model = neumf(data.num_users, data.num_items)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    stopwatch = Stopwatch()
    model.fit(samples, epochs=1 + epochs, shuffle=False, verbose=0, callbacks=[stopwatch])
    return stopwatch.seconds[1:]


def seconds_of_zoo(data, batch_size, epochs):
    """Seconds of each epoch of the zoo after the first."""
    run = zoo.train(
        "neumf",
        data,
        hparams={"gmf_dim": DIM, "mlp_dim": DIM, "hidden": HIDDEN},
        train={
            "options": {"negatives": NEGATIVES},
            "batch_size": batch_size // (1 + NEGATIVES),
            "optimizer": "adam",
            "epochs": 1 + epochs,
            "patience": None,
        },
        progress=False,
    )
    return [epoch["seconds"] for epoch in run.history[1:]]


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data-root", type=Path, default=os.environ.get("ZOO_DATA"), help="Folder of ml-1m.")
parser.add_argument("--batch-sizes", type=int, nargs="+", default=[256, 2048], help="Samples of a step.")
parser.add_argument("--positives", type=int, default=100_000, help="Interactions of an epoch, drawn at random.")
parser.add_argument("--epochs", type=int, default=3)
arguments = parser.parse_args()
if arguments.data_root is None or not (arguments.data_root / "ml-1m" / "ratings.dat").exists():
    parser.error("Give the folder that holds ml-1m/ratings.dat by --data-root or ZOO_DATA.")

data = load_dataset("ml-1m", data_root=arguments.data_root)
rows = data.interactions.sample(arguments.positives, random_state=0).assign(part="train", label=np.float32(1))
data = dataclasses.replace(data, interactions=rows.reset_index(drop=True))
number = len(rows) * (1 + NEGATIVES)

print(f"{'samples a step':>14}{'Keras fit':>12}{'zoo':>12}{'ratio':>8}   (samples a second)")
for batch_size in arguments.batch_sizes:
    fit, ours = (
        number / statistics.median(measure(data, batch_size, arguments.epochs))
        for measure in (seconds_of_keras, seconds_of_zoo)
    )
    print(f"{batch_size:14,}{fit:12,.0f}{ours:12,.0f}{ours / fit:8.1f}")
