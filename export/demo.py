"""`zoo demo`: from ratings to recommenders, a comparison, recommendations and a verified bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from export.console import print_check
from zoo.cli.console import Overwrite, print_table, quiet_tensorflow

if TYPE_CHECKING:
    from zoo.data.dataset import Dataset
    from zoo.evaluation.protocols import Evaluation
    from zoo.run import Run


COMPARISON = "comparison.json"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the bundle.")] = Path("zoo-demo"),
    overwrite: Overwrite = False,
) -> None:
    """Train every architecture on real ratings, compare them, recommend films and export the best."""
    from zoo.config import configs_folder, read_yaml
    from zoo.files import check_free, published_folder
    from zoo.registry import specs

    check_free(out, overwrite, COMPARISON)
    plan = read_yaml(configs_folder() / "demo.yaml")
    quiet_tensorflow()
    from export.bundle import export

    with published_folder(out, overwrite, COMPARISON) as folder:
        (folder / "runs").mkdir()
        datasets: dict[str, Dataset] = {}
        runs, evaluations = {}, {}
        for name in specs():
            dataset = _dataset(name, plan["data"], datasets)
            runs[name], evaluations[name] = _train(name, dataset, folder / "runs" / name)
        best = _compare(evaluations, plan["metric"], plan["baseline"])
        compared = {name: evaluation.to_json() for name, evaluation in evaluations.items()}
        (folder / COMPARISON).write_text(json.dumps(compared, indent=2), encoding="utf-8")
        users = _recommend(runs[best], best, plan["users"], plan["k"])
        print(f"\nExporting {best} and asking every artefact what the trained model answers ...")
        export(runs[best], folder / "bundle", report=print_check)
    print(f"\nThe runs are in {out / 'runs'}, the bundle in {out / 'bundle'}; its README.md says how to serve it.")
    print(f"Try:  zoo recommend {out / 'runs' / best} --user {users[0]}")


def _dataset(name: str, source: str, prepared: dict[str, Dataset]) -> Dataset:
    """The data as the preset of an architecture wants it, prepared once for all that want the same."""
    from zoo.config import make_config
    from zoo.data import load_dataset

    options = make_config(name).data.model_dump(exclude={"source", "options"}, exclude_unset=True)
    key = json.dumps(options, sort_keys=True)
    if key not in prepared:
        if not prepared:
            print(f"Preparing {source} ...")
        prepared[key] = load_dataset(source, **options)
        if len(prepared) == 1:
            for note in prepared[key].notes:
                print(f"  {note}")
    return prepared[key]


def _train(name: str, dataset: Dataset, folder: Path) -> tuple[Run, Evaluation]:
    from zoo.training import train

    run = train(name, dataset)
    evaluation = run.evaluate()
    run.save(folder)
    return run, evaluation


def _compare(evaluations: dict[str, Evaluation], metric: str, baseline: str) -> str:
    """Prints the table of all runs, best last; gives the name of the best."""
    from zoo.evaluation.bootstrap import difference_interval

    ordered = sorted(evaluations, key=lambda name: evaluations[name].metrics[metric].mean)
    print(f"\nProtocol {evaluations[baseline].protocol}: {evaluations[baseline].about}")
    rows: list[list[Any]] = []
    for name in ordered:
        metrics = evaluations[name].metrics
        row = [name, *(f"{metrics[shown].mean:.4f}" for shown in metrics)]
        if name == baseline:
            rows.append([*row, "", "the baseline"])
            continue
        gain = difference_interval(evaluations[name].per_user[metric], evaluations[baseline].per_user[metric])
        verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "not told apart"
        rows.append([*row, f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})", verdict])
    columns = [
        "model",
        *evaluations[baseline].metrics,
        f"{metric} less {baseline}'s",
        "paired bootstrap, 95%",
    ]
    print_table("", columns, rows)
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
