"""What goes wrong around an export: wrong folders, a full disk, a killed process, edited files, wrong requests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import export
from export.bundle.bundle import open_bundle
from export.bundle.publishing import verify
from zoo.errors import UserError, ZooError
from zoo.files import ASIDE, published_folder


def zoo_command(*arguments) -> list[str]:
    return [sys.executable, "-m", "zoo", *map(str, arguments)]


def run_zoo(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(zoo_command(*arguments), capture_output=True, encoding="utf-8", timeout=600, check=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wait_for(found, process: subprocess.Popen) -> None:
    """Waits until something is there that a process makes."""
    for _ in range(6000):
        if found():
            return
        assert process.poll() is None, "The process ended before it could be disturbed."
        time.sleep(0.05)
    pytest.fail("Waited for five minutes.")


@pytest.fixture(scope="module")
def run_folder(run, tmp_path_factory) -> Path:
    """`run` as a folder."""
    return run.save(tmp_path_factory.mktemp("runs") / "mf")


# What is no run


def test_a_run_whose_training_was_killed_is_refused_with_how_to_finish_it(tmp_path):
    out, unfinished = tmp_path / "runs" / "mf", tmp_path / "runs" / ".mf-unfinished"
    command = zoo_command("train", "mf", "--data", "synthetic", "--out", out, "--set", "train.epochs=100000")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as training:
        wait_for((unfinished / "config.json").exists, training)
        training.kill()
    for folder in (out, unfinished):
        ran = run_zoo("export", folder, "--out", tmp_path / "bundle")
        assert ran.returncode == 2
        assert ran.stderr.startswith(f"Error: {folder}: not a run yet, its training was interrupted.")
        assert "zoo train with --resume" in ran.stderr
        assert "Traceback" not in ran.stderr
    assert names(tmp_path) == ["runs"]


def test_a_foreign_folder_is_no_run(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    for folder in (tmp_path / "photos", tmp_path / "nowhere"):
        ran = run_zoo("export", folder, "--out", tmp_path / "bundle")
        assert (ran.returncode, ran.stderr) == (2, f"Error: {folder}: not a run, since it has no run.json.\n")
    assert names(tmp_path) == ["photos"]


def test_a_bundle_is_not_taken_for_a_run(bundle, tmp_path):
    ran = run_zoo("export", bundle.folder, "--out", tmp_path / "bundle")
    assert ran.returncode == 2
    assert ran.stderr == (f"Error: {bundle.folder}: a bundle and not a run. Name the run that it was exported from.\n")
    assert names(tmp_path) == []


def test_a_run_with_an_edited_file_is_refused_by_the_name_of_the_file(run_folder, tmp_path):
    copy = shutil.copytree(run_folder, tmp_path / "run")
    (copy / "weights.npz").write_bytes(b"0" * (copy / "weights.npz").stat().st_size)
    with pytest.raises(UserError, match=r"run/weights\.npz: its SHA-256"):
        export.export(copy, tmp_path / "bundle", "onnx")
    assert names(tmp_path) == ["run"]


# A full disk


@contextlib.contextmanager
def disk_of(size: int, folder: Path):
    """A file system of so many bytes."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={max(size, 8192)}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"No file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


needs_mount = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount the small file system of this test"
)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@needs_mount
@pytest.mark.parametrize("name", ["saved_model", "onnx", "tflite"])
def test_a_disk_that_fills_up_at_any_moment_is_an_error_that_leaves_nothing(run, name, tmp_path):
    needed = size_of(export.export(run, tmp_path / "enough", name).folder)
    for share in (0.01, 0.15, 0.3, 0.5, 0.7, 0.9):
        with disk_of(int(needed * share), tmp_path / "disk") as disk:
            with pytest.raises(ZooError) as raised:
                export.export(run, disk / "bundle", name)
            assert not isinstance(raised.value, UserError)
            assert str(raised.value) == (
                f"{disk / 'bundle'}: cannot be written (No space left on device). Nothing was published."
            )
            assert names(disk) == []


@needs_mount
def test_the_older_bundle_survives_a_disk_that_fills_up(run, bundle, tmp_path):
    with disk_of(int(size_of(bundle.folder) * 1.5), tmp_path / "disk") as disk:
        shutil.copytree(bundle.folder, disk / "bundle")
        with pytest.raises(ZooError, match="No space left on device"):
            export.export(run, disk / "bundle", overwrite=True)
        assert names(disk) == ["bundle"]
        assert open_bundle(disk / "bundle").manifest == bundle.manifest
        assert names(disk / "bundle" / "saved_model") == names(bundle.folder / "saved_model")


@needs_mount
def test_the_command_tells_of_a_full_disk_in_one_line(run_folder, tmp_path):
    with disk_of(64_000, tmp_path / "disk") as disk:
        ran = run_zoo("export", run_folder, "--out", disk / "bundle", "--format", "onnx")
        assert ran.returncode == 1
        assert ran.stderr.splitlines()[-1] == (
            f"Error: {disk / 'bundle'}: cannot be written (No space left on device). Nothing was published."
        )
        assert "Traceback" not in ran.stderr
        assert names(disk) == []


# A process that is killed

# Exports over a bundle again and again, each time in a process of its own that is killed after a share of the time that
# an export takes; forked, so that what takes longest, the imports, is done once. Prints what is there each time.
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


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux can a process with TensorFlow be forked")
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


def test_where_folders_cannot_change_names_the_old_one_is_put_back_by_the_next_export(tmp_path):
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
    # Where the tests run in the background of a script, a shell has them and all they start ignore interrupts.
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


# A bundle edited by hand


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("opened", [open_bundle, verify])
@pytest.mark.parametrize("name", ["onnx/score.onnx", "README.md", "saved_model/1/saved_model.pb"])
def test_of_an_edited_file_name_and_both_checksums_are_told(opened, name, damaged, bundle):
    flip_a_bit(damaged / name)
    with pytest.raises(UserError) as raised:
        opened(damaged)
    expected = bundle.manifest["files"][name]["sha256"]
    assert str(raised.value) == (
        f"{damaged / name}: its SHA-256 is not the one that was written down: "
        f"found {sha256_of(damaged / name)}, expected {expected}. Make it anew."
    )


def test_of_a_truncated_file_sizes_and_both_checksums_are_told(damaged, bundle):
    path = damaged / "tflite" / "model.tflite"
    path.write_bytes(path.read_bytes()[:1000])
    described = bundle.manifest["files"]["tflite/model.tflite"]
    with pytest.raises(UserError) as raised:
        open_bundle(damaged)
    assert str(raised.value) == (
        f"{path}: has 1000 bytes, expected {described['size']} "
        f"(SHA-256: found {sha256_of(path)}, expected {described['sha256']}). Make it anew."
    )


def test_of_a_missing_file_the_checksum_that_was_written_down_is_told(damaged, bundle):
    (damaged / "reference.npz").unlink()
    expected = bundle.manifest["files"]["reference.npz"]["sha256"]
    with pytest.raises(UserError, match=rf"reference\.npz: missing from the folder, expected SHA-256 {expected}"):
        open_bundle(damaged)


def test_a_file_that_was_added_is_named(damaged):
    (damaged / "onnx" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"onnx/notes\.txt: not a file of this bundle"):
        open_bundle(damaged)


def test_a_checksum_edited_in_the_manifest_is_told_beside_the_one_of_the_file(damaged):
    path = damaged / "manifest.json"
    path.write_text(path.read_text().replace(sha256_of(damaged / "README.md"), "0" * 64))
    with pytest.raises(UserError, match=rf"README\.md: .*found {sha256_of(damaged / 'README.md')}, expected 0{{64}}"):
        open_bundle(damaged)


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": {"README.md": 3}},
        {"endpoints": {"recommend": {}}},
        {"endpoints": {}},
        {"endpoints": []},
        {"options": {"formats": ["onnx"]}},
        {"options": 3},
        {"artefacts": ["onnx", "coreml"]},
        {"tflite": None, "artefacts": None},
    ],
    ids=str,
)
def test_a_manifest_edited_by_hand_is_an_error_that_names_it(change, damaged):
    path = damaged / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for opened in (open_bundle, verify):
        with pytest.raises(UserError, match=r"manifest\.json: .* Make the bundle anew"):
            opened(damaged)


def test_the_command_refuses_an_edited_bundle(damaged):
    flip_a_bit(damaged / "onnx" / "score.onnx")
    ran = run_zoo("verify", damaged)
    assert ran.returncode == 2
    assert f"Error: {damaged / 'onnx' / 'score.onnx'}: its SHA-256" in ran.stderr
    assert "Traceback" not in ran.stderr
