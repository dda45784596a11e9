"""Writes and runs a model (`gmf`) whose item vectors are larger than the 2 GB that an ONNX file can hold.

Each table beyond the limit goes into a file beside its graph. The model is not trained. The script measures size, time
and memory of writing, time and memory of loading, and milliseconds of a call in ONNX Runtime. A NumPy sum of the item
table, which reads it once, stands beside them. Answers are compared with those of the Keras model. Writing and running
are separate processes, so each has its own peak memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Item vectors of 2.2 GB.
ITEMS, USERS, DIM, K = 8_500_000, 1_000, 64, 10
EXCLUDED = 500


def main() -> None:
    """Writes the files in one process, runs them in another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--folder", type=Path, help="Where the files are kept. By default they are removed.")
    parser.add_argument("--one", choices=("write", "run"), help="Runs only one of both steps.")
    arguments = parser.parse_args()
    if arguments.one:
        {"write": write, "run": run}[arguments.one](arguments.folder, arguments.items)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        for step in ("write", "run"):
            own = ["--one", step, "--items", str(arguments.items), "--folder", str(folder)]
            subprocess.run([sys.executable, __file__, *own], check=True)


def write(folder: Path, items: int) -> None:
    """Writes the endpoints of an untrained model, and its answers as JSON."""
    import numpy as np

    import zoo
    from export.endpoints import EndpointGraphs
    from export.formats.onnx import writer as onnx
    from zoo.schema import Schema, Vocabulary

    model = zoo.build("gmf", Schema.of_ids(num_users=USERS, num_items=items), embedding_dim=DIM)
    # Raw ids differ from indices, so a fault in looking them up would show.
    vocabularies = {
        "user": Vocabulary(range(1_000_000, 1_000_000 + USERS)),
        "item": Vocabulary(range(5, 5 + 3 * items, 3)),
    }
    graphs = EndpointGraphs(model, vocabularies, k=K)
    users = np.arange(2, 10, dtype=np.int32)
    best, scores = model.recommend({"user": users}, K, catalogue=[part.value() for part in graphs.catalogue])
    before = peak()
    started = time.perf_counter()
    onnx.write(graphs, vocabularies, folder)
    seconds = time.perf_counter() - started
    for path in sorted(folder.iterdir()):
        print(f"{path.name:24} {path.stat().st_size / 1e6:9,.1f} MB")
    print(f"written in {seconds:.0f} s; memory at most {before / 1e9:.1f} GB before, {peak() / 1e9:.1f} GB with it")
    expected = {
        "user": vocabularies["user"].lookup(users).tolist(),
        "items": vocabularies["item"].lookup(best).tolist(),
        "scores": scores.tolist(),
    }
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def run(folder: Path, items: int) -> None:
    """Compares the answers of ONNX Runtime with the model's, and times them."""
    import numpy as np
    import onnxruntime

    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(folder / "recommend.onnx", providers=["CPUExecutionProvider"])
    print(f"session in {time.perf_counter() - started:.1f} s; memory at most {peak() / 1e9:.1f} GB")

    def query(users: list[int], excluded: int) -> dict[str, np.ndarray]:
        exclude = 5 + 3 * np.random.default_rng(0).integers(0, items, (len(users), excluded))
        return {"user": np.array(users), "exclude": exclude, "candidates": np.full((len(users), 1), -1)}

    found, scores = session.run(["items", "scores"], query(expected["user"], 0))
    difference = np.abs(scores - np.array(expected["scores"])).max()
    places = np.count_nonzero(found != np.array(expected["items"]))
    print(f"parity with Keras: largest difference {difference:.1e}, {places} of {found.size} places differ")
    plain = milliseconds(lambda: session.run(["items"], query(expected["user"][:1], 1)))
    excluding = milliseconds(lambda: session.run(["items"], query(expected["user"][:1], EXCLUDED)))
    reading = milliseconds(np.ones((items, DIM), np.float32).sum)
    print(f"one query: {plain:.0f} ms, with {EXCLUDED} excluded {excluding:.0f} ms ({excluding / plain:.2f} times)")
    print(f"NumPy sum of the item table: {reading:.0f} ms, so a query takes {plain / reading:.2f} times that")


def milliseconds(call) -> float:
    """The fastest of several calls, because other work on the machine only ever makes a call slower."""
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds) * 1000


def peak() -> int:
    """The most bytes of memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
