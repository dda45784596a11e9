"""What an interrupted run is taken up from: its prepared data and settings, and checkpoints.

The data and the settings are written once, with a list of their checksums beside them. A checkpoint is all that
training needs to go on as if it had never been interrupted, in one file. That file is an archive, which has a checksum
of each array as it is.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UserError
from zoo.files import describe_files, read_manifest
from zoo.training.distribution import array_from_chief, is_chief

CHECKPOINT = "checkpoint.npz"
# The checkpoint of a training on train and valid, beside that of the training that chose the epoch.
REFIT_CHECKPOINT = "refit-checkpoint.npz"
# The checksums of what was prepared.
PREPARED = "prepared.json"
FORMAT = 1


@dataclasses.dataclass
class Progress:
    """How far training has come; all of it is in a checkpoint.

    Args:
        epoch: Epochs done.
        history: Loss, validation metrics and seconds of each.
        best: The best value of the monitored metric.
        best_epoch: The epoch it was reached in.
        stopped: Whether training ended early.
        unvalidated: Loss and seconds of an epoch that is trained and not yet validated.
    """

    epoch: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    stopped: bool = False
    unvalidated: dict[str, float] | None = None


def write_prepared(folder: Path) -> None:
    """Notes the checksums of all files in a folder, which makes it one that can be taken up."""
    described = {"format": FORMAT, "files": describe_files(folder, but=PREPARED)}
    (folder / PREPARED).write_text(json.dumps(described), encoding="utf-8")


def has_checkpoint(folder: Path) -> bool:
    """Whether an epoch of an interrupted run is kept."""
    return (folder / CHECKPOINT).exists() or (folder / REFIT_CHECKPOINT).exists()


def can_be_taken_up(folder: Path) -> bool:
    """Whether a folder is that of an interrupted run whose data was prepared.

    Raises:
        UserError: If what was prepared is damaged.
    """
    if not (folder / PREPARED).exists() and not has_checkpoint(folder):
        return False
    try:
        read_manifest(folder, PREPARED, "run that was interrupted", FORMAT, keys=())
    except UserError as error:
        raise UserError(f"{error} The interrupted run cannot be taken up. Start anew with --overwrite.") from error
    return True


def write_checkpoint(
    path: Path, progress: Progress, variables: Sequence[keras.Variable | tf.Variable], best: Sequence[np.ndarray]
) -> None:
    """Writes a checkpoint, which takes the place of the one before it only once it is whole.

    Args:
        path: Its file.
        progress: How far training has come.
        variables: Weights, and what the optimizer keeps of them.
        best: The weights of the best epoch.
    """
    unfinished = path.with_name(f"unfinished-{path.name}")
    # One array at a time, because all of them together may be larger than what memory is left.
    with zipfile.ZipFile(unfinished, "w") as archive:
        for name, array in _arrays(progress, variables, best):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    os.replace(unfinished, path)


def _arrays(
    progress: Progress, variables: Sequence[keras.Variable | tf.Variable], best: Sequence[np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    yield "progress", np.array(json.dumps(dataclasses.asdict(progress)))
    for index, variable in enumerate(variables):
        yield f"variable/{index}", np.asarray(variable)
    for index, weight in enumerate(best):
        yield f"best/{index}", weight


def array_like(arrays: Mapping[str, np.ndarray], name: str, like: keras.Variable | tf.Variable) -> np.ndarray:
    """An array of the chief's checkpoint, of the shape of a variable. Raises a `ValueError` for another shape."""
    array = arrays[name] if is_chief() else np.zeros(like.shape, tf.as_dtype(like.dtype).as_numpy_dtype)
    if array.shape != tuple(like.shape):
        raise ValueError(f"{name} has the shape {array.shape}, expected {tuple(like.shape)}")
    return array_from_chief(array)
