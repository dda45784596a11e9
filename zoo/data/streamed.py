"""Training data larger than memory: interactions in files, and a dataset that trains from them."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zoo.arrays import load_arrays, save_arrays
from zoo.data.dataset import STREAM, Dataset, Fields
from zoo.errors import UserError

# A training interaction as it is in a file.
FIELDS = ("user", "item", "label")
ROW = np.dtype(list(zip(FIELDS, ("<i4", "<i4", "<f4"), strict=True)))

# Interactions of a shard, on average.
SHARD_ROWS = 2**19

# Shards that are in memory and shuffled together.
WINDOW = 4

FOLDER = "shards"


class Shards:
    """Interactions in files, each of which has a random share of all of them.

    Args:
        folder: Where the files are.
        counts: `[num_shards]` the interactions of each.
    """

    def __init__(self, folder: Path, counts: np.ndarray) -> None:
        self.folder, self.counts = folder, counts

    @classmethod
    def temporary(cls, folder: Path | None, number: int) -> Shards:
        """Empty shards in a new folder, which goes when the shards are forgotten or the process ends.

        Args:
            folder: Where the new folder is made; by default where temporary files go.
            number: How many shards.
        """
        shards = cls(Path(tempfile.mkdtemp(prefix=".zoo-stream-", dir=folder)), np.zeros(number, np.int64))
        weakref.finalize(shards, shutil.rmtree, shards.folder, ignore_errors=True)
        return shards

    def remove(self) -> None:
        """Deletes the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def deal(self, rows: np.ndarray, rng: np.random.Generator) -> None:
        """Adds interactions, each to a shard drawn at random."""
        shard = rng.integers(len(self.counts), size=len(rows))
        rows = rows[np.argsort(shard, kind="stable")]
        counts = np.bincount(shard, minlength=len(self.counts))
        for number, some in enumerate(np.split(rows, np.cumsum(counts)[:-1])):
            # They are opened one by one, because there may be more than a process may open.
            with self._path(number).open("ab") as file:
                file.write(some.tobytes())
        self.counts += counts

    def batches(self, seed: list[int], size: int, positives: bool = False) -> Iterator[np.ndarray]:
        """All interactions once, in a random order.

        The shards come in a random order, and some of them at a time are shuffled together.

        Args:
            seed: What the order depends on.
            size: Interactions of a batch.
            positives: Whether to leave out interactions with a label of 0 or less.

        Yields:
            `[size]` arrays of `ROW`; the last one may be shorter.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.counts))
        left = np.empty(0, ROW)
        for start in range(0, len(order), WINDOW):
            rows = np.concatenate([self._read(number) for number in order[start : start + WINDOW]])
            if positives:
                rows = rows[rows["label"] > 0]
            rows = np.concatenate([left, rows[rng.permutation(len(rows))]])
            whole = len(rows) // size * size
            for first in range(0, whole, size):
                yield rows[first : first + size]
            left = rows[whole:]
        if len(left):
            yield left

    def check(self) -> None:
        """Raises a `UserError` if a file is missing or has another size than it should."""
        for number, count in enumerate(self.counts):
            path = self._path(number)
            if not path.exists():
                raise UserError(f"{path}: is gone. A run does not keep what it was trained on; load the data anew.")
            if path.stat().st_size != count * ROW.itemsize:
                raise UserError(f"{path}: has not the size that it was written with. Load the data anew.")

    def linked_in(self, folder: Path) -> Shards:
        """The same shards in another folder, as links where the file system has them, else as copies."""
        folder.mkdir()
        for number in range(len(self.counts)):
            source, target = self._path(number), folder / self._path(number).name
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)
        return Shards(folder, self.counts)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.rows"

    def _read(self, number: int) -> np.ndarray:
        return np.fromfile(self._path(number), ROW)


@dataclasses.dataclass(repr=False)
class StreamedDataset(Dataset):
    """A dataset whose training interactions are in files.

    `interactions` has only the users by whom a model is evaluated, with all that they did. Their training
    interactions are in the files too. Nothing is known of all others once a model is trained, so `recommend`
    takes none of their items for seen.

    Args:
        shards: The training interactions.
        item_counts: `[num_item_rows]` training interactions of every item.
        positive_counts: `[num_item_rows]` those of them with a label above 0.
        binary: Whether the labels of all interactions are zeros and ones, both present.
    """

    shards: Shards = dataclasses.field(kw_only=True)
    item_counts: np.ndarray = dataclasses.field(kw_only=True)
    positive_counts: np.ndarray = dataclasses.field(kw_only=True)
    binary: bool = dataclasses.field(kw_only=True)

    @property
    def has_binary_labels(self) -> bool:
        """Whether the labels are zeros and ones, both present."""
        return self.binary

    @property
    def label_scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the training labels."""
        return self.schema["label"].mean, self.schema["label"].std

    @property
    def popularity(self) -> np.ndarray:
        """How often each item has a label above 0 in the training part, which is in files."""
        return self.positive_counts

    def save(self, folder: Path) -> None:
        """Writes the dataset into an existing folder, without the training interactions."""
        super().save(folder)
        counts = {"items": self.item_counts, "positives": self.positive_counts, "shards": self.shards.counts}
        save_arrays(folder / STREAM, {**counts, "binary": np.array(self.binary)})

    def save_for_training(self, folder: Path) -> Dataset:
        """Writes the dataset with its training interactions."""
        self.save(folder)
        return dataclasses.replace(self, shards=self.shards.linked_in(folder / FOLDER))

    @classmethod
    def fields_of(cls, folder: Path) -> Fields:
        """The arguments of the dataset that `save` wrote into a folder."""
        arrays = load_arrays(folder / STREAM)
        return {
            **super().fields_of(folder),
            "shards": Shards(folder / FOLDER, arrays["shards"]),
            "item_counts": arrays["items"],
            "positive_counts": arrays["positives"],
            "binary": bool(arrays["binary"]),
        }
