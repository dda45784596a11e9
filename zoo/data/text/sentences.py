"""Text vectors of sentence-transformers models."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO

import numpy as np

from zoo.data.text import TEXT_ENCODERS
from zoo.data.text.pretrained import Encode, PretrainedEncoder
from zoo.errors import ZooError


@TEXT_ENCODERS.register
class SentenceTransformersEncoder(PretrainedEncoder):
    """Vectors of a sentence-transformers model (Reimers and Gurevych, 2019, arXiv:1908.10084), of length one.

    The model runs in a process of its own: PyTorch cannot always be loaded into one that TensorFlow is in, because
    both may carry an LLVM.

    Example:

    ```python
    encoder = text_encoder("sentence-transformers:all-MiniLM-L6-v2")
    encoder.fit(["a red kettle", "a blue kettle"])["width"]  # 384
    ```
    """

    name = "sentence-transformers"
    package = "sentence_transformers"
    takes = "the name of a model of the Hugging Face hub, which is downloaded, or the folder of one"

    @contextlib.contextmanager
    def _open(self) -> Iterator[Encode]:
        command = [sys.executable, "-m", "zoo.data.text.sentence_process"]
        with (
            tempfile.TemporaryFile() as noise,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise) as process,
        ):
            try:
                _send(process, self.model)
                yield functools.partial(self._ask, process, noise)
            finally:
                process.kill()

    def _ask(self, process: subprocess.Popen[bytes], noise: IO[bytes], texts: list[str]) -> np.ndarray:
        _send(process, texts)
        assert process.stdout is not None
        head = json.loads(process.stdout.readline() or "{}")
        if "shape" in head:
            return np.frombuffer(process.stdout.read(head["size"]), np.float32).reshape(head["shape"])
        raise self._failure(process, noise, head)

    def _failure(self, process: subprocess.Popen[bytes], noise: IO[bytes], head: Mapping[str, str]) -> ZooError:
        """The error of a process, from its answer, or from what it printed last if it gave none."""
        if "package" in head:
            return self._not_installed(head["package"])
        if "reason" in head:
            return self._not_loaded(head["reason"])
        noise.seek(0)
        last = noise.read().decode(errors="replace").strip().splitlines()[-1:]
        return ZooError(
            f"The text encoder {self.name!r}: the process of {self.model!r} ended with code {process.wait()}. "
            f"{''.join(last)}".strip()
        )


def _send(process: subprocess.Popen[bytes], message: object) -> None:
    assert process.stdin is not None
    # One that has ended may have said why.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
