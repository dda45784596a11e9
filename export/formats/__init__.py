"""The formats that an export writes, each an object in a module or package of its own.

A format of one's own is a `Format` in a file that the variable `ZOO_PLUGINS` names, or in a module that another
package names by the entry point group `export.formats`. It is registered by `FORMATS.register(MyFormat())`. Bundles,
verification, the model card, the commands and the benchmark then know it.
"""

from export.formats.base import FORMATS, Artefact, Call, Format, Option, Runtime, Source
from export.formats.runtimes import open_runtime

__all__ = ["FORMATS", "Artefact", "Call", "Format", "Option", "Runtime", "Source", "open_runtime"]
