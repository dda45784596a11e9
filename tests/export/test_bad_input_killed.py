"""A process that is killed while it exports leaves the old bundle or the new one, whole."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from zoo_process import names, wait_for, zoo_command

import export
from export.bundle.bundle import open_bundle
from export.bundle.publishing import verify
from zoo.errors import UserError
from zoo.files import ASIDE, published_folder

# Exports over a bundle again and again, each time in a process of its own that is killed after a share of the time that
# an export takes. The process is forked, so that the imports, which take longest, are done once. It prints what is
# there each time.
KILLED_AT_ANY_MOMENT = """
import json, os, pathlib, signal, sys, time
from export.bundle.bundle import open_bundle
from export.bundle.publishing import export
run, out = map(pathlib.Path, sys.argv[1:3])

def start():
    if pid := os.fork():
        return pid
    code = 1
    try:
        export(run, out, ("saved_model", "onnx"), overwrite=True)
        code = 0
    finally:
        os._exit(code)

durations = []
for _ in range(2):
    started = time.monotonic()
    assert os.waitpid(start(), 0)[1] == 0
    durations.append(time.monotonic() - started)
seconds = min(durations)
for share in json.loads(sys.argv[3]):
    pid = start()
    time.sleep(share * seconds)
    os.kill(pid, signal.SIGKILL)
    was_killed = os.waitpid(pid, 0)[1] == signal.SIGKILL
    left = sorted(path.name for path in out.parent.iterdir())
    versions = sorted(path.name for path in out.glob("saved_model/*") if path.is_dir())
    bundle = open_bundle(out)
    print("STATE", json.dumps([was_killed, bundle.version, versions, left]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a process with TensorFlow can be forked only on Linux")
def test_a_bundle_serves_on_whenever_the_export_of_the_next_one_is_killed(run, run_folder, tmp_path):
    out = tmp_path / "place" / "bundle"
    shares = [0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94]
    ran = subprocess.run(
        [sys.executable, "-c", KILLED_AT_ANY_MOMENT, run_folder, out, json.dumps(shares)],
        capture_output=True,
        encoding="utf-8",
        timeout=1800,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    states = [json.loads(line.removeprefix("STATE ")) for line in ran.stdout.splitlines() if line.startswith("STATE ")]
    assert len(states) == len(shares)
    # How long an export takes depends on what else the machine does, so some may be done before they are killed.
    assert sum(was_killed for was_killed, *_ in states) >= len(shares) // 2
    version, kept = "2", ["1", "2"]
    for was_killed, now, versions, left in states:
        if now != version:  # it was published whole; if it was killed after all, then while it tidied up
            assert not was_killed or len(left) == 2
            version, kept = now, [version, now]
        assert versions == kept
        # What an earlier one left is gone as soon as the next one begins to write.
        assert len(left) <= 2
    assert any(len(left) == 2 for *_, left in states)
    assert verify(out)
    assert export.export(run, out, "onnx", overwrite=True).folder == out
    assert names(out.parent) == ["bundle"]


# Replaces a folder, and is killed at a named moment of it.
KILLED_AT_THE_RENAME = """
import os, pathlib, shutil, signal, sys
from zoo import files
out, moment = pathlib.Path(sys.argv[1]), sys.argv[2]

def kill(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

exchange, replace = files._exchange, os.replace
if moment == "before the exchange":
    files._exchange = kill
if moment == "after the exchange":
    files._exchange = lambda *paths: exchange(*paths) and kill()
if moment == "while the former one is removed":
    def remove_some(*folders):
        for folder in folders:
            if folder.exists():
                os.unlink(next(path for path in folder.rglob("*") if path.is_file()))
                kill()
    files._remove = remove_some
if moment.startswith("without an exchange"):
    files._exchange = lambda *paths: False
if moment == "without an exchange, while nothing is there":
    files.os.replace = lambda *paths: (replace(*paths), kill())
if moment == "without an exchange, after the new one is there":
    files.os.replace = lambda made, to: (replace(made, to), to == out and kill())
with files.published_folder(out, True, "manifest.json") as folder:
    (folder / "manifest.json").write_text("new")
    (folder / "further").write_text("new")
"""


def kill_while_replacing(out: Path, moment: str) -> None:
    out.mkdir()
    (out / "manifest.json").write_text("old")
    ran = subprocess.run([sys.executable, "-c", KILLED_AT_THE_RENAME, out, moment], timeout=300, check=False)
    assert ran.returncode == -signal.SIGKILL


def replace_again(out: Path) -> None:
    with published_folder(out, True, "manifest.json") as folder:
        (folder / "manifest.json").write_text("newest")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets two folders change names in one step")
@pytest.mark.parametrize(
    ("moment", "there"),
    [
        ("before the exchange", "old"),
        ("after the exchange", "new"),
        ("while the former one is removed", "new"),
        ("without an exchange, after the new one is there", "new"),
    ],
)
def test_a_process_killed_at_the_rename_leaves_the_old_or_the_new_one_whole(moment, there, tmp_path):
    out = tmp_path / "bundle"
    kill_while_replacing(out, moment)
    assert (out / "manifest.json").read_text() == there
    assert (out / "further").exists() == (there == "new")
    assert len(names(tmp_path)) == 2
    replace_again(out)
    assert (out / "manifest.json").read_text() == "newest"
    assert names(tmp_path) == ["bundle"]


def test_the_next_export_puts_the_old_one_back_where_folders_cannot_change_names(tmp_path):
    out = tmp_path / "bundle"
    kill_while_replacing(out, "without an exchange, while nothing is there")
    assert not out.exists()
    assert any(name.endswith(ASIDE) for name in names(tmp_path))
    with pytest.raises(UserError, match="exists already"), published_folder(out, False, "manifest.json"):
        pass
    assert (out / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["bundle"]


def test_a_folder_that_was_half_removed_never_comes_back(tmp_path):
    out = tmp_path / "bundle"
    kill_while_replacing(out, "while the former one is removed")
    shutil.rmtree(out)
    replace_again(out)
    assert names(tmp_path) == ["bundle"]
    assert names(out) == ["manifest.json"]


def test_a_process_that_has_the_number_of_a_killed_one_is_not_taken_for_it(tmp_path):
    prefix = f".bundle-unfinished-{platform.node()}-{os.getpid()}"
    for name in ("now", "before"):
        (tmp_path / f"{prefix}-{name}").mkdir()
    os.utime(tmp_path / f"{prefix}-before", (1e9, 1e9))
    (tmp_path / f".bundle-unfinished-other-{os.getpid()}-now").mkdir()
    replace_again(tmp_path / "bundle")
    assert names(tmp_path) == sorted(["bundle", f"{prefix}-now", f".bundle-unfinished-other-{os.getpid()}-now"])


def interrupt(command: list[str], place: Path, number: signal.Signals) -> tuple[int, str]:
    """Sends a signal to an export once it writes; gives its exit code and what it said."""
    # A shell has the tests and all that they start ignore interrupts, if they run in the background of a script.
    heed = partial(signal.signal, number, signal.SIG_DFL)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen(command, preexec_fn=heed, **streams) as process:
        wait_for(lambda: any(place.glob(".bundle-unfinished-*/saved_model/*")), process)
        process.send_signal(number)
        _, said = process.communicate(timeout=600)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupted", "terminated"])
def test_an_export_that_is_told_to_stop_leaves_the_old_bundle(number, run, run_folder, bundle, tmp_path):
    out = shutil.copytree(bundle.folder, tmp_path / "bundle")
    code, said = interrupt(zoo_command("export", run_folder, "--out", out, "--overwrite"), tmp_path, number)
    assert "Traceback" not in said
    assert open_bundle(out).manifest == bundle.manifest
    assert names(out / "saved_model") == names(bundle.folder / "saved_model")
    if number == signal.SIGINT:
        assert code == 130
        assert names(tmp_path) == ["bundle"]
    else:
        assert code == -signal.SIGTERM
    assert export.export(run, out, "onnx", overwrite=True).version
    assert names(tmp_path) == ["bundle"]
