"""`zoo demo`: from ratings to recommenders, a comparison, recommendations and a verified bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.console import CheckPrinter, Verbose
from zoo.cli.console import Overwrite, print_table, printable, quiet_tensorflow

if TYPE_CHECKING:
    from zoo.evaluation.interval import Interval
    from zoo.evaluation.protocols import Evaluation
    from zoo.run import Run


COMPARISON = "comparison.json"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the bundle.")] = Path("zoo-demo"),
    overwrite: Overwrite = False,
    verbose: Verbose = False,
) -> None:
    """Train recommenders on real ratings, compare them, recommend films and export the best."""
    from zoo.config import configs_folder
    from zoo.files import check_free, published_folder
    from zoo.locks import locked
    from zoo.yaml_reader import read_yaml

    check_free(out, overwrite, COMPARISON)
    plan = read_yaml(configs_folder() / "demo.yaml")
    quiet_tensorflow()
    from export.bundle.publishing import export
    from zoo.run import Run

    with locked(out) as place, published_folder(place, overwrite, COMPARISON) as folder:
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
    """Prints what to do next, in the order of use."""
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
    """Trains and saves a run of each architecture on the same split, and gives their evaluations."""
    from zoo.config import make_config
    from zoo.data import load_dataset
    from zoo.training.train import make_run

    print(f"Preparing {source} ...")
    dataset = load_dataset(source)
    for note in dataset.notes:
        print(printable(f"  {note}"))
    evaluations = {}
    for name in names:
        run = make_run(name, dataset.with_max_history(make_config(name).data.max_history))
        evaluations[name] = run.evaluate()
        run.save(folder / name)
    return evaluations


def _compare(evaluations: dict[str, Evaluation], metric: str, baseline: str, source: str) -> str:
    """Prints the table of all runs, best last, and why one is not better than the baseline. It gives the best."""
    ordered = sorted(evaluations, key=lambda name: evaluations[name].metrics[metric].mean)
    gains = {name: _gain(evaluations[name], evaluations[baseline], metric) for name in ordered if name != baseline}
    print(f"\nProtocol {evaluations[baseline].protocol}: {evaluations[baseline].about}")
    print_table(
        "",
        ["model", *evaluations[baseline].metrics, f"{metric} minus {baseline}'s", "paired bootstrap, 95%"],
        [[name, *_figures(evaluations[name]), *_verdict(gains.get(name))] for name in ordered],
    )
    for name, gain in gains.items():
        if gain.low <= 0:
            print(_reason(name, baseline, source))
    return ordered[-1]


def _gain(own: Evaluation, other: Evaluation, metric: str) -> Interval:
    """How much better an evaluation is than another of the same users."""
    from zoo.evaluation.bootstrap import difference_interval

    return difference_interval(own.per_user[metric], other.per_user[metric])


def _figures(evaluation: Evaluation) -> list[str]:
    return [f"{interval.mean:.4f}" for interval in evaluation.metrics.values()]


def _verdict(gain: Interval | None) -> tuple[str, str]:
    """The difference from the baseline and what it says. The baseline has none."""
    if gain is None:
        return "", "the baseline"
    verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "not told apart"
    return f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})", verdict


def _reason(name: str, baseline: str, source: str) -> str:
    """Why an architecture is not better than the baseline."""
    from zoo.registry import spec

    if spec(name).ordered:
        return (
            f"{name} predicts what comes next, while this split holds out items from anywhere in a history, so "
            "what it learns of their order does not help here. A split in time asks the question it answers:\n"
            f"  zoo train {name} --data {source} --set split.name=leave-last-out"
        )
    return f"{name} is not better: the interval of the difference from {baseline} reaches below 0."


def _recommend(run: Run, name: str, users: int, k: int) -> list[int | str]:
    """Prints what some users liked and what they would get, and gives the users."""
    data = run.dataset
    known = data.sequences("train", "valid", "test")
    # The users with the shortest histories are shown, because those can be read at a glance.
    shown = known.counts.argsort(kind="stable")
    shown = shown[known.counts[shown] >= k][:users]
    raw: list[int | str] = data.vocabularies["user"].lookup(shown).tolist()
    frame = run.recommend(raw, k)
    for user, index in zip(raw, shown, strict=True):
        print(f"\nUser {user} rated {known.counts[index]} items, the last ones:")
        print("  " + "; ".join(data.titles[known.of(index)[-k:]]))
        print(f"{name} recommends:")
        for row in frame[frame["user"] == user].itertuples():
            print(f"  {row.rank}. {row.title}  (item {row.item}, score {row.score:.3f})")
    return raw
