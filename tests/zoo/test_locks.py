"""Two processes, or threads, never write to one output at a time, and the second is told of the first."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

import export
import zoo
from zoo.errors import UserError
from zoo.files import real_place
from zoo.locks import locked

HOLD = """
import pathlib, sys
from zoo.locks import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""

TRAIN = """
import keras, sys, zoo
wait = lambda epoch, logs: (print("held", flush=True), sys.stdin.readline())
wait = keras.callbacks.LambdaCallback(on_epoch_end=wait)
settings = {"data": {"options": {"num_users": 30, "num_items": 20, "num_interactions": 120}}}
settings |= {"hparams": {"embedding_dim": 2}, "evaluate": {"resamples": 20}, "train": {"epochs": 1}}
zoo.train("mf", "synthetic", out=sys.argv[1], progress=False, callbacks=[wait], **settings)
"""

EXPORT = """
import export, sys
waited = []
def wait(check):
    if not waited:
        waited.append(True)
        print("held", flush=True)
        sys.stdin.readline()
export.export(sys.argv[2], sys.argv[1], "onnx", overwrite=True, report=wait)
"""

REFRESH = """
import export, sys
def wait(check):
    print("held", flush=True)
    sys.stdin.readline()
    sys.exit()
export.refresh(sys.argv[1], sys.argv[2], k=5, report=wait)
"""


@pytest.fixture
def holding() -> Iterator:
    """Starts a program that prints `held` as soon as it holds a lock, and goes on when it reads a line."""
    started = []

    def start(program, *arguments) -> subprocess.Popen:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, encoding="utf-8", **streams)
        started.append(process)
        if process.stdout.readline() != "held\n":
            pytest.fail(process.communicate()[1])
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen) -> None:
    _, said = process.communicate("go on\n", timeout=300)
    assert process.returncode == 0, said


def told_of(process: subprocess.Popen) -> str:
    return rf"process {process.pid} \(.*python.*\), since \d{{4}}-.* writes to it\. Wait until that is done"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# The lock


def test_an_output_is_one_process_at_a_time(holding, tmp_path):
    process = holding(HOLD, tmp_path / "deep" / "out")
    with pytest.raises(UserError, match=told_of(process)) as error, locked(tmp_path / "deep" / "out"):
        pytest.fail("Both hold it.")
    assert str(error.value).startswith(f"{tmp_path / 'deep' / 'out'}: process ")
    with locked(tmp_path / "deep" / "other"):
        pass
    finish(process)
    assert names(tmp_path / "deep") == []
    with locked(tmp_path / "deep" / "out"):
        assert names(tmp_path / "deep") == [".out-lock"]


def test_the_lock_of_a_process_that_was_killed_holds_nobody_up(holding, tmp_path):
    process = holding(HOLD, tmp_path / "out")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(tmp_path) == [".out-lock"]
    with locked(tmp_path / "out"):
        assert f"process {os.getpid()} " in (tmp_path / ".out-lock").read_text(encoding="utf-8")
    assert names(tmp_path) == []


def test_an_output_is_one_use_at_a_time_within_a_process_too(tmp_path):
    own = f"process {os.getpid()} "
    with locked(tmp_path / "out"), pytest.raises(UserError, match=own), locked(tmp_path / "out"):
        pytest.fail("Both hold it.")


def test_an_error_releases_the_lock(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "out"):
        raise RuntimeError
    assert names(tmp_path) == []
    with locked(tmp_path / "out"):
        pass


def test_a_link_and_what_it_leads_to_are_one_output(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with locked(tmp_path / "link") as place, pytest.raises(UserError, match="writes to it"), locked(tmp_path / "real"):
        pytest.fail("Both hold it.")
    assert place == (tmp_path / "real").resolve()


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path, target):
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UserError, match=rf"link: a link to {target}, which leads nowhere\. Remove the link"):
        real_place(tmp_path / "link")


# What takes it


def test_a_second_training_is_told_of_the_first_which_ends_as_if_there_was_none(holding, tmp_path):
    out = tmp_path / "run"
    process = holding(TRAIN, out)
    for ways in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(UserError, match=told_of(process)):
            zoo.train("mf", "synthetic", out=out, progress=False, **ways)
    with pytest.raises(UserError, match=told_of(process)):
        zoo.train("popularity", "synthetic", progress=False, evaluate={"resamples": 20}).save(out)
    finish(process)
    assert names(tmp_path) == ["run"]
    assert zoo.load(out).config.hparams == {"embedding_dim": 2}


def test_a_training_that_was_killed_is_taken_up(holding, tmp_path):
    process = holding(TRAIN, tmp_path / "run")
    process.send_signal(signal.SIGKILL)
    process.wait()
    settings = {"data": {"options": {"num_users": 30, "num_items": 20, "num_interactions": 120}}}
    settings |= {"hparams": {"embedding_dim": 2}, "evaluate": {"resamples": 20}, "train": {"epochs": 1}}
    with pytest.raises(UserError, match=r"an interrupted run\. Pass --resume"):
        zoo.train("mf", "synthetic", out=tmp_path / "run", progress=False, **settings)
    zoo.train("mf", "synthetic", out=tmp_path / "run", resume=True, progress=False, **settings)
    assert names(tmp_path) == ["run"]


def test_a_second_export_or_refresh_is_told_of_the_first_and_no_version_is_taken_twice(
    holding, make_run, datasets, small_tables, tmp_path
):
    run, out = make_run("two_tower", datasets["features"]).save(tmp_path / "run"), tmp_path / "bundle"
    small_tables["items"][1:].to_csv(tmp_path / "items.csv", index=False)
    process = holding(EXPORT, out, run)
    with pytest.raises(UserError, match=told_of(process)):
        export.export(run, out, "onnx", overwrite=True)
    finish(process)
    assert export.open_bundle(out).version == "1"
    process = holding(REFRESH, out, tmp_path / "items.csv")
    with pytest.raises(UserError, match=told_of(process)):
        export.export(run, out, "onnx", overwrite=True)
    with pytest.raises(UserError, match=told_of(process)):
        export.refresh(out, tmp_path / "items.csv")
    finish(process)
    assert export.export(run, out, "onnx", overwrite=True).version == "2"
    assert export.refresh(out, tmp_path / "items.csv", k=5).bundle.version == "3"
    assert names(tmp_path) == ["bundle", "items.csv", "run"]


def test_a_job_of_a_benchmark_that_another_process_runs_is_told(holding, tmp_path):
    from zoo.bench.definition import jobs, read_benchmark
    from zoo.bench.running import run_jobs

    (tmp_path / "small.yaml").write_text(
        "about: small\ndata: {source: synthetic}\nmodels: {popularity: {model: popularity}}\n", encoding="utf-8"
    )
    (job,) = jobs(read_benchmark(str(tmp_path / "small.yaml"))[1])
    process = holding(HOLD, tmp_path / "bench" / "logs" / f"{job.folder}.log")
    said: list[str] = []
    _, failed = run_jobs("small", [job], tmp_path / "bench", say=said.append)
    assert failed == [job]
    assert re.search(told_of(process), said[0])
