"""Named datasets, one a file: those of this package, of other installed packages, and of files in `ZOO_PLUGINS`."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

from zoo.registries import Registry

if TYPE_CHECKING:
    from zoo.data.dataset import Dataset


class NamedDataset(abc.ABC):
    """A dataset that `load_dataset` knows by a name.

    Its docstring says what it is. The keyword arguments of `load` are the dataset's own options, with their types;
    those that it does not name are what `prepare` takes.

    Example:

    ```python
    class OneVisit(NamedDataset):
        \"\"\"One visit of one user.\"\"\"

        name = "one-visit"
        terms = "none, because it was made up"

        def load(self, *, item: int = 1, **options: Any) -> Dataset:
            return prepare(pd.DataFrame({"user": [1], "item": [item]}), **{"name": self.name, **options})

    DATASETS.register(OneVisit())
    ```
    """

    name: ClassVar[str]
    # These bind everyone who uses the data or what was learnt from it; a model card quotes them.
    terms: ClassVar[str]
    # The page with the terms, if other people published the data.
    url: ClassVar[str] = ""

    @abc.abstractmethod
    def load(self, **options: Any) -> Dataset:
        """The dataset, prepared.

        Args:
            **options: The dataset's own options, `data_root` among them if it is read from files, and those of
                `prepare`.

        Returns:
            A `Dataset`.

        Raises:
            UserError: If an option does not fit, or files are missing or not the published ones.
        """


DATASETS: Registry[NamedDataset] = Registry("dataset", "zoo.data.datasets", "zoo.datasets")
