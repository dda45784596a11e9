"""Generalized matrix factorization, registered in a script and taken from training to a verified bundle."""

import argparse

from keras import layers

import export
import zoo
from zoo.layers import Embedding
from zoo.recommender import Pairs


@zoo.register("gmf", objective="pointwise", query=("user",), paper="arXiv:1708.05031", tiny={"embedding_dim": 4})
def gmf(schema, *, embedding_dim=32):
    """A weighted product of user and item vectors (He et al., 2017)."""
    user = Embedding(schema.size("user"), embedding_dim)(schema.input("user"))
    item = Embedding(schema.size("item"), embedding_dim)(schema.input("item"))
    return Pairs(query=user, item=item, logit=layers.Dense(1)(user * item))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="bundles/gmf")
parser.add_argument("--epochs", type=int, default=10)
arguments = parser.parse_args()

run = zoo.train("gmf", "synthetic", train={"epochs": arguments.epochs})
for name, interval in run.evaluate().metrics.items():
    print(f"{name:14} {interval.mean:.4f} ({interval.low:.4f} to {interval.high:.4f})")
bundle = export.export(run, arguments.out, overwrite=True, report=print)
print(f"Published {bundle.folder}")
