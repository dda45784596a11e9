"""Ask an exported ONNX file for recommendations without importing recozoo."""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("bundle", type=Path)
parser.add_argument("--user", help="A raw user id. The default is an unknown user.")
arguments = parser.parse_args()

manifest = json.loads((arguments.bundle / "manifest.json").read_text())
session = onnxruntime.InferenceSession(arguments.bundle / "onnx" / "recommend.onnx")

NOTHING = {"string": ("", object), "int64": (-1, np.int64), "float32": (0.0, np.float32)}
feeds = {}
for tensor in manifest["endpoints"]["recommend"]["inputs"]:
    shape = [size or 1 for size in tensor["shape"]]
    value, dtype = NOTHING[tensor["dtype"]]
    feeds[tensor["name"]] = np.full(shape, value, dtype)
if arguments.user is not None and "user" in feeds:
    feeds["user"][0] = arguments.user if feeds["user"].dtype == object else int(arguments.user)

items, scores = session.run(["items", "scores"], feeds)
for item, score in zip(items[0, :5], scores[0, :5], strict=True):
    print(f"{item}  {score:.4f}")
