"""The process that a sentence-transformers model runs in.

It reads lines of JSON, the model and then lists of texts, and answers each list with a line of JSON and, if that
gives a shape, the vectors as float32.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def main() -> None:
    """Answers until there is no more to read."""
    # Standard output carries only answers; what libraries print goes where errors go.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        model = _load(json.loads(sys.stdin.buffer.readline()))
        for line in sys.stdin.buffer:
            vectors = np.ascontiguousarray(model.encode(json.loads(line), show_progress_bar=False), np.float32)
            _answer(answers, {"shape": vectors.shape, "size": vectors.nbytes}, vectors.tobytes())
    except ImportError as error:
        _answer(answers, {"package": error.name or str(error)})
    except Exception as error:  # what models and hubs raise is not known beforehand
        _answer(answers, {"reason": str(error) or type(error).__name__})


def _load(name: str) -> SentenceTransformer:
    from huggingface_hub import constants, get_session
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(name, local_files_only=True)
    except Exception as error:
        if Path(name).is_dir() or isinstance(error, ImportError):
            raise
        # This fails at once without a network, and loading only after a minute of attempts.
        try:
            get_session().head(constants.ENDPOINT, timeout=10)
        except Exception as error:
            raise OSError(f"it is not here, and {constants.ENDPOINT} cannot be reached: {error}") from error
        return SentenceTransformer(name)


def _answer(answers: BinaryIO, head: dict[str, object], body: bytes = b"") -> None:
    answers.write(json.dumps(head).encode() + b"\n" + body)
    answers.flush()


if __name__ == "__main__":
    main()
