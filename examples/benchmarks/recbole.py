"""recozoo beside RecBole 1.2.1 on MovieLens 100K: positives a second of training, seconds of evaluation.

Both train the same models with RecBole's defaults: vectors of 64, batches of 2,048 examples, one uniform negative a
positive, Adam. LightGCN has two rounds. MultVAE has a hidden layer of 600 and a code of 128, and all users in a batch.
The split is 8:1:1 at random, and the whole catalogue is ranked for every user of the test part. An epoch's time is all
that users wait for: shuffling, negatives, batches, updates. Each measurement is a process of its own with the same
number of threads. The first epochs and the first evaluation are left out, because they compile.

Models of sequences leave the last two items of every user out, read 50 items and predict among the whole catalogue.
An epoch predicts every item once in both. RecBole makes an example of every item with those before it, 2,048 a batch;
recozoo makes an example of every 50 items, 128 a batch.
"""

# RecBole needs older libraries than recozoo. Make an environment for it and name that by --recbole-python:
#   python3.11 -m venv peers
#   peers/bin/pip install torch==2.13.0 recbole==1.2.1 numpy==1.26.4 pandas==2.2.3 scipy==1.10.1 "setuptools<81"

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

# Models of sequences in RecBole: their class, and settings besides its defaults.
SEQUENCES = {
    "sasrec": ("SASRec", {"n_layers": 2, "n_heads": 2, "hidden_size": 64, "inner_size": 64}),
    "gru4rec": ("GRU4Rec", {"embedding_size": 64, "hidden_size": 128, "num_layers": 1}),
}
# The architecture of recozoo that stands beside a model, its hparams and its settings of training.
OURS = {
    "bpr": (
        "mf",
        {"embedding_dim": 64, "biases": False},
        {"objective": "bpr", "batch_size": 2048, "options": {"negatives": 1}},
    ),
    # A batch of 2,048 rows is 1,024 positives and as many negatives, as in RecBole.
    "neumf": (
        "neumf",
        {"gmf_dim": 64, "mlp_dim": 64, "hidden": (128, 64), "dropout": 0.1},
        {"objective": "pointwise", "batch_size": 1024, "options": {"negatives": 1}},
    ),
    "lightgcn": (
        "lightgcn",
        {"embedding_dim": 64, "rounds": 2},
        {"objective": "bpr", "batch_size": 2048, "options": {"negatives": 1}},
    ),
    "multvae": (
        "multvae",
        {"hidden": (600,), "code": 128, "dropout": 0.5},
        {"objective": "elbo", "batch_size": 2048},
    ),
    "sasrec": (
        "sasrec",
        {"embedding_dim": 64, "num_blocks": 2, "num_heads": 2, "dropout": 0.5},
        {"objective": "next_item", "batch_size": 128},
    ),
    "gru4rec": ("gru4rec", {"embedding_dim": 64, "dropout": 0.3}, {"objective": "next_item", "batch_size": 128}),
}
WARM_UP = 2


def timed(function, warm_up, repeats):
    """Seconds of each call after the first ones."""
    seconds = []
    for _ in range(warm_up + repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds[warm_up:]


def measure_recbole(model, threads, data_root, epochs):
    """Times RecBole. Runs in RecBole's environment, in a folder that is removed afterwards."""
    sys.argv = sys.argv[:1]  # Because RecBole would read them.
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    folder = Path("ml-100k")
    folder.mkdir()
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (folder / "ml-100k.inter").write_text(header + (data_root / "ml-100k" / "u.data").read_text())

    torch.set_num_threads(threads)
    settings = {"data_path": ".", "use_gpu": False, "show_progress": False, "state": "ERROR"}
    name = {"bpr": "BPR", "neumf": "NeuMF", "lightgcn": "LightGCN", "multvae": "MultiVAE"}.get(model)
    if model == "multvae":
        settings["train_neg_sample_args"] = None
    if model in SEQUENCES:
        name, own = SEQUENCES[model]
        split = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"}
        settings |= {**own, "loss_type": "CE", "train_neg_sample_args": None, "eval_args": split}
        settings |= {"MAX_ITEM_LIST_LENGTH": 50}
    config = Config(model=name, dataset="ml-100k", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    train, _, test = data_preparation(config, create_dataset(config))
    network = get_model(config["model"])(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, network)
    numbers = iter(range(WARM_UP + epochs))
    return {
        "positives": len(train.dataset),
        "epochs": timed(lambda: trainer._train_epoch(train, next(numbers)), WARM_UP, epochs),
        "evaluations": timed(partial(trainer.evaluate, test, load_best_model=False), 1, 3),
    }


def measure_recozoo(model, threads, data_root, epochs):
    """Times recozoo."""
    import tensorflow as tf

    import zoo
    from zoo.data import load_dataset
    from zoo.evaluation.ranking import per_user_ranking

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    split = {"name": "random", "valid": 0.1, "test": 0.1}
    if model in SEQUENCES:
        split = "leave-last-out"
    data = load_dataset("ml-100k", data_root=data_root, split=split, max_history=50)
    train = {"epochs": WARM_UP + epochs, "patience": None, "optimizer": "adam", "learning_rate": 1e-3}
    name, hparams, of_model = OURS[model]
    run = zoo.train(name, data, train=train | of_model, hparams=hparams, progress=False)
    events = data.part("train")
    return {
        # A first event has nothing before it to be predicted from.
        "positives": len(events) - (events["user"].nunique() if model in SEQUENCES else 0),
        "epochs": [epoch["seconds"] for epoch in run.history[WARM_UP:]],
        "evaluations": timed(partial(per_user_ranking, run.model, data, "test", ks=(10,)), 1, 3),
    }


MEASURES = {"RecBole": measure_recbole, "recozoo": measure_recozoo}


def measured(library, python, model, threads, data_root, epochs):
    """Positives a second and seconds of evaluation, measured in a process of its own."""
    # Isolated, because this file has the name of RecBole's package.
    isolated = ["-I"] if library == "RecBole" else []
    task = json.dumps([library, model, threads, str(data_root), epochs])
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(
            [python, *isolated, str(Path(__file__).resolve()), "--task", task],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
            check=False,
        )
    if process.returncode:
        sys.exit(f"{library} failed:\n{process.stderr}")
    result = json.loads(process.stdout.splitlines()[-1])
    return result["positives"] / statistics.median(result["epochs"]), statistics.median(result["evaluations"])


def main():
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recbole-python", help="Python of an environment with RecBole (see the top of this file).")
    parser.add_argument("--data-root", type=Path, default=os.environ.get("ZOO_DATA"), help="Folder of ml-100k.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--models", nargs="+", choices=OURS, default=list(OURS))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        library, model, threads, data_root, epochs = arguments.task
        print("\n" + json.dumps(MEASURES[library](model, threads, Path(data_root), epochs)))
        return
    recbole_python = arguments.recbole_python and shutil.which(arguments.recbole_python)
    if recbole_python is None:
        parser.error("--recbole-python is needed, the Python of an environment with RecBole: see the top of this file.")
    if arguments.data_root is None or not (arguments.data_root / "ml-100k" / "u.data").exists():
        parser.error("Give the folder that holds ml-100k/u.data by --data-root or ZOO_DATA.")
    pythons = {"RecBole": os.path.abspath(recbole_python), "recozoo": sys.executable}
    print(f"{'threads':8}{'model':10}{'':22}{'RecBole':>12}{'recozoo':>12}{'ratio':>8}")
    for threads in arguments.threads:
        for model in arguments.models:
            (theirs, their_wait), (ours, our_wait) = (
                measured(library, python, model, threads, arguments.data_root.resolve(), arguments.epochs)
                for library, python in pythons.items()
            )
            row = f"{threads:<8}{model:10}"
            print(f"{row}{'positives a second':22}{theirs:12,.0f}{ours:12,.0f}{ours / theirs:8.1f}")
            print(f"{row}{'seconds of evaluation':22}{their_wait:12.3f}{our_wait:12.3f}{their_wait / our_wait:8.1f}")


if __name__ == "__main__":
    main()
