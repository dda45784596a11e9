"""Every recommender architecture behind `zoo.build`, one training loop, and figures that name their protocol.

Importing this package imports neither TensorFlow nor pandas: each name is imported when it is first used. The names
and their types are in `__init__.pyi`.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, _names, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
