"""New, changed and withdrawn items in a bundle, without training anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from export.bundle.bundle import Bundle, open_bundle
from export.bundle.catalogue import RawIds, load_trained, raw_ids, read_items, with_items
from export.bundle.manifest import NAME, Manifest, RunFacts
from export.bundle.publishing import publish_bundle
from export.bundle.signing import read_private_key
from export.values import Values
from export.verification.check import Report
from export.verification.reference import load_sample
from zoo.cold_start.growing import with_catalogue
from zoo.data.reading import Source
from zoo.errors import UserError
from zoo.families import check_k
from zoo.files import check_free
from zoo.locks import locked
from zoo.schema import FIRST_KNOWN, Vocabulary

if TYPE_CHECKING:
    pass


@dataclasses.dataclass(frozen=True)
class Changes:
    """What became of the items of a bundle, as raw ids.

    Args:
        new: Items that the bundle did not know.
        changed: Items with another title or other features.
        withdrawn: Items that are no longer recommended.
        returned: Items that had been withdrawn.
        unchanged: Items that are as they were.
    """

    new: RawIds
    changed: RawIds
    withdrawn: RawIds
    returned: RawIds
    unchanged: RawIds

    @property
    def counts(self) -> dict[str, int]:
        """How many items there are of each sort."""
        return {field.name: len(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return any((self.new, self.changed, self.withdrawn, self.returned))

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in self.counts.items())


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """What `refresh` gives.

    Args:
        bundle: The new bundle. It is the former one where nothing changed.
        changes: What became of the items.
    """

    bundle: Bundle
    changes: Changes


def refresh(
    bundle: Bundle | str | Path,
    items: Source,
    out: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    k: int | None = None,
    overwrite: bool = False,
    sign: str | Path | None = None,
    report: Report = lambda check: None,
) -> Refreshed:
    """Puts another catalogue into a bundle, verifies it again and publishes it as the next version.

    No weight is trained. An item that the catalogue no longer has stays known, so that histories with it still say
    something of their users, and is not recommended until it comes back. A new item is encoded by what was fitted in
    training: it has an unknown id and its own features. Only an architecture whose item tower reads features takes
    new items.

    Args:
        bundle: The bundle, or its folder.
        items: The whole new catalogue, a file or frame of the columns that the table of items had in training; or the
            YAML file of data that the run was trained on, whose table of items and names for columns are then taken.
        out: Where the new bundle goes. By default it takes the place of the old one, in one step.
        columns: Names for columns, name in the file to name here, e.g. `{"sku": "item"}`.
        k: How many items `recommend` gives. By default it is as many as before.
        overwrite: Whether a bundle at `out` may be replaced.
        sign: The PEM file of the Ed25519 key to sign the new bundle with. The signature of the old one is not its own.
        report: Called with each check of the verification as it is done.

    Returns:
        A `Refreshed`. Where nothing changed, nothing is published.

    Raises:
        UserError: If the bundle or the catalogue cannot be used, fewer items than `k` are left to recommend, or
            there are new items and the architecture knows items only by their ids. Nothing changes then.
        ZooError: If an artefact disagrees with the refreshed model. Nothing is published then.

    Example:

    ```python
    refreshed = export.refresh("bundles/shop", "items.parquet")
    print(refreshed.changes)  # 3 new, 1 changed, 2 withdrawn, 0 returned, 96 unchanged
    ```
    """
    key = None if sign is None else read_private_key(Path(sign))
    folder = Path(bundle.folder if isinstance(bundle, Bundle) else bundle)
    with locked(folder if out is None else Path(out)) as target:
        # The bundle is read under the lock, because another process may have refreshed it just now.
        opened = open_bundle(folder)
        check_free(target, overwrite or out is None, NAME)
        publish = partial(publish_bundle, target, overwrite=overwrite or out is None, key=key, report=report)
        return _published(opened, items, columns or {}, k, publish)


def _published(
    opened: Bundle, items: Source, columns: Mapping[str, str], k: int | None, publish: Callable[..., Bundle]
) -> Refreshed:
    model, dataset = load_trained(opened.folder)
    table = read_items(items, columns)
    raw = raw_ids(table, dataset.vocabularies["item"])
    dataset, is_other = with_items(model, dataset, table, raw)

    item = dataset.vocabularies["item"]
    withdrawn = np.setdiff1d(np.arange(FIRST_KNOWN, item.size), item.index(raw))
    changes = _changes(raw, is_other, model.num_items, item, withdrawn, item.index(opened.manifest["withdrawn"]))
    k = opened.manifest["k"] if k is None else k
    _check_k(k, item, len(raw), table.name)
    if not changes:
        return Refreshed(opened, changes)
    published = publish(
        with_catalogue(model, dataset),
        dataset,
        _without(load_sample(opened.folder), item.lookup(withdrawn), item),
        dataclasses.replace(opened.options, k=k),
        opened.manifest["metrics"],
        facts=_run_facts(opened.manifest),
        withdrawn=withdrawn.tolist(),
        refreshed={"from_version": opened.version, **changes.counts},
    )
    return Refreshed(published, changes)


def _run_facts(manifest: Manifest) -> RunFacts:
    """What the manifest says of the run, which a refresh does not change."""
    return cast(RunFacts, {name: value for name, value in manifest.items() if name in RunFacts.__annotations__})


def _check_k(k: int, item: Vocabulary, offered: int, source: str) -> None:
    """Raises a `UserError` unless there are k items to recommend."""
    check_k(k, item.size)
    if k > offered:
        raise UserError(
            f"{source}: leaves {offered} items to recommend, fewer than the k = {k} that recommend gives. "
            f"Pass -k {offered} (k={offered}) or a smaller one, or offer more items."
        )


def _changes(
    raw: RawIds, is_other: np.ndarray, size: int, item: Vocabulary, withdrawn: np.ndarray, before: np.ndarray
) -> Changes:
    """What became of the items.

    Args:
        raw: The ids of the new catalogue.
        is_other: Which of them have other features or another title than before.
        size: Rows of the item table before.
        item: The vocabulary of items, new ones included.
        withdrawn: Indices of the items that are not in the new catalogue.
        before: Indices of the items that were withdrawn before.
    """
    rows = item.index(raw)
    is_new, is_back = rows >= size, np.isin(rows, before)
    is_changed = is_other & ~is_new & ~is_back
    is_same = ~(is_new | is_back | is_changed)
    ids_of = [item.lookup(rows[which]).tolist() for which in (is_new, is_changed, is_back, is_same)]
    gone = item.lookup(np.setdiff1d(withdrawn, before)).tolist()
    return Changes(ids_of[0], ids_of[1], gone, ids_of[2], ids_of[3])


def _without(sample: Values, withdrawn: np.ndarray, item: Vocabulary) -> Values:
    """The sample of users without withdrawn items to find, and without users who have nothing else to find."""
    relevant = sample["relevant"].copy()
    relevant[np.isin(relevant, withdrawn)] = item.padding_value
    kept = (relevant != item.padding_value).any(axis=1)
    if not kept.any():
        return {**sample, "relevant": relevant[:, :0]}
    return {name: values[kept] for name, values in {**sample, "relevant": relevant}.items()}
