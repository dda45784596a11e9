"""Put the items of a trained model into an index of tensorflow-recommenders, and ask it with TensorFlow only."""

import argparse

import tensorflow as tf

import zoo
from export.serving import tfrs

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", default="movielens-sample")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--index", default="brute_force", choices=tfrs.INDEXES)
parser.add_argument("--out", default="indexes/mf")
arguments = parser.parse_args()

run = zoo.train("mf", arguments.data, train={"epochs": arguments.epochs})
print(tfrs.write(run, arguments.out, k=5, index=arguments.index, overwrite=True))

# A server needs this folder only. For a ScaNN index, run `import scann` first, because it registers the operators.
recommend = tf.saved_model.load(arguments.out).signatures["recommend"]
some_users = run.dataset.vocabularies["user"].values[:3].tolist()
answer = recommend(user=tf.constant(some_users, recommend.structured_input_signature[1]["user"].dtype))
for user, items, scores in zip(some_users, answer["items"].numpy(), answer["scores"].numpy(), strict=True):
    print(user, items, scores.round(3))
