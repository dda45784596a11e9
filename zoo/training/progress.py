"""A progress bar with loss, metric and time left."""

from __future__ import annotations

import keras
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressBar(keras.callbacks.Callback):
    """Shows how far training is.

    Args:
        name: What is trained.
        monitor: The validation metric to show.
    """

    def __init__(self, name: str, monitor: str) -> None:
        super().__init__()
        self._name, self._monitor = name, monitor
        self._loss = self._metric = "-"
        self._epoch = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the bar."""
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            transient=False,
        )
        self._task = self._bar.add_task(self._name, total=self.params["epochs"] * self.params["steps"])
        self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch
        self._show(epoch * self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Moves the bar on by the steps of one call."""
        self._loss = f"{(logs or {}).get('loss', float('nan')):.4f}"
        self._show(self._epoch * self.params["steps"] + batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Shows the validation metric."""
        if logs and self._monitor in logs:
            self._metric = f"{logs[self._monitor]:.4f}"
        self._show((epoch + 1) * self.params["steps"])

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Ends the bar where training ended, which may be early."""
        self._bar.update(self._task, total=(self._epoch + 1) * self.params["steps"])
        self._bar.stop()

    def _show(self, done: int) -> None:
        epoch = min(self._epoch + 1, self.params["epochs"])
        text = f"{self._name} epoch {epoch}/{self.params['epochs']} loss {self._loss} {self._monitor} {self._metric}"
        self._bar.update(self._task, completed=done, description=text)
