"""Every architecture by its preset alone, beside popularity, on dense and on sparse data.

Each training is a process of its own. A row has the difference to popularity in the metric that stands for the
protocol, with the ends of its interval (95%, paired over users), the epochs, the seconds and the largest memory. Rows
are appended to a CSV file as they come, and what is in it already is not measured again.
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

DATA = {
    "movielens-sample": {"source": "movielens-sample"},
    "ml-1m": {"source": "ml-1m"},
    "amazon-beauty": {"source": "amazon-beauty"},
    "sparse": {
        "source": "synthetic",
        "options": {"num_users": 50_000, "num_items": 50_000, "num_interactions": 500_000},
    },
}
COLUMNS = ("data", "model", "verdict", "metric", "difference", "low", "high", "epochs", "seconds", "gib")


def measured(name, model, data_root):
    """One row: trains in this process."""
    import zoo
    from zoo.evaluation.evaluation import Margin

    data = DATA[name]
    if data_root and data["source"] in ("ml-1m", "amazon-beauty"):
        data = {**data, "options": {"data_root": data_root}}
    started = time.perf_counter()
    run = zoo.train(model, data=data, progress=False)
    seconds = time.perf_counter() - started
    margins = [margin for evaluation in run.metrics.values() if (margin := Margin.of(evaluation))]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = {"data": name, "model": model, "epochs": len(run.history), "seconds": round(seconds), "gib": round(memory, 2)}
    if not margins:
        return row | {"verdict": "not compared with popularity"}
    difference = margins[0].difference
    ends = {"difference": difference.mean, "low": difference.low, "high": difference.high}
    row |= {name: round(value, 4) for name, value in ends.items()}
    return row | {"verdict": margins[0].verdict, "metric": margins[0].metric}


def main():
    """Measures what the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", help="Folder of ml-1m and amazon-beauty.")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--models", nargs="+", help="By default all that are registered, except popularity.")
    parser.add_argument("--out", type=Path, default=Path("presets.csv"), help="The CSV file.")
    parser.add_argument("--minutes", type=float, default=60, help="Most minutes of a training; a longer one is ended.")
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print("\n" + json.dumps(measured(*arguments.task, arguments.data_root)))
        return
    import zoo

    models = arguments.models or [name for name in zoo.list_models() if name != "popularity"]
    rows = list(csv.DictReader(arguments.out.open(encoding="utf-8"))) if arguments.out.exists() else []
    done = {(row["data"], row["model"]) for row in rows}
    for data, model in ((data, model) for data in arguments.data for model in models):
        if (data, model) in done:
            continue
        task = ["--task", data, model]
        root = ["--data-root", arguments.data_root] if arguments.data_root else []
        command = [sys.executable, __file__, *task, *root]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=60 * arguments.minutes, check=False)
            if ran.returncode:
                row = {"data": data, "model": model, "verdict": ran.stderr.strip().splitlines()[-1]}
            else:
                row = json.loads(ran.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            row = {"data": data, "model": model, "verdict": f"not done after {arguments.minutes:g} minutes"}
        is_new = not arguments.out.exists()
        with arguments.out.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
