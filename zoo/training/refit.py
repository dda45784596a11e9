"""Training anew on the training and the validation part, once the validation part has told the best epoch."""

from __future__ import annotations

import dataclasses

from zoo.data.dataset import Dataset
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError


def check_refit(dataset: Dataset) -> None:
    """Raises a `UserError` unless there is a validation part to add to training."""
    if isinstance(dataset, StreamedDataset):
        raise UserError(
            "split.refit=true does not go with a stream, whose validation part is only a sample. Leave it out."
        )
    if dataset.part("valid").empty:
        raise UserError(
            f"split.refit=true adds the validation part to training, and {dataset.name} has none. "
            "Choose a split that holds one out, or leave split.refit out."
        )


def with_valid_in_train(dataset: Dataset) -> Dataset:
    """The dataset whose validation part is trained on too.

    What is known of users who were held out for validation becomes training data with it. What is known of those held
    out for testing stays only a query.
    """
    rows = dataset.interactions
    parts, users = rows["part"], rows["user"]
    held_out = set(users[parts == "valid"]) - set(users[parts.isin(["train", "test"])])
    is_trained = (parts == "valid") | ((parts == "query") & users.isin(held_out))
    return dataclasses.replace(dataset, interactions=rows.assign(part=parts.mask(is_trained, "train")))


def noted_refit(epochs: int, of: int, monitor: str, best: float) -> str:
    """The note of a run that was trained anew."""
    return (
        f"Refit: epoch {epochs} of {of} was the best on the valid part ({monitor} {best:.4f}), so the model was "
        f"trained anew on train and valid for {epochs} epochs (split.refit)."
    )
