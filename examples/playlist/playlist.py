"""Continue a playlist with tracks that fit, from what was played together, features of tracks and their lyrics."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import zoo
from zoo.data import prepare
from zoo.data.dataset import Dataset
from zoo.errors import UserError, unknown_name
from zoo.schema import FIRST_KNOWN

HERE = Path(__file__).parent
# The length of a track.
SECONDS = 210
PLAYLIST = ["Barley and Rain", "Lantern Hill", "Sparrow at the Gate", "Hollow Oak"]


def main() -> None:
    """Reads the command line. A mistake in it or in a table is an error without a traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", default=HERE / "plays.csv", help="user (who listens), item, timestamp")
    parser.add_argument("--items", default=HERE / "tracks.csv", help="item, title and any features of items")
    parser.add_argument("--playlist", nargs="+", metavar="TRACK", help="Titles or ids in order. The default is "
                        "four folk songs, or in a table of your own the tracks that were played last.")  # fmt: skip
    parser.add_argument("-k", type=int, default=8, help="How many tracks to add.")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", default="runs/playlist", help="Folder of the run.")
    arguments = parser.parse_args()
    if arguments.playlist is None and arguments.items == parser.get_default("items"):
        arguments.playlist = PLAYLIST
    try:
        show(arguments)
    except UserError as error:
        parser.exit(2, f"Error: {error}\n")


def show(arguments: argparse.Namespace) -> None:
    """Trains, evaluates and continues a playlist."""
    # Texts, such as lyrics, are encoded by TF-IDF. Numbers are standardised, and categories are indexed.
    data = prepare(arguments.interactions, items=arguments.items, name="plays", max_history=20, split="leave-last-out")
    for note in data.notes:
        print(note)
    print(data.schema)
    playlist = tracks(data, arguments.playlist)

    run = zoo.train(
        "elcorec",
        data,
        out=arguments.out,
        overwrite=True,
        hparams={"embedding_dim": 16, "dropout": 0.1, "id_dropout": 0.2},
        train={"epochs": arguments.epochs, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 0.0, "patience": 5},
    )
    evaluation = run.evaluate()
    print(f"\n{evaluation.protocol}: {evaluation.about}")
    for name, interval in evaluation.metrics.items():
        print(f"{name:10} {interval.mean:.3f} (95% interval {interval.low:.3f} to {interval.high:.3f})")

    print(f"\nPlaylist:\n{described(data, playlist).to_string(index=False)}")
    # A playlist is the history of a listener who has just heard it. Nothing else is known about the listener.
    listener = {"history": data.vocabularies["item"].lookup(playlist).tolist()}
    if "history_age" in data.schema:
        listener["history_age"] = [SECONDS * number for number in range(len(playlist), 0, -1)]
    found = run.recommend([listener], k=arguments.k)
    following = data.vocabularies["item"].index(found["item"])
    table = described(data, following).assign(shares=shared(data, playlist, following))
    print(f"\nNext:\n{table.to_string(index=False)}")


def tracks(data: Dataset, names: list[str] | None) -> np.ndarray:
    """The item indices of titles or ids. The default is what the last listener played last."""
    if names is None:
        last = data.interactions["user"].iloc[-1]
        return data.interactions[data.interactions["user"] == last]["item"].to_numpy()[-4:]
    known = {str(title): index for index, title in enumerate(data.titles) if index >= FIRST_KNOWN}
    known |= {str(item): index for index, item in enumerate(data.vocabularies["item"].values, FIRST_KNOWN)}
    for name in names:
        if name not in known:
            raise unknown_name("track", name, known)
    return np.array([known[name] for name in names])


def described(data: Dataset, items: np.ndarray) -> pd.DataFrame:
    """The titles, categories and numbers of item indices."""
    table = pd.DataFrame({"title": data.titles[items]})
    for feature in data.schema.role("item"):
        if feature.kind == "numeric":
            table[feature.name] = np.round(data.items[feature.name][items] * feature.std + feature.mean, 2)
        elif feature.kind == "categorical":
            values = [np.atleast_1d(row) for row in data.items[feature.name][items]]
            known = [data.vocabularies[feature.name].lookup(row[row >= FIRST_KNOWN]) for row in values]
            table[feature.name] = [", ".join(map(str, row)) for row in known]
    return table


def shared(data: Dataset, playlist: np.ndarray, items: np.ndarray) -> list[str]:
    """The categories that every item shares with the playlist, and with how many of its tracks."""
    categories = [feature.name for feature in data.schema.role("item") if feature.kind == "categorical"]
    theirs, given = described(data, items)[categories], described(data, playlist)[categories]
    counts = [
        [(value, int((given[name] == value).sum())) for name, value in row.items()] for _, row in theirs.iterrows()
    ]
    return [", ".join(f"{value} ({n} of {len(playlist)})" for value, n in row if n) or "-" for row in counts]


if __name__ == "__main__":
    main()
