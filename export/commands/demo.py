"""`zoo demo`: from ratings to recommenders, a comparison, recommendations and a verified bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from export.console import CheckPrinter, Verbose
from zoo.cli.console import Overwrite, print_table, quiet_tensorflow

if TYPE_CHECKING:
    from zoo.evaluation.protocols import Evaluation
    from zoo.run import Run


COMPARISON = "comparison.json"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the bundle.")] = Path("zoo-demo"),
    overwrite: Overwrite = False,
    verbose: Verbose = False,
) -> None:
    """Train recommenders on real ratings, compare them, recommend films and export the best."""
    from zoo.config import configs_folder, read_yaml
    from zoo.files import check_free, published_folder

    check_free(out, overwrite, COMPARISON)
    plan = read_yaml(configs_folder() / "demo.yaml")
    quiet_tensorflow()
    from export.bundle.publishing import export
    from zoo.run import Run

    with published_folder(out, overwrite, COMPARISON) as folder:
        (folder / "runs").mkdir()
        evaluations = _train_all(plan["data"], plan["models"], folder / "runs")
        best = _compare(evaluations, plan["metric"], plan["baseline"], plan["data"])
        compared = {name: evaluation.to_json() for name, evaluation in evaluations.items()}
        (folder / COMPARISON).write_text(json.dumps(compared, indent=2), encoding="utf-8")
        run = Run.load(folder / "runs" / best)
        users = _recommend(run, best, plan["users"], plan["k"])
        print(f"\nExporting {best} and asking every artefact what the trained model answers ...")
        with CheckPrinter(verbose) as print_line:
            export(run, folder / "bundle", report=print_line)
    print(f"\nThe runs are in {out / 'runs'}, the bundle in {out / 'bundle'}.")
    print_next(out, best, users[0])


def print_next(out: Path, best: str, user: object) -> None:
    """Prints what to do next, in the order in which it is of use."""
    run, bundle = out / "runs" / best, out / "bundle"
    steps = [
        ("recommend to a user", f"zoo recommend {run} --user {user}"),
        ("evaluate the run again", f"zoo evaluate {run}"),
        ("serve the bundle", f"see 'How to call it' in {bundle / 'README.md'}"),
        ("verify the bundle wherever it is", f"zoo verify {bundle}"),
        ("train on your own data", f"zoo train {best} --data FILE.csv --out runs/mine"),
        ("export what you trained", "zoo export runs/mine --out bundles/mine"),
    ]
    print("Next:")
    width = max(len(what) for what, _ in steps)
    for what, how in steps:
        print(f"  {what:{width}}  {how}")


def _train_all(source: str, names: Sequence[str], folder: Path) -> dict[str, Evaluation]:
    """Trains and saves a run of each architecture on the same split; gives their evaluations."""
    from zoo.config import make_config
    from zoo.data import load_dataset
    from zoo.training.train import train

    print(f"Preparing {source} ...")
    dataset = load_dataset(source)
    for note in dataset.notes:
        print(f"  {note}")
    evaluations = {}
    for name in names:
        run = train(name, dataset.with_max_history(make_config(name).data.max_history))
        evaluations[name] = run.evaluate()
        run.save(folder / name)
    return evaluations


def _compare(evaluations: dict[str, Evaluation], metric: str, baseline: str, source: str) -> str:
    """Prints the table of all runs, best last, and why one is not better than the baseline; gives the best."""
    from zoo.evaluation.bootstrap import difference_interval
    from zoo.registry import spec

    ordered = sorted(evaluations, key=lambda name: evaluations[name].metrics[metric].mean)
    print(f"\nProtocol {evaluations[baseline].protocol}: {evaluations[baseline].about}")
    rows: list[list[Any]] = []
    reasons = []
    for name in ordered:
        metrics = evaluations[name].metrics
        row = [name, *(f"{metrics[shown].mean:.4f}" for shown in metrics)]
        if name == baseline:
            rows.append([*row, "", "the baseline"])
            continue
        gain = difference_interval(evaluations[name].per_user[metric], evaluations[baseline].per_user[metric])
        verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "not told apart"
        rows.append([*row, f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})", verdict])
        if gain.low <= 0 and spec(name).ordered:
            reasons.append(
                f"{name} predicts what comes next, while this split holds out items from anywhere in a history, so "
                "what it learns of their order does not help here. A split in time asks the question it answers:\n"
                f"  zoo train {name} --data {source} --set split.name=leave-last-out"
            )
        elif gain.low <= 0:
            reasons.append(f"{name} is not better: the interval of the difference from {baseline} reaches below 0.")
    columns = [
        "model",
        *evaluations[baseline].metrics,
        f"{metric} less {baseline}'s",
        "paired bootstrap, 95%",
    ]
    print_table("", columns, rows)
    for reason in reasons:
        print(reason)
    return ordered[-1]


def _recommend(run: Run, name: str, users: int, k: int) -> list[Any]:
    """Prints what some users liked and what they would get; gives the users."""
    data = run.dataset
    known = data.sequences("train", "valid", "test")
    # Users with a short history, for it can be read at a glance.
    shown = known.counts.argsort(kind="stable")
    shown = shown[known.counts[shown] >= k][:users]
    raw = data.vocabularies["user"].lookup(shown).tolist()
    frame = run.recommend(raw, k)
    for user, index in zip(raw, shown, strict=True):
        print(f"\nUser {user} rated {known.counts[index]} items, the last ones:")
        print("  " + "; ".join(data.titles[known.of(index)[-k:]]))
        print(f"{name} recommends:")
        for row in frame[frame["user"] == user].itertuples():
            print(f"  {row.rank}. {row.title}  (item {row.item}, score {row.score:.3f})")
    return raw
