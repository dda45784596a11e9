"""A model whose answers can be worked out by hand: its endpoints, its SavedModel and queries for it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from export.endpoints import Endpoint, TensorInfo

# A catalogue of four items with integer ids, whose scores are 4, 3, 2, 1 plus the weight of the query.
ITEMS, PADDING, LOWEST = [10, 20, 30, 2**60 + 1], -1, float(np.finfo(np.float32).min)
IDS = {"dtype": "int64", "vocabulary": "item", "padding": PADDING}


def unknown(name, rank):
    return TensorInfo(f"unknown_{name}", "int32", (None,) * rank, "1 where the value is not known.")


def toy_endpoints():
    query = (
        TensorInfo("user", "string", (None,), "The user.", "user", ""),
        TensorInfo("history", "int64", (None, 3), "The last 3 items.", "item", PADDING),
        TensorInfo("history_rating", "float32", (None, 3), "Their ratings."),
        TensorInfo("genres", "string", (None, 2), "Up to 2 values, padded behind.", "genres", ""),
        TensorInfo("weight", "float32", (None,), "Added to every score."),
        TensorInfo("text", "float32", (None, 2), "A text as a vector."),
    )
    exclude = TensorInfo("exclude", shape=(None, None), about="", **IDS)
    candidates = TensorInfo("candidates", shape=(None, None), about="", **IDS)
    items = TensorInfo("items", shape=(None, None), about="", **IDS)
    unknowns = (unknown("user", 1), unknown("history", 2), unknown("genres", 2))
    best = (TensorInfo("items", shape=(None, 3), about="", **IDS), TensorInfo("scores", "float32", (None, 3), ""))
    vectors = TensorInfo("vectors", "float32", (None, 2), "")
    return (
        Endpoint(
            "recommend",
            (*query, exclude, candidates),
            (*best, *unknowns, unknown("exclude", 2), unknown("candidates", 2)),
        ),
        Endpoint(
            "score",
            (*query, items),
            (TensorInfo("scores", "float32", (None, None), ""), *unknowns, unknown("items", 2)),
        ),
        Endpoint("embed_query", query, (vectors, *unknowns)),
        Endpoint("embed_items", (TensorInfo("items", shape=(None,), about="", **IDS),), (vectors, unknown("items", 1))),
    )


class Toy(tf.Module):
    """The toy endpoints, written down one by one."""

    def recommend(self, feed):
        catalogue = tf.constant(ITEMS, tf.int64)

        def among(name):
            return tf.reduce_any(catalogue[None, :, None] == feed[name][:, None, :], axis=2)

        all_are_candidates = tf.reduce_all(feed["candidates"] == PADDING, axis=1, keepdims=True)
        allowed = (all_are_candidates | among("candidates")) & ~among("exclude")
        scores = tf.where(allowed, tf.constant([4.0, 3.0, 2.0, 1.0]) + feed["weight"][:, None], LOWEST)
        scores, places = tf.math.top_k(scores, 3)
        items = tf.where(scores > LOWEST, tf.gather(catalogue, places), PADDING)
        return {"items": items, "scores": scores, **self.unknown(feed)}

    def score(self, feed):
        return {"scores": tf.cast(feed["items"], tf.float32) + feed["weight"][:, None], **self.unknown(feed)}

    def embed_query(self, feed):
        history = tf.reduce_sum(tf.cast(feed["history"], tf.float32) * [[1.0, 10.0, 100.0]], axis=1)
        vectors = tf.stack([history, tf.reduce_sum(feed["history_rating"] * [[1.0, 10.0, 100.0]], axis=1)], axis=1)
        return {"vectors": vectors + feed["text"], **self.unknown(feed)}

    def embed_items(self, feed):
        items = tf.cast(feed["items"], tf.float32)
        return {"vectors": tf.stack([items, -items], axis=1), **self.unknown(feed)}

    def unknown(self, feed):
        known = {"user": ["", "ann", "bob"], "genres": ["", "war", "love"]}
        found = {}
        for name in ("user", "genres", "history", "exclude", "candidates", "items"):
            if name in feed:
                values = tf.constant(known[name]) if name in known else tf.constant([PADDING, *ITEMS], tf.int64)
                found[f"unknown_{name}"] = 1 - tf.cast(
                    tf.reduce_any(feed[name][..., None] == values, axis=-1), tf.int32
                )
        return found


def save_toy(folder):
    """Writes the toy model as a SavedModel."""
    module, signatures = Toy(), {}
    for endpoint in toy_endpoints():
        names = [info.name for info in endpoint.inputs]
        method = getattr(module, endpoint.name)

        def run(*tensors, names=names, method=method):
            return method(dict(zip(names, tensors, strict=True)))

        specs = [tf.TensorSpec(info.shape, info.dtype, info.name) for info in endpoint.inputs]
        signatures[endpoint.name] = tf.function(run, input_signature=specs).get_concrete_function()
    signatures["serving_default"] = signatures["recommend"]
    tf.saved_model.save(module, str(folder), signatures=signatures)


def query(rows=1, **columns):
    """A query for the toy model."""
    return {
        "user": ["ann"] * rows,
        "history": [[]] * rows,
        "history_rating": [[]] * rows,
        "genres": [[]] * rows,
        "weight": [0.0] * rows,
        "text": [[0.0, 0.0]] * rows,
        **columns,
    }


def padded_query(rows):
    feed = {k: np.array(v, object if k in ("user", "genres") else None) for k, v in query(rows).items()}
    feed = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in feed.items()}
    feed["history"], feed["history_rating"] = np.full((rows, 3), PADDING), np.zeros((rows, 3), np.float32)
    feed["genres"] = np.full((rows, 2), "", object)
    return feed
