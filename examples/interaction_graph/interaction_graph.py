"""Draw why an item was recommended: the user, what the user did, and the item, with the attention between them."""

import argparse
import dataclasses
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import zoo
from zoo.data import prepare
from zoo.data.dataset import PARTS
from zoo.errors import UserError, unknown_name
from zoo.layers.interaction_graph import value_feature
from zoo.run import Run
from zoo.schema import FIRST_KNOWN, PADDING

try:
    import matplotlib
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
except ImportError as error:
    sys.exit(f'Error: {error.name} is not installed. Drawing needs it: pip install "recozoo[examples]"')

TABLES = Path(__file__).parent.parent / "content_recommendation"
FORMATS = (".png", ".svg", ".pdf")
COLOURS = {"liked": "#2a9d8f", "not liked": "#e76f51", "you": "#264653", "value": "#9a86c8", "target": "#e9b44c"}
THICKEST = 14.0
# Horizontal places: events on the left, the user and the values in the middle, the target on the right.
LEFT, MIDDLE, RIGHT = 0.0, 1.0, 1.65


def main() -> None:
    """Reads the command line. A mistake in it or in a table is an error without a traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="Folder of a run of elcorec_graph. By default one is trained.")
    parser.add_argument("--interactions", default=TABLES / "ratings.csv", help="user, item, rating, timestamp")
    parser.add_argument("--users", default=TABLES / "users.csv", help="user and any features of users")
    parser.add_argument("--items", default=TABLES / "films.csv", help="item, title and any features of items")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--user", help="A raw user id. The default is the user with the most interactions.")
    parser.add_argument("--item", help="A raw item id. The default is the best recommendation for the user.")
    parser.add_argument("--events", type=int, default=8, help="How many past events are drawn.")
    parser.add_argument("--out", type=Path, default=Path("why.png"), help="The file of the picture.")
    arguments = parser.parse_args()
    try:
        if arguments.out.suffix.lower() not in FORMATS:
            raise UserError(f"{arguments.out}: expected a picture as one of: {', '.join(FORMATS)}.")
        if arguments.events < 1:
            raise UserError(f"--events must be at least 1. Received: {arguments.events}.")
        run = Run.load(arguments.run) if arguments.run else train(arguments)
        why = explain(run, arguments.user, arguments.item)
        print(why.told(arguments.events))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        picture(why, arguments.events).savefig(arguments.out, dpi=120)
    except UserError as error:
        parser.exit(2, f"Error: {error}\n")
    print(f"\nDrawn as {arguments.out}")


def train(arguments: argparse.Namespace) -> Run:
    """A run on the tables, with the settings of the example content_recommendation."""
    data = prepare(
        arguments.interactions,
        arguments.users,
        arguments.items,
        name="films",
        label_threshold=3,
        max_history=30,
        split={"name": "time", "valid": 0.1, "test": 0.1},
    )
    if arguments.user is not None and arguments.user not in data.vocabularies["user"]:
        raise unknown_name("user", arguments.user, map(str, data.vocabularies["user"].values))
    hparams = {"embedding_dim": 16, "heads": 2, "units": 16, "id_dropout": 0.3}
    return zoo.train("elcorec_graph", data, hparams=hparams, train={"epochs": arguments.epochs, "batch_size": 64})


@dataclasses.dataclass
class Why:
    """What the attention of the graph says about one recommendation.

    Args:
        user: The raw id of the user.
        title: The title of the recommended item.
        chance: The chance that the user likes it, as the model predicts.
        events: One row a past event, those with the most attention first. Columns: `title`, `stars` (`None` without a
            rating), `liked`, `days` since then (`None` if unknown), `share` of the attention, `you` (attention in the
            state of the user) and one for each value of the target.
        itself: The share of the recommended item itself.
        values: The attention that the target pays to each of its values. They add up to 1.
        feature: The feature that the values belong to.
    """

    user: str
    title: str
    chance: float
    events: pd.DataFrame
    itself: float
    values: dict[str, float]
    feature: str

    def told(self, number: int) -> str:
        """The explanation in words."""
        values = f" ({', '.join(self.values)})" if self.values else ""
        lines = [f"Why {self.title!r}{values} for {self.user}? It will be liked with a chance of {self.chance:.0%}:"]
        for event in self.events.head(number).to_dict("records"):
            parts = ", ".join(f"{name} {event[name]:.0%}" for name in ("you", *self.values))
            how = "because" if event["liked"] else "although"
            lines.append(f"  {how} {did(event)}: {event['share']:.0%} ({parts})")
        others = self.events.iloc[number:]
        if len(others):
            lines.append(f"  and {len(others)} others: {others['share'].sum():.0%}")
        lines.append(f"  and what is known about {self.title!r} itself: {self.itself:.0%}")
        return "\n".join(lines)


def explain(run: Run, user: str | None = None, item: str | None = None) -> Why:
    """Reads the attention of a run's graph for a user and an item.

    The target's state has two parts. One is the state of the user, who attends to all seen items. The other is the
    states of the target's values. Each of them attends to the seen items that have it. The share of an event is the
    mean of the attention that it gets in both parts.
    """
    model, data = run.model, run.dataset
    names = {
        "you": "graph_items_to_user_2",
        "in_values": "graph_items_to_values_1",
        "values": "graph_values_to_items_2",
    }
    there = {layer.name for layer in model.layers}
    if names["you"] not in there:
        raise UserError(f"The run is of {model.architecture!r} without a graph. Train elcorec_graph.")
    users, items = data.vocabularies["user"], data.vocabularies["item"]
    if user is None:
        user = users.lookup(data.interactions["user"].mode().to_numpy())[0]
    if user not in users:
        raise unknown_name("user", user, map(str, users.values))
    if item is None:
        item = run.recommend([user], k=1)["item"].iloc[0]
    if item not in items:
        raise unknown_name("item", item, map(str, items.values))
    target = int(items.index([item])[0])

    wanted = {*model.query_names, "history", "history_rating", *({"history_age"} & {one.name for one in data.schema})}
    query = data.queries(sorted(wanted), users.index([user]), *PARTS)
    inputs = {**{name: query[name] for name in model.query_names}, "item": np.array([target], np.int32)}
    outputs = {key: model.get_layer(name).output[1] for key, name in names.items() if name in there}
    attention = keras.Model({one.name: one for one in model.inputs}, outputs)(inputs)
    attention = {name: np.asarray(weights)[0] for name, weights in attention.items()}

    columns, of_values, feature = {"you": attention["you"][0]}, {}, ""
    found = value_feature(data.schema, model.hparams["feature"])
    if found is not None:
        feature, values = found.name, np.atleast_1d(data.items[found.name][target])
        # One row a value and head. The mean is over the heads.
        in_values = attention["in_values"].reshape(len(values), -1, attention["you"].shape[-1]).mean(axis=1)
        for name, value, row, weight in zip(
            data.vocabularies[feature].lookup(values), values, in_values, attention["values"][0], strict=True
        ):
            if value >= FIRST_KNOWN:
                columns[str(name)], of_values[str(name)] = row, float(weight)
    ways = [columns["you"], *([sum(columns[name] * weight for name, weight in of_values.items())] if of_values else [])]
    share = np.mean(ways, axis=0)

    number = len(share) - 1
    history = query["history"][0, -number:]
    rating, scale = query["history_rating"][0, -number:], data.schema["history_rating"]
    events = pd.DataFrame({"title": data.titles[history], "liked": rating > 0, "share": share[:-1]})
    events["stars"] = (rating * scale.std + scale.mean).round(2) if "rating" in data.interactions else None
    events["days"] = query["history_age"][0, -number:] if "history_age" in query else None
    for name, weights in columns.items():
        events[name] = weights[:-1]
    events = events[history != PADDING].sort_values("share", ascending=False, kind="stable")
    chance = float(1 / (1 + np.exp(-model.score({name: query[name] for name in model.query_names}, inputs["item"])[0])))
    return Why(str(user), str(data.titles[target]), chance, events, float(share[-1]), of_values, feature)


def did(event: Mapping) -> str:
    """A past event in words."""
    stars, days = event["stars"], event["days"]
    if stars is None:
        what = f"you have seen {event['title']}"
    else:
        what = f"you rated {event['title']} {stars:g} star{'s' * (stars != 1)}"
    return what if days is None else f"{what} {ago(days)}"


def ago(days: float) -> str:
    """How long ago, in words."""
    for unit, length in (("year", 365), ("month", 30.4), ("week", 7), ("day", 1)):
        if days >= (number := 2 if unit != "day" else 1) * length:
            number = round(days / length)
            return f"{number} {unit}{'s' * (number > 1)} ago"
    return "today"


def graph_of(why: Why, number: int) -> nx.DiGraph:
    """The user's graph: nodes for the events with the most attention, the user, each value and the target.

    A node has a `kind`, a place `at` and a `label`; its kind decides its colour. An edge has the attention as `weight`.
    """
    graph = nx.DiGraph()
    graph.add_node("target", kind="target", at=(RIGHT, 0.5), label=textwrap.fill(shortened(why.title, 50), 14))
    middle = spread(1 + len(why.values), 0.86, 0.14)
    graph.add_node("you", kind="you", at=(MIDDLE, middle[0]), label=f"you ({why.user})")
    graph.add_edge("you", "target", weight=1.0)
    for place, (name, weight) in zip(middle[1:], why.values.items(), strict=True):
        graph.add_node(("value", name), kind="value", at=(MIDDLE, place), label=name)
        graph.add_edge(("value", name), "target", weight=weight)
    drawn = why.events.head(number).reset_index(drop=True)
    for place, event in zip(spread(len(drawn), 0.98, 0.02), drawn.to_dict("records"), strict=True):
        said = [] if event["stars"] is None else [f"{event['stars']:g} \N{BLACK STAR}"]
        said += [] if event["days"] is None else [ago(event["days"])]
        label = shortened(event["title"], 32) + "\n" + "   ".join(said)
        node, kind = ("event", place), "liked" if event["liked"] else "not liked"
        graph.add_node(node, kind=kind, at=(LEFT, place), label=label.strip(), share=event["share"])
        for name in ("you", *why.values):
            if event[name] > 0:
                graph.add_edge(node, "you" if name == "you" else ("value", name), weight=event[name])
    return graph


def shortened(title: str, most: int) -> str:
    """A title of at most `most` characters."""
    return textwrap.shorten(title, most, placeholder="...")


def spread(number: int, top: float, bottom: float) -> list[float]:
    """Places at equal distances from the top to the bottom. A single place is between them."""
    return np.linspace(top, bottom, number).tolist() if number > 1 else [(top + bottom) / 2][:number]


def picture(why: Why, number: int) -> Figure:
    """Draws the graph: past events on the left, the user and values in the middle, the recommendation on the right."""
    graph = graph_of(why, number)
    kinds, places = nx.get_node_attributes(graph, "kind"), nx.get_node_attributes(graph, "at")
    shown = why.events.head(number)
    figure = Figure(figsize=(13, 1.9 + 0.72 * max(4, len(shown), 1.7 * (1 + len(why.values)))))
    axes = figure.add_axes((0.02, 0.09, 0.96, 0.73))
    to_target = [edge for edge in graph.edges if edge[1] == "target"]
    from_events = [edge for edge in graph.edges if edge[1] != "target"]
    # Each column of edges has its own scale, because a target has few in-neighbours and the user has many.
    for edges in (from_events, to_target):
        weights = np.array([graph.edges[edge]["weight"] for edge in edges])
        widths = THICKEST * weights / weights.max(initial=1e-9)
        colours = [COLOURS[kinds[edge[0]]] for edge in edges]
        nx.draw_networkx_edges(
            graph, places, edgelist=edges, width=widths, edge_color=colours, alpha=0.55, arrows=False, ax=axes
        )
    sizes = {"you": 2600, "value": 1500, "target": 3200}
    nx.draw_networkx_nodes(
        graph,
        places,
        node_color=[COLOURS[kinds[node]] for node in graph],
        node_size=[sizes.get(kinds[node], 420) for node in graph],
        edgecolors="white",
        linewidths=2,
        ax=axes,
    )
    for node, place in places.items():
        write(axes, graph.nodes[node], place)
    axes.set_xlim(LEFT - 0.74, RIGHT + 0.46)
    axes.set_ylim(-0.08, 1.06)
    axes.axis("off")
    quoted = f"\N{LEFT DOUBLE QUOTATION MARK}{shortened(why.title, 50)}\N{RIGHT DOUBLE QUOTATION MARK}"
    figure.text(0.02, 0.98, f"Why {quoted} for {why.user}?", fontsize=19, fontweight="bold", va="top")
    about = (
        f"It will be liked with a chance of {why.chance:.0%}. The thicker a line, the more attention the model pays.\n"
        f"The {len(shown)} of {len(why.events)} past events with the most get {shown['share'].sum():.0%} of it."
    )
    figure.text(0.02, 0.905, about, fontsize=12, color="#444444", va="top", linespacing=1.5)
    said = {"liked": "what you liked", "not liked": "what you did not like", "you": "you"}
    said |= {"value": why.feature, "target": "what is recommended"}
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=11, color=COLOURS[kind], label=said[kind])
        for kind in COLOURS
        if kind in kinds.values()
    ]
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.005), ncols=5, frameon=False, fontsize=11.5
    )
    return figure


def write(axes: Axes, node: Mapping, place: tuple[float, float]) -> None:
    """Writes the label of a node: left of an event, right of the target, below the others."""
    bold: dict = {"fontweight": "bold", "textcoords": "offset points"}
    if node["kind"] == "target":
        axes.annotate(node["label"], place, (38, 0), ha="left", va="center", fontsize=13, **bold)
    elif node["kind"] in ("you", "value"):
        below = (0, -40 if node["kind"] == "you" else -31)
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        axes.annotate(node["label"], place, below, ha="center", va="top", fontsize=12, bbox=box, **bold)
    else:
        axes.annotate(f"{node['share']:.0%}", place, (-16, 0), ha="right", va="center", fontsize=14, **bold)
        axes.annotate(node["label"], place, (-64, 0), textcoords="offset points", ha="right", va="center", fontsize=11)


if __name__ == "__main__":
    matplotlib.use("Agg")
    main()
