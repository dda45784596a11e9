"""Two sparse answers to EASE beside each other: the zoo's `slim`, and SANSA 1.1.0 (Spišák et al., 2023).

SANSA inverts the Gramian of the interactions approximately, as a product of two sparse factors. `slim` finds the
weights of each item by a regression on its nearest items. Both learn the training part and rank the whole catalogue
for every user of the validation part, without what the user has seen. Each fit is a process of its own. SANSA keeps
as many weights in a factor as `slim` keeps in all, so its model is twice as large.
"""

# SANSA needs CHOLMOD (Debian: libsuitesparse-dev). Make an environment for it and name that by --sansa-python:
#   python3.11 -m venv peers
#   peers/bin/pip install "scikit-sparse<0.4.17" sansa==1.1.0

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse


def fit_sansa(matrix, factorizer, l2, pairs):
    """Fits SANSA; gives the factors of its weights. Runs in SANSA's environment."""
    import sansa

    factorizers = {"cholmod": sansa.CHOLMODGramianFactorizerConfig, "icf": sansa.ICFGramianFactorizerConfig}
    config = sansa.SANSAConfig(
        l2=l2,
        weight_matrix_density=pairs / matrix.shape[1] ** 2,
        gramian_factorizer_config=factorizers[factorizer](),
        lower_triangle_inverter_config=sansa.UMRUnitLowerTriangleInverterConfig(scans=1, finetune_steps=5),
    )
    return sansa.SANSA(config).fit(matrix).weights


def fit_slim(matrix, neighbors, l2):
    """Fits `slim`; gives its weights, `[from, to]`."""
    from zoo.models.slim import SHRINKAGE
    from zoo.solvers.nearest import nearest_columns
    from zoo.solvers.sparse_regression import regress_on_candidates

    matrix = sparse.csr_array(matrix)
    return [regress_on_candidates(matrix, nearest_columns(matrix, neighbors, SHRINKAGE), 0.0, l2).T]


FITS = {"slim": fit_slim, "sansa": fit_sansa}


def run_task(name, folder, *options):
    """Fits in this process. Writes the weights and prints seconds and the peak of memory in MB."""
    matrix = sparse.load_npz(folder / "train.npz")
    start = time.perf_counter()
    factors = FITS[name](matrix, *options)
    seconds = time.perf_counter() - start
    for number, factor in enumerate(factors):
        sparse.save_npz(folder / f"weights{number}.npz", sparse.csr_matrix(factor))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps([seconds, peak, len(factors), sum(factor.nnz for factor in factors)]))


def measured(python, folder, name, *options):
    """The factors of the weights, and what `run_task` prints of a fit in a process of its own."""
    task = json.dumps([name, str(folder), *options])
    process = subprocess.run(
        [python, str(Path(__file__).resolve()), "--task", task], capture_output=True, text=True, check=False
    )
    if process.returncode:
        sys.exit(f"{name} failed:\n{process.stderr}")
    seconds, peak, number, pairs = json.loads(process.stdout.splitlines()[-1])
    return [sparse.load_npz(folder / f"weights{one}.npz") for one in range(number)], seconds, peak, pairs


def ndcg(matrix, factors, users, items, k=10):
    """NDCG@k of the held-out items of users, in the whole catalogue without what they have seen."""
    gains, ideal = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[0])
    discounts = 1 / np.log2(np.arange(k) + 2)
    held_out = sparse.csr_matrix((np.ones(len(users)), (users, items)), shape=matrix.shape)
    ranked = np.unique(users)
    for block in np.array_split(ranked, max(1, len(ranked) // 1000)):
        scores = matrix[block]
        for factor in factors:
            scores = scores @ factor
        scores = scores.toarray()
        scores[matrix[block].nonzero()] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        hits = np.take_along_axis(held_out[block].toarray(), best, axis=1)
        gains[block] = hits @ discounts
        ideal[block] = np.cumsum(discounts)[np.minimum(held_out[block].sum(axis=1).A1.astype(int), k) - 1]
    return float((gains[ranked] / ideal[ranked]).mean())


def main():
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sansa-python", help="Python of an environment with SANSA (see the top of this file).")
    parser.add_argument("--data", default="amazon-beauty", help="A named dataset.")
    parser.add_argument("--data-root", type=Path, default=os.environ.get("ZOO_DATA"), help="Folder of the dataset.")
    parser.add_argument("--neighbors", type=int, default=100)
    parser.add_argument("--l2", type=float, nargs="+", default=[3.0, 10.0, 30.0, 100.0])
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        name, folder, *options = arguments.task
        return run_task(name, Path(folder), *options)
    if not arguments.sansa_python:
        parser.error("--sansa-python is needed, the Python of an environment with SANSA: see the top of this file.")

    from zoo.data import load_dataset
    from zoo.training.fitting import interaction_matrix

    data = load_dataset(arguments.data, data_root=arguments.data_root)
    matrix = sparse.csr_matrix(interaction_matrix(data) > 0, dtype=np.float32)
    held_out = data.part("valid")
    held_out = held_out[held_out["label"] > 0]
    users, items = held_out["user"].to_numpy(), held_out["item"].to_numpy()
    print(f"{'model':16}{'l2':>8}{'NDCG@10 (valid)':>18}{'seconds':>10}{'peak MB':>10}{'weights':>12}")
    with tempfile.TemporaryDirectory() as folder:
        sparse.save_npz(Path(folder) / "train.npz", matrix)
        for l2 in arguments.l2:
            of_slim = measured(sys.executable, Path(folder), "slim", arguments.neighbors, l2)
            fits = {"slim": of_slim}
            for factorizer in ("cholmod", "icf"):
                python = os.path.abspath(arguments.sansa_python)
                fits[f"sansa {factorizer}"] = measured(python, Path(folder), "sansa", factorizer, l2, of_slim[3])
            for name, (factors, seconds, peak, pairs) in fits.items():
                quality = ndcg(matrix, factors, users, items)
                print(f"{name:16}{l2:8g}{quality:18.4f}{seconds:10.1f}{peak:10.0f}{pairs:12,}", flush=True)


if __name__ == "__main__":
    main()
