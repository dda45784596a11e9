"""Recommend films that somebody will like, from ratings and features of users and films."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

import export
import zoo
from zoo.cold_start import read_records
from zoo.data import prepare
from zoo.data.dataset import Dataset
from zoo.errors import UserError, unknown_name
from zoo.schema import FIRST_KNOWN

HERE = Path(__file__).parent
NEW_USER = {"user": "somebody new", "age": 24, "occupation": "student", "home": "alone"}


def main() -> None:
    """Reads the command line. A mistake in it or in a table is an error without a traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", default=HERE / "ratings.csv", help="user, item, rating, timestamp")
    parser.add_argument("--users", default=HERE / "users.csv", help="user and any features of users")
    parser.add_argument("--items", default=HERE / "films.csv", help="item, title and any features of items")
    parser.add_argument("--like", type=float, default=3.0, help="Ratings above this count as liked.")
    parser.add_argument("--user", help="A user of the table. The default is the user with the most ratings.")
    parser.add_argument("--new-user", type=record, help="A user who is not in the table, as JSON. The default for the "
                        f"example's own users is {json.dumps(NEW_USER)}")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", default="runs/films", help="Folder of the run.")
    parser.add_argument("--bundle", help="Folder of a bundle. If given, the run is exported to all formats.")
    arguments = parser.parse_args()
    if arguments.new_user is None and arguments.users == parser.get_default("users"):
        arguments.new_user = NEW_USER
    try:
        show(arguments)
    except UserError as error:
        parser.exit(2, f"Error: {error}\n")


def record(text: str) -> dict[str, object]:
    """A feature record of a user from JSON. argparse reports a `ValueError`."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def show(arguments: argparse.Namespace) -> None:
    """Trains, evaluates, recommends and exports."""
    data = prepare(
        arguments.interactions,
        arguments.users,
        arguments.items,
        name="films",
        label_threshold=arguments.like,
        max_history=30,
        # The last tenth in time is the test part. Each of its ratings is predicted from what its user did before.
        split={"name": "time", "valid": 0.1, "test": 0.1},
    )
    for note in data.notes:
        print(note)
    users = data.vocabularies["user"]
    user = users.lookup(data.interactions["user"].mode().to_numpy())[0] if arguments.user is None else arguments.user
    if user not in users:
        raise unknown_name("user", user, map(str, users.values))
    asked = [user] if arguments.new_user is None else [user, arguments.new_user]
    read_records(asked[1:], data)  # This reports a mistake before the training.

    run = zoo.train(
        "elcorec_graph",
        data,
        out=arguments.out,
        overwrite=True,
        hparams={"embedding_dim": 16, "heads": 2, "units": 16, "id_dropout": 0.3},
        train={"epochs": arguments.epochs, "batch_size": 64, "learning_rate": 1e-3, "patience": 3},
    )
    evaluation = run.evaluate()
    print(f"\n{evaluation.protocol}: {evaluation.about}")
    for name, interval in evaluation.metrics.items():
        print(f"{name:10} {interval.mean:.3f} (95% interval {interval.low:.3f} to {interval.high:.3f})")

    events = data.interactions
    liked = events[(events["user"] == users.index([user])[0]) & (events["label"] == 1)]["item"].to_numpy()[-5:]
    print(f"\nLiked last by {user}:\n{described(data, liked).to_string(index=False)}")
    for somebody, found in run.recommend(asked, k=5).groupby("user", sort=False):
        chance = 1 / (1 + np.exp(-found["score"].to_numpy()))
        table = described(data, data.vocabularies["item"].index(found["item"])).assign(chance=chance.round(2))
        print(f"\nFor {somebody}:\n{table.to_string(index=False)}")
    print()
    if arguments.bundle:
        bundle = export.export(run, arguments.bundle, overwrite=True, report=print)
        print(f"Published {bundle.folder}")
    else:
        print(f"To ship it: zoo export {arguments.out} --out bundles/films")


def described(data: Dataset, items: np.ndarray) -> pd.DataFrame:
    """The titles and categories of item indices."""
    table = pd.DataFrame({"title": data.titles[items]})
    for feature in data.schema.role("item"):
        if feature.kind == "categorical":
            values = [np.atleast_1d(row) for row in data.items[feature.name][items]]
            known = [data.vocabularies[feature.name].lookup(row[row >= FIRST_KNOWN]) for row in values]
            table[feature.name] = [", ".join(map(str, row)) for row in known]
    return table


if __name__ == "__main__":
    main()
