"""Items with a row of their own and no interactions yet, for models that can say something of them."""

from __future__ import annotations

from typing import Literal

from zoo.cold_start.growing import as_known_ids, why_no_new_items, with_catalogue, with_rows
from zoo.data.dataset import Dataset
from zoo.data.values import ids
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.schema import Vocabulary
from zoo.training.derived import noted

# Which items are the catalogue; by default all if the model reads features of items.
Catalogue = Literal["all", "interactions"]


def check_catalogue(catalogue: Catalogue | None, model: Recommender) -> None:
    """Raises a `UserError` if all items are asked for and a model can say nothing of those without interactions."""
    why = why_no_new_items(model)
    if catalogue == "all" and why:
        raise UserError(
            f"data.catalogue is all, but {why}, so it can say nothing of items without interactions. "
            "Leave data.catalogue out, or use an architecture that reads item features, e.g. two_tower."
        )


def with_waiting_items(
    catalogue: Catalogue | None, model: Recommender, dataset: Dataset
) -> tuple[Recommender, Dataset]:
    """A trained model and its data with the items that had no interactions.

    Such an item has the vector that its features make beside an unknown id.

    Args:
        catalogue: Which items are wanted.
        model: The trained model.
        dataset: Its data.

    Returns:
        The model and the data, with a note of what became of these items.
    """
    table = dataset.waiting
    if table is None:
        return model, dataset
    why = "data.catalogue is interactions" if catalogue == "interactions" else why_no_new_items(model)
    count = len(table.frame)
    if why:
        note = f"{count} items of the items table have no interactions; they were left out, because {why}."
        return model, noted(dataset, note)
    codes, texts = ids(table, "item")
    item = dataset.vocabularies["item"]
    raw = as_known_ids(codes, texts, item)
    grown, _ = with_rows(dataset, table, raw, Vocabulary([*item.to_json(), *raw]))
    note = f"{count} items of the items table have no interactions; their features tell of them (data.catalogue)."
    return with_catalogue(model, grown), noted(grown, note)
