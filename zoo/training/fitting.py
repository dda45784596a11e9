"""From a prepared dataset and settings to a model, which is solved or trained, and refit if that is asked for."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import scipy.sparse
import scipy.sparse.linalg

from zoo.config import Config
from zoo.data.dataset import Dataset, Part
from zoo.data.prompt_texts import prompt_texts
from zoo.errors import UserError, unknown_name
from zoo.evaluation.bootstrap import check_resamples
from zoo.evaluation.metrics import LOSS
from zoo.evaluation.protocols import PROTOCOLS, Protocol, default_protocol
from zoo.families import Recommender, check_finite
from zoo.objectives import make_objective
from zoo.registry import build, spec
from zoo.training.checkpoints import REFIT_CHECKPOINT
from zoo.training.derived import fit_batch_size, fit_to_catalogue, noted, validated_users
from zoo.training.loop import Trainer
from zoo.training.progress import ProgressBar
from zoo.training.refit import check_refit, noted_refit, with_valid_in_train

# The folder of what TensorBoard shows, in that of the run.
LOGS = "logs"


class Fitted(NamedTuple):
    """What training gives: the model, the data with all notes, and loss, metrics and seconds of every epoch."""

    model: Recommender
    dataset: Dataset
    history: list[dict[str, float]]


class _Validation(NamedTuple):
    """A function that gives the validation metrics, the name of the one to watch, and notes."""

    validate: Callable[[], dict[str, float]]
    monitor: str
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Fitting:
    """How a model is fitted to data.

    Args:
        config: All settings. Those of a preset are changed to what fits the data.
        given: The settings that the user has given, by dotted name.
        start: Sets the weights that a model starts from, on its data.
        folder: Where checkpoints and logs go; without one there are none.
        progress: Whether to show a progress bar.
        callbacks: Further Keras callbacks.
    """

    config: Config
    given: Collection[str]
    start: Callable[[Recommender, Dataset], None]
    folder: Path | None = None
    progress: bool = True
    callbacks: Sequence[keras.callbacks.Callback] = ()

    def fit(self, dataset: Dataset) -> Fitted:
        """Fits the model. Raises a `UserError` if a setting is wrong, or a weight is not finite in the end."""
        if self.config.split.refit:
            check_refit(dataset)
        known = spec(self.config.model)
        notes = fit_to_catalogue(self.config, self.given, known.objective and self._objective, dataset.num_items)
        dataset = noted(dataset, *notes)
        fitted = self._solved(dataset) if known.solver else self._trained(dataset)
        check_finite(fitted.model)
        return fitted._replace(model=self._exact(fitted.model, dataset))

    @property
    def _objective(self) -> str:
        return self.config.train.objective or spec(self.config.model).objective

    def _solved(self, dataset: Dataset) -> Fitted:
        if self.config.train.objective or self.config.train.options:
            raise UserError(
                f"{self.config.model!r} is solved in closed form, so train.objective and train.options have no effect. "
                "Leave them out."
            )
        if self.config.split.refit:
            dataset = noted(with_valid_in_train(dataset), "Refit: solved on train and valid (split.refit).")
        model = self._built(dataset)
        self._check_ks(model, dataset)
        assert model.solver is not None
        started = time.perf_counter()
        try:
            model.solver(interaction_matrix(dataset, positive_only=False))
        except (ArithmeticError, np.linalg.LinAlgError, scipy.sparse.linalg.ArpackError) as error:
            raise UserError(
                f"The closed form of {self.config.model!r} has no solution that a computer can find ({error}) with the "
                f"hparams {self.config.hparams}. Choose them nearer to their defaults."
            ) from error
        return Fitted(model, noted(dataset, *model.notes), [{"seconds": time.perf_counter() - started}])

    def _trained(self, dataset: Dataset) -> Fitted:
        model = self._built(dataset)
        self._check_ks(model, dataset)
        self.start(model, dataset)
        objective = make_objective(self._objective, model, dataset, self.config.train.options)
        notes = fit_batch_size(self.config, self.given, objective.num_examples, objective.events_of_window)
        validation = self._validation(model, dataset)
        dataset = noted(dataset, *notes, *validation.notes)
        trainer = Trainer(
            model,
            objective,
            self.config.train,
            validation.validate,
            validation.monitor,
            self.folder,
            self._shown(self.config.model, validation.monitor),
        )
        trainer.resume()
        found = trainer.fit()
        if not self.config.split.refit:
            return Fitted(model, dataset, found.history)
        note = noted_refit(found.best_epoch, found.epoch, validation.monitor, found.best or 0.0)
        # The second training needs the memory of the first one.
        del trainer, objective, model, validation
        return self._refitted(noted(with_valid_in_train(dataset), note), found.best_epoch, found.history)

    def _refitted(self, dataset: Dataset, epochs: int, history: list[dict[str, float]]) -> Fitted:
        """The model trained anew for so many epochs, on data whose validation part is trained on too."""
        model = self._built(dataset)
        self.start(model, dataset)
        objective = make_objective(self._objective, model, dataset, self.config.train.options)
        # The loss stops nothing: how long to train is known.
        settings = self.config.train.model_copy(update={"patience": None})
        shown = self._shown(f"{self.config.model}, refit", LOSS)
        trainer = Trainer(model, objective, settings, dict, LOSS, self.folder, shown, REFIT_CHECKPOINT)
        trainer.resume()
        again = trainer.fit(epochs).history
        return Fitted(model, dataset, [*history, *({**epoch, "refit": 1.0} for epoch in again)])

    def _built(self, dataset: Dataset) -> Recommender:
        """The model as it starts."""
        keras.utils.set_random_seed(self.config.train.seed)
        model = self._build(dataset, self.config.train.dtype_policy)
        model.adapt(
            items=dataset.items,
            interactions=lambda: interaction_matrix(dataset),
            ratings=lambda: rating_matrix(dataset),
            texts=lambda: prompt_texts(dataset),
        )
        return model

    def _build(self, dataset: Dataset, dtype_policy: str) -> Recommender:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype_policy)
        try:
            return build(self.config.model, dataset.schema, **self.config.hparams)
        finally:
            keras.config.set_dtype_policy(before)

    def _exact(self, model: Recommender, dataset: Dataset) -> Recommender:
        """The model that is evaluated, saved and exported: it computes in float32, as a caller expects."""
        if self.config.train.dtype_policy == "float32":
            return model
        exact = self._build(dataset, "float32")
        exact.set_weights(model.get_weights())
        return exact

    def _shown(self, title: str, monitor: str) -> list[keras.callbacks.Callback]:
        shown = [*self.callbacks]
        if self.progress:
            shown.append(ProgressBar(title, monitor))
        if self.folder:
            shown.append(keras.callbacks.TensorBoard(self.folder / LOGS, write_graph=False))
        return shown

    def _validation(self, model: Recommender, dataset: Dataset) -> _Validation:
        # Otherwise a fault of the test part would show only after training.
        for part in ("valid", "test"):
            self._check_fit(model, dataset, part)
        is_validated = not dataset.part("valid").empty
        protocol, ks = self._protocol(model, dataset, "valid"), self.config.evaluate.ks
        names = [LOSS, *(protocol.validation_names(ks) if is_validated else ())]
        monitor = self.config.train.monitor or (protocol.monitored_name(ks) if is_validated else LOSS)
        if monitor not in names:
            raise unknown_name("metric in train.monitor", monitor, names)
        if not is_validated:
            return _Validation(dict, monitor)
        asked, notes = validated_users(self._prepared(model, dataset, "valid"), protocol, model, self.config.train.seed)
        return _Validation(lambda: protocol.validate(model, asked, ks), monitor, notes)

    def _check_ks(self, model: Recommender, dataset: Dataset) -> None:
        protocol, prepared = self._protocol(model, dataset, "test"), self._prepared(model, dataset, "test")
        reason = protocol.misfit_of_ks(prepared, "test", self.config.evaluate.ks)
        if reason is not None:
            raise UserError(reason)
        check_resamples(dataset.part("test")["user"].nunique(), self.config.evaluate.resamples)

    def _check_fit(self, model: Recommender, dataset: Dataset, part: Part) -> None:
        if dataset.part(part).empty:
            return
        protocol, prepared = self._protocol(model, dataset, part), self._prepared(model, dataset, part)
        reason = protocol.misfit(model, prepared, part)
        if reason is not None:
            raise UserError(reason)

    def _protocol(self, model: Recommender, dataset: Dataset, part: Part) -> Protocol:
        return PROTOCOLS[self.config.evaluate.protocol or default_protocol(model, self.config, dataset, part)]

    def _prepared(self, model: Recommender, dataset: Dataset, part: Part) -> Dataset:
        return self._protocol(model, dataset, part).prepared(dataset, part, self.config.evaluate.negatives)


def interaction_matrix(dataset: Dataset, positive_only: bool = True) -> scipy.sparse.csr_matrix:
    """The training labels as a sparse `[num_users, num_items]` matrix.

    Args:
        dataset: The prepared data.
        positive_only: Whether to leave out labels of 0 and below. Otherwise zeros are stored too.
    """
    rows = dataset.part("train")
    if positive_only:
        rows = rows[rows["label"] > 0]
    return _label_matrix(rows, dataset)


def rating_matrix(dataset: Dataset) -> scipy.sparse.csr_matrix:
    """The training labels as they are, a user's last one of an item, as a sparse `[num_users, num_items]` matrix."""
    return _label_matrix(dataset.part("train").drop_duplicates(["user", "item"], keep="last"), dataset)


def _label_matrix(rows: pd.DataFrame, dataset: Dataset) -> scipy.sparse.csr_matrix:
    places = (rows["user"].to_numpy(), rows["item"].to_numpy())
    shape = (dataset.num_users, dataset.num_items)
    return scipy.sparse.csr_matrix((rows["label"].to_numpy(np.float32), places), shape=shape)
