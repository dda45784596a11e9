"""Random search of hparams by the protocol `ctr` (Bergstra and Bengio, 2012), with equally many trials for every model.

Clicks are ratings above 3, split by time in 8:1:1 after the first 5 events of every user. Trial 0 is the preset. The
others are drawn from `configs/search/<model>.yaml` or `--space`, and are the same for the same `--seed`. A trial trains
until the AUC of the validation part falls. Its row goes into `FOLDER/<data>.<label>.csv` as soon as it ends, so a
search that is called again continues where it stopped. The test part is removed before any training. The best trial is
printed as an entry of `configs/bench/ctr.yaml`.

A space has the sections `train` and `hparams`. Each key has a list of values, or a range: `{uniform: [LOW, HIGH]}` or
`{log_uniform: [LOW, HIGH]}`.
"""

import argparse
import csv
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import yaml

import zoo
from zoo.config import configs_folder, make_config, parse_settings
from zoo.data import load_dataset
from zoo.data.dataset import Dataset
from zoo.errors import UserError, ZooError, unknown_name
from zoo.files import parent_folder
from zoo.registry import spec
from zoo.yaml_reader import read_yaml

DATA = {"label_threshold": 3, "max_history": 100}
SPLIT = {"name": "time", "valid": 0.1, "test": 0.1, "warm_up": 5}
SECTIONS = ("train", "hparams")
COLUMNS = ("trial", "auc", "log_loss", "best_epoch", "epochs", "seconds", "train", "hparams")

Settings = dict[str, dict[str, object]]
# The figures and the settings of a trial by column.
Row = dict[str, Any]


def main() -> None:
    """Runs the trials that are missing and prints the best one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="A registered architecture.")
    parser.add_argument("--data", default="ml-100k", help="A dataset with ratings and timestamps.")
    parser.add_argument("--data-root", type=Path, help="Folder of ml-100k and ml-1m. The default is ZOO_DATA.")
    parser.add_argument(
        "--trials", type=int, default=8, help="The preset and as many from the space as fill this number."
    )
    parser.add_argument("--epochs", type=int, default=12, help="The most epochs of a trial.")
    parser.add_argument("--patience", type=int, default=1, help="Epochs without a better AUC before a trial stops.")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="A setting of all trials.")
    parser.add_argument("--space", type=Path, help="A YAML file with another space than the model's own.")
    parser.add_argument("--label", help="The name of the file and of the entry. The default is that of the model.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the trials and of their training.")
    parser.add_argument("--out", type=Path, default=Path("search"), help="Folder of the tables.")
    arguments = parser.parse_args()
    try:
        search(arguments)
    except UserError as error:
        parser.exit(2, f"Error: {error}\n")


def search(arguments: argparse.Namespace) -> None:
    """Runs the trials that are missing, writes each into the table and prints the best of all."""
    if arguments.trials < 1:
        raise UserError(f"Expected at least 1 trial. Received: {arguments.trials}.")
    fixed = parse_settings(arguments.set)
    for section in fixed:
        if section not in (*SECTIONS, "data"):
            raise unknown_name("section in --set", section, (*SECTIONS, "data"))
    budget = {"epochs": arguments.epochs, "patience": arguments.patience, "seed": arguments.seed}
    space = read_space(arguments.space or configs_folder() / "search" / f"{arguments.model}.yaml")
    trials = [
        joined(sampled(space, [arguments.seed, number]) if number else {}, {"train": budget}, fixed)
        for number in range(arguments.trials)
    ]
    for trial in trials:
        spec(arguments.model).check_hparams(trial["hparams"])
        make_config(arguments.model, {section: trial[section] for section in SECTIONS})
    label = f"{Path(arguments.data).stem}.{arguments.label or arguments.model}"
    table = arguments.out / f"{label}.csv"
    rows = read_table(table, trials)
    missing = [number for number in range(len(trials)) if number not in rows]
    if missing:
        data = data_to_choose_by(arguments.data, arguments.data_root, fixed.get("data", {}))
        with parent_folder(table):
            for number in missing:
                rows[number] = run_trial(arguments.model, data, trials[number])
                append(table, number, rows[number])
                print(f"{label} {number}: {told(rows[number])}", file=sys.stderr, flush=True)
    finished = {number: rows[number] for number in range(len(trials)) if not math.isnan(rows[number]["auc"])}
    if not finished:
        raise UserError(f"{label}: no trial ended with a finite loss. Choose a space with smaller learning rates.")
    best = max(finished, key=lambda number: finished[number]["auc"])
    print(f"# Trial {best} of {len(trials)}: {told(finished[best])}")
    print(as_entry(label, arguments, fixed, trials[best]), end="")


def read_space(path: Path) -> Settings:
    """The space in a YAML file, checked."""
    space = read_yaml(path)
    for section, axes in space.items():
        if section not in SECTIONS:
            raise unknown_name(f"section in {path}:", section, SECTIONS)
        if not isinstance(axes, Mapping):
            raise UserError(f"{path}: {section!r}: expected keys and values. Received: {axes!r}.")
        for name, axis in axes.items():
            if not (isinstance(axis, list) and axis) and not is_range(axis):
                raise UserError(
                    f"{path}: {section}.{name}: expected a list of values, or {{uniform: [LOW, HIGH]}} or "
                    f"{{log_uniform: [LOW, HIGH]}}, where LOW is above 0. Received: {axis!r}."
                )
    return space


def is_range(axis: object) -> bool:
    """Whether an axis is a range to draw from."""
    if not isinstance(axis, Mapping) or list(axis) not in (["uniform"], ["log_uniform"]):
        return False
    ((kind, ends),) = axis.items()
    if not isinstance(ends, list) or len(ends) != 2 or not all(isinstance(end, int | float) for end in ends):
        return False
    return ends[0] < ends[1] and (kind == "uniform" or ends[0] > 0)


def sampled(space: Settings, seed: list[int]) -> Settings:
    """One value of every axis. Numbers of ranges have three digits, so they are easily repeated."""
    random = np.random.default_rng(seed)

    def draw(axis: list | dict) -> object:
        if isinstance(axis, list):
            return axis[random.integers(len(axis))]
        ((kind, (low, high)),) = axis.items()
        number = random.uniform(low, high) if kind == "uniform" else math.exp(random.uniform(*np.log([low, high])))
        return float(f"{number:.3g}")

    return {section: {name: draw(axis) for name, axis in axes.items()} for section, axes in space.items()}


def joined(*settings: Settings) -> Settings:
    """The settings of a trial. Later ones replace earlier ones."""
    return {
        section: {key: value for one in settings for key, value in one.get(section, {}).items()} for section in SECTIONS
    }


def data_to_choose_by(source: str, data_root: Path | None, settings: Mapping[str, object]) -> Dataset:
    """The data of the benchmark without its test part."""
    options = {**DATA, **settings}
    options.update(options.pop("options", {}))
    data = load_dataset(source, data_root=data_root, split=SPLIT, **options)
    return dataclasses.replace(data, interactions=data.part("train", "valid", "query").reset_index(drop=True))


def run_trial(model: str, data: Dataset, trial: Settings) -> Row:
    """The best validation figures of a trained model, or NaN if its loss was not finite."""
    started = time.perf_counter()
    try:
        run = zoo.train(
            model, data, progress=False, train=trial["train"], hparams=trial["hparams"], evaluate={"protocol": "ctr"}
        )
        history = run.history
    except UserError:
        raise
    except ZooError as error:
        print(error, file=sys.stderr)
        history = [{"auc": math.nan, "log_loss": math.nan}]
    best = max(range(len(history)), key=lambda epoch: history[epoch]["auc"])
    return {
        "auc": round(history[best]["auc"], 5),
        "log_loss": round(history[best]["log_loss"], 5),
        "best_epoch": best + 1,
        "epochs": len(history),
        "seconds": round(time.perf_counter() - started, 1),
        **trial,
    }


def read_table(path: Path, trials: list[Settings]) -> dict[int, Row]:
    """The rows of trials that have ended, by number. Rows of other trials than these are a `UserError`."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{path}: no table of trials. Its first line should be {','.join(COLUMNS)}.")
        said = list(reader)
    rows = {}
    for row in said:
        number, settings = int(row["trial"]), {section: json.loads(row[section]) for section in SECTIONS}
        if number < len(trials) and settings != trials[number]:
            raise UserError(
                f"{path}: trial {number} had other settings: {settings} instead of {trials[number]}. Repeat the space, "
                "the budget, the seed and --set, or give another --label or --out."
            )
        figures = {name: float(row[name]) for name in COLUMNS[1:-2]}
        rows[number] = {**figures, **settings}
    return rows


def append(path: Path, number: int, row: Row) -> None:
    """Adds the row of a trial to the table."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        settings = [json.dumps(row[section], sort_keys=True) for section in SECTIONS]
        writer.writerow([number, *(row[name] for name in COLUMNS[1:-2]), *settings])


def told(row: Row) -> str:
    """A trial in a line."""
    return (
        f"validation auc {row['auc']:.4f}, log loss {row['log_loss']:.4f} in epoch {row['best_epoch']:.0f} of "
        f"{row['epochs']:.0f}, {row['seconds']:,.0f} s; {json.dumps({name: row[name] for name in SECTIONS})}"
    )


def as_entry(label: str, arguments: argparse.Namespace, fixed: Settings, trial: Settings) -> str:
    """A trial as an entry in the YAML file of a benchmark, without its seed."""
    train = {key: value for key, value in trial["train"].items() if key != "seed"}
    entry = {
        "model": arguments.model,
        "data": {"source": arguments.data, **fixed.get("data", {})},
        "hparams": trial["hparams"],
        "train": train,
    }
    written = yaml.safe_dump({label: entry}, sort_keys=False, default_flow_style=None, width=110)
    return "".join(f"  {line}\n" for line in written.splitlines())


if __name__ == "__main__":
    main()
