"""A run: a trained recommender with the data it was trained on, its config, metrics and history."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from zoo.cold_start import NEIGHBORS, Neighbors, NewUser, check_usable, read_records
from zoo.config import Config, EvaluateConfig, changed
from zoo.data.dataset import PARTS, Dataset, Part
from zoo.errors import UserError
from zoo.evaluation.evaluation import Evaluation, EvaluationJson, Margin
from zoo.evaluation.interval import Interval, Resampling
from zoo.evaluation.popularity import BASELINE, margin_over_popularity
from zoo.evaluation.protocols import PROTOCOLS, default_protocol, evaluate, is_headline
from zoo.families import Recommender
from zoo.files import check_run, describe_files, parsing, published_folder, read_json, read_manifest
from zoo.locks import locked
from zoo.saving import RECIPE, read_dataset, read_recommender, write_recommender
from zoo.schema import PADDING, UNKNOWN, Vocabulary
from zoo.training.advice import advised

MANIFEST = "run.json"
FORMAT = 2

# A raw user id, or what is known of a user that training never saw.
User: TypeAlias = object


@dataclasses.dataclass(repr=False)
class Run:
    """A trained recommender with its data, settings and metrics, as training gives it.

    Its `str` is a table of its metrics.

    Args:
        model: The trained recommender.
        dataset: The prepared data.
        config: All settings.
        history: Loss, validation metrics and seconds of every epoch.
        metrics: Metrics by protocol, as `Evaluation.to_json` gives them.
        folder: The folder that it was saved to, if it was.
    """

    model: Recommender
    dataset: Dataset
    config: Config
    history: list[dict[str, float]]
    metrics: dict[str, EvaluationJson] = dataclasses.field(default_factory=dict)
    folder: Path | None = None

    def __repr__(self) -> str:
        headlines = [
            f"{key} {name} {interval['mean']:.4f}"
            for key, evaluation in self.metrics.items()
            for name, interval in evaluation["metrics"].items()
            if is_headline(evaluation["protocol"], name)
        ]
        return f"<{self._title}: {', '.join(headlines) or 'not evaluated'}>"

    def __str__(self) -> str:
        return "\n".join([self._title, *(str(_read_evaluation(value)) for value in self.metrics.values())])

    @property
    def _title(self) -> str:
        place = f", saved to {self.folder}" if self.folder else ""
        return f"Run of {self.config.model} on {self.dataset.name}{place}"

    def evaluate(self, protocol: str | None = None, part: Part = "test", **settings: object) -> Evaluation:
        """Evaluates the model on a held-out part, and compares it with popularity.

        Args:
            protocol: A named protocol; by default the one the run was configured with.
            part: `"valid"` or `"test"`.
            **settings: Settings of `evaluate` for this time, e.g. `ks=(5, 20)` or `negatives={"number": 50}`.

        Returns:
            An `Evaluation`. Its metrics are kept in `metrics` too.

        Raises:
            UserError: If a name or a setting is wrong, or the protocol does not fit the data.
        """
        chosen = changed(self.config.evaluate, settings, "evaluate")
        name = protocol or chosen.protocol or default_protocol(self.model, self.config, self.dataset, part)
        prepared = PROTOCOLS[name].prepared(self.dataset, part, chosen.negatives)
        evaluation = evaluate(self.model, prepared, name, part, chosen.ks, chosen.resamples)
        if self.model.architecture != BASELINE:
            evaluation = self._beside_popularity(evaluation, prepared, part, chosen)
        self.metrics[f"{name}/{part}"] = evaluation.to_json()
        return evaluation

    def _beside_popularity(
        self, evaluation: Evaluation, prepared: Dataset, part: Part, settings: EvaluateConfig
    ) -> Evaluation:
        resampling = Resampling(resamples=settings.resamples, level=0.95, seed=0)
        margin = margin_over_popularity(evaluation, prepared, part, settings.ks, resampling)
        if margin is None:
            return evaluation
        return dataclasses.replace(evaluation, margin=advised(margin, self.config, self.history))

    def recommend(
        self,
        users: Iterable[User],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Iterable[object] = (),
        candidates: Iterable[object] | None = None,
        neighbors: int = NEIGHBORS,
    ) -> pd.DataFrame:
        """The best items for users, by all that is known of them.

        A user that training never saw can be given as a feature record, a mapping of any of these:

        - the user features of the data as its columns name them, with raw values; a multi-valued category is a list;
        - `"history"`: raw ids of the items seen, most recent last, and with them `"history_rating"`, the raw rating of
          each (by default the best there is), and `"history_age"`, the seconds since each (by default what is usual in
          training; only where the data has timestamps);
        - `"user"`: an id for the result.

        A value that is left out or `None` is unknown, and so are a category and an item that training never saw. If the
        architecture reads any of it, the model is asked about an unknown user with these features. If it reads none
        of it (`mf` given an age), the answer is the mean of the scores of the known users most alike in the features
        given, weighted by their cosine similarity. Where no user is alike, it is the answer to an unknown user.

        Args:
            users: Raw user ids and feature records, in any order. An unknown id is legal, and gets the answer to an
                unknown user.
            k: The number of items a user, at most the size of the catalogue.
            exclude_seen: Whether items that a user has seen are left out.
            exclude: Raw ids of items to leave out for everybody.
            candidates: Raw ids of the items to choose from, by default the whole catalogue.
            neighbors: How many known users at most stand in for a user of whom the architecture reads nothing.

        Returns:
            A frame with `user`, `rank`, `item`, `score`, `title` and `known`, up to `k` rows a user. `user` is the id
            given; a record without an id is called `"record 1"`, `"record 2"` and so on, counting the records of the
            call. `known` says whether training saw the user; a warning counts the ids that it did not see.

        Raises:
            UserError: If `users`, `exclude` or `candidates` is no list of ids (a frame, a matrix, a single id) or has a
                missing id; if `k` is out of range; if an item is unknown; or if a record has an unknown key, a value of
                another kind than its feature, or nothing that could be used.

        Example:

        ```python
        run.recommend(users=[1, {"age": 34, "occupation": "artist"}], k=3)
        ```
        """
        _check_neighbors(neighbors)
        asked = self._asked(users)
        query, seen = self._known_of(asked)
        left_out = self._for_each(asked, exclude, "exclude")
        if exclude_seen:
            left_out = np.concatenate([left_out, seen], axis=1)
        chosen = None if candidates is None else self._candidates_of(asked, candidates)
        items, scores = self.model.recommend(query, k, exclude=left_out, candidates=chosen)
        unread = {row: user for row, user in _new_users(asked).items() if not user.is_read_by(self.model)}
        if unread:
            alike = Neighbors(self.model, self.dataset, neighbors)
            for row, user in unread.items():
                found = alike.recommend(user, k, left_out[row], None if chosen is None else chosen[row])
                if found is not None:
                    items[row], scores[row] = found
        return self._frame(asked, items, scores)

    def _frame(self, asked: list[User], items: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
        """The recommendations, a row an item."""
        there = items != PADDING
        rows, ranks = np.nonzero(there)
        names = [user.name if isinstance(user, NewUser) else user for user in asked]
        known = np.array(
            [not isinstance(user, NewUser) and user in self.dataset.vocabularies["user"] for user in asked]
        )
        return pd.DataFrame(
            {
                "user": [names[row] for row in rows],
                "rank": ranks + 1,
                "item": self.dataset.vocabularies["item"].lookup(items[there]),
                "score": scores[there],
                "title": self.dataset.titles[items[there]],
                "known": known[rows],
            }
        )

    def _asked(self, users: Iterable[User]) -> list[User]:
        """Raw user ids as they were given, and a `NewUser` for each feature record."""
        asked = _listed(users, "users")
        if not asked:
            raise UserError(f"users: {users!r} has no users. Expected a list of at least one user.")
        _check_ids(asked, "users", allowed=Mapping)
        records = [user for user in asked if isinstance(user, Mapping)]
        in_turn = iter(read_records(records, self.dataset))
        made = [next(in_turn) if isinstance(user, Mapping) else user for user in asked]
        _warn_of_unknown([user for user in asked if not isinstance(user, Mapping)], self.dataset.vocabularies["user"])
        for user in _new_users(made).values():
            check_usable(user, self.model, self.dataset)
        return made

    def _known_of(self, asked: list[User]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The query tensors of users, and the indices of the items that each has seen, padded."""
        new = _new_users(asked)
        indices = np.full(len(asked), UNKNOWN, np.int32)
        rows = [row for row in range(len(asked)) if row not in new]
        indices[rows] = self.dataset.vocabularies["user"].index(asked[row] for row in rows)
        query = self.dataset.queries(self.model.query_names, indices, *PARTS)
        seen, _ = self.dataset.sequences(*PARTS).padded(indices)
        longest = max((len(user.seen) for user in new.values()), default=0)
        seen = np.pad(seen, [(0, 0), (0, max(0, longest - seen.shape[1]))])
        for row, user in new.items():
            seen[row, : len(user.seen)] = user.seen
            for name in query.keys() & user.inputs.keys():
                query[name][row] = user.inputs[name]
        return query, seen

    def _candidates_of(self, asked: list[User], candidates: Iterable[object]) -> np.ndarray:
        """The indices of the candidates for every user, `[num_users, num_candidates]`."""
        raw = _listed(candidates, "candidates")
        if not raw:
            raise UserError(
                "candidates is empty, so there is nothing to choose from. "
                "Leave it out to choose from the whole catalogue."
            )
        return self._for_each(asked, raw, "candidates")

    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Writes the run into a folder, which appears whole or not at all.

        Args:
            folder: The folder to write.
            overwrite: Whether an existing folder may be replaced.

        Returns:
            The folder.
        """
        out = Path(folder)
        with locked(out) as place, published_folder(place, overwrite, MANIFEST) as unfinished:
            self.write(unfinished)
        self.folder = out
        return out

    def write(self, folder: Path) -> None:
        """Writes the files of the run into an existing folder. `run.json`, which makes it a run, is the last."""
        (folder / "data").mkdir(exist_ok=True)
        self.dataset.save(folder / "data")
        write_recommender(self.model, folder)
        _write_json(folder / "config.json", self.config.model_dump(mode="json"))
        _write_json(folder / "metrics.json", self.metrics)
        pd.DataFrame(self.history).to_csv(folder / "history.csv", index_label="epoch")
        _write_json(folder / MANIFEST, {"format": FORMAT, "files": describe_files(folder, but=MANIFEST)})

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """The run in a folder.

        Raises:
            UserError: If the folder holds no run, or a file of it is missing, truncated or edited.
        """
        path = Path(folder)
        check_run(path)
        read_manifest(path, MANIFEST, "run", FORMAT, keys=())
        model, dataset = read_recommender(path), read_dataset(path / "data")
        with parsing(path / RECIPE, "the recipe of a model of this data"):
            if model.schema.to_json() != dataset.schema.to_json():
                raise UserError("The schema of the model is not that of the data. Train anew.")
        with parsing(path / "config.json", "the settings of a run"):
            config = Config.model_validate(read_json(path / "config.json", "run"))
        with parsing(path / "history.csv", "the history of a training"):
            history = pd.read_csv(path / "history.csv", index_col="epoch").to_dict("records")
        with parsing(path / "metrics.json", "the metrics of a run"):
            metrics = read_json(path / "metrics.json", "run")
            for evaluation in metrics.values():
                str(_read_evaluation(evaluation))
        return cls(model, dataset, config, history, metrics, path)  # type: ignore[arg-type]

    def _for_each(self, asked: list[User], raw: Iterable[object], what: str) -> np.ndarray:
        """The indices of the same items for every user, `[num_users, num_items]`."""
        vocabulary, ids = self.dataset.vocabularies["item"], _listed(raw, what)
        _check_ids(ids, what)
        unknown = [item for item in ids if item not in vocabulary]
        if unknown:
            raise UserError(f"{what}: {unknown[0]!r} is not an item of the catalogue. Name items that are.")
        return np.tile(vocabulary.index(ids or [vocabulary.padding_value]), (len(asked), 1))


def _new_users(asked: list[User]) -> dict[int, NewUser]:
    """The users that were given as records, by their places."""
    return {row: user for row, user in enumerate(asked) if isinstance(user, NewUser)}


def _warn_of_unknown(ids: list[object], known: Vocabulary) -> None:
    unknown = [user for user in ids if user not in known]
    if unknown:
        counted = f"{len(unknown)} of {len(ids)} users are unknown, e.g. {unknown[0]!r}"
        warnings.warn(f"{counted}. They get the answer to an unknown user.", stacklevel=4)


def _check_neighbors(neighbors: int) -> None:
    if isinstance(neighbors, bool) or not isinstance(neighbors, int | np.integer) or neighbors < 1:
        raise UserError(f"neighbors must be an integer of at least 1. Received: {neighbors!r}.")


def _listed(values: Iterable[object], what: str) -> list[object]:
    # Whatever else can be iterated gives something that nobody asked about, such as the names of a frame's columns.
    dimensions = 2 if hasattr(values, "columns") else getattr(values, "ndim", 1)
    if dimensions != 1:
        raise UserError(
            f"{what}: a {type(values).__name__} of {dimensions} dimensions is no list. "
            "Expected a list of single values: give one column, for example frame['user']."
        )
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise UserError(f"{what}: {values!r} is no list. Expected a list, for example [{values!r}].")
    return list(values)


def _check_ids(values: list[object], what: str, allowed: type | tuple[type, ...] = ()) -> None:
    """Refuses whatever is no id, or else of an allowed type."""
    for place, value in enumerate(values, start=1):
        if not isinstance(value, allowed) and not _is_id(value):
            raise UserError(f"{what}: {value!r}, at place {place}, is no id. Give a text or a number, or leave it out.")


def _is_id(value: object) -> bool:
    """Whether a value can be a raw id: a text, a number, or another single value such as a UUID."""
    if isinstance(value, str):
        return True
    if isinstance(value, bool | np.bool_ | bytes | Iterable):
        return False
    # NaN and NaT differ from themselves. NA gives no answer to that.
    return value is not None and value is not pd.NA and value == value


def _read_evaluation(described: EvaluationJson) -> Evaluation:
    """The intervals of an evaluation that was noted in a run."""
    metrics, without = (
        {name: Interval(**interval) for name, interval in described[kind].items()}
        for kind in ("metrics", "without_context")
    )
    users = np.empty(0, np.int32)
    return Evaluation(
        described["protocol"],
        described["about"],
        metrics,
        users,
        without_context=without,
        margin=Margin.of(described),
    )


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
