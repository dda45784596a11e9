"""Register collaborative metric learning in a script, train it and export a verified bundle."""

import argparse

from keras import ops

import export
import zoo
from zoo.families import Towers
from zoo.layers import Embedding


@zoo.register("cml", objective="bpr", query=("user",), paper="10.1145/3038912.3052639", tiny={"embedding_dim": 4})
def cml(schema, *, embedding_dim=32):
    """Gives items that are nearer to a user a higher score (Hsieh et al., 2017)."""
    user = Embedding(schema.size("user"), embedding_dim)(schema.input("user"))
    item = Embedding(schema.size("item"), embedding_dim)(schema.input("item"))
    return Towers(query=2 * user, item=item, item_bias=-ops.sum(item * item, axis=-1, keepdims=True))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="bundles/cml")
parser.add_argument("--epochs", type=int, default=10)
arguments = parser.parse_args()

run = zoo.train("cml", "synthetic", train={"epochs": arguments.epochs})
for name, interval in run.evaluate().metrics.items():
    print(f"{name:14} {interval.mean:.4f} ({interval.low:.4f} to {interval.high:.4f})")
bundle = export.export(run, arguments.out, overwrite=True, report=print)
print(f"Published {bundle.folder}")
