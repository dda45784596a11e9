from __future__ import annotations

import keras
import pytest
from scripted import Recorder, assert_same, small_model, trainer_of

from zoo.errors import UserError
from zoo.training.loop import CHECKPOINT


def checkpointed(folder, epochs, callbacks=()):
    trainer = trainer_of(metrics=[0.1, 0.4, 0.3, 0.2], num_examples=3, optimizer="adam", epochs=epochs)
    trainer.folder, trainer.callbacks = (
        folder,
        keras.callbacks.CallbackList(list(callbacks), model=trainer.model),
    )
    return trainer


def test_a_checkpoint_holds_weights_optimizer_and_progress(tmp_path):
    trainer = checkpointed(tmp_path, epochs=3)
    trainer.fit()
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    other = checkpointed(tmp_path, epochs=3)
    other.resume()
    assert other.progress == trainer.progress
    assert other.progress.best_epoch == 2
    assert_same(other.best_weights, trainer.model.get_weights())
    assert_same([v.numpy() for v in other.optimizer.variables], [v.numpy() for v in trainer.optimizer.variables])
    assert int(other.optimizer.iterations) == 9


def test_training_starts_anew_without_a_checkpoint(tmp_path):
    trainer = checkpointed(tmp_path, epochs=2)
    trainer.resume()
    assert trainer.progress.epoch == 0


def test_a_finished_checkpoint_trains_no_further(tmp_path):
    checkpointed(tmp_path, epochs=2).fit()
    recorder = Recorder()
    again = checkpointed(tmp_path, epochs=2, callbacks=[recorder])
    again.resume()
    again.fit()
    assert recorder.calls == ["train begins", "train ends"]


def test_a_checkpoint_of_another_model_is_named(tmp_path):
    checkpointed(tmp_path, epochs=1).fit()
    other = checkpointed(tmp_path, epochs=1)
    other.model = small_model(embedding_dim=5)
    with pytest.raises(UserError, match="not a checkpoint of this run") as error:
        other.resume()
    assert str(tmp_path / CHECKPOINT) in str(error.value)


@pytest.mark.parametrize("size", [0, 100])
def test_a_truncated_checkpoint_is_named(tmp_path, size):
    checkpointed(tmp_path, epochs=1).fit()
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match="not a checkpoint of this run"):
        checkpointed(tmp_path, epochs=1).resume()


def test_an_epoch_that_took_long_is_not_trained_again_if_its_validation_is_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.training.loop.WORTH_KEEPING", 0.0)
    whole = checkpointed(None, epochs=3)
    whole.fit()
    killed = checkpointed(tmp_path, epochs=3)
    validate = killed.validate

    def fail_in_the_second_epoch():
        if killed.progress.epoch == 1:
            raise KeyboardInterrupt
        return validate()

    killed.validate = fail_in_the_second_epoch
    with pytest.raises(KeyboardInterrupt):
        killed.fit()
    recorder = Recorder()
    resumed = checkpointed(tmp_path, epochs=3, callbacks=[recorder])
    next_metrics = iter([0.4, 0.3])
    resumed.validate = lambda: {"ndcg@10": next(next_metrics)}
    resumed.resume()
    assert (resumed.progress.epoch, resumed.progress.unvalidated["loss"]) == (1, whole.progress.history[1]["loss"])
    resumed.fit()
    assert "step 0 ends" not in recorder.calls[: recorder.calls.index("epoch 2 begins")]
    assert_same(resumed.model.get_weights(), whole.model.get_weights())
    assert [epoch["ndcg@10"] for epoch in resumed.progress.history] == [0.1, 0.4, 0.3]


def test_an_epoch_that_took_no_time_is_kept_once(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("zoo.training.loop.write_checkpoint", lambda *given: written.append(given[1].unvalidated))
    checkpointed(tmp_path, epochs=2).fit()
    assert written == [None, None]
