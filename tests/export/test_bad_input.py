"""What goes wrong around an export: wrong folders, a full disk, edited files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from zoo_process import names, run_zoo, wait_for, zoo_command

import export
from export.bundle.bundle import open_bundle
from export.bundle.publishing import verify
from zoo.errors import UserError, ZooError

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
        assert (ran.returncode, ran.stderr) == (
            2,
            f"Error: {folder}: not a run, because it has no run.json. Name another folder.\n",
        )
    assert names(tmp_path) == ["photos"]


def test_a_bundle_is_not_taken_for_a_run(bundle, tmp_path):
    ran = run_zoo("export", bundle.folder, "--out", tmp_path / "bundle")
    assert ran.returncode == 2
    assert ran.stderr == (f"Error: {bundle.folder}: a bundle, not a run. Name the run that it was exported from.\n")
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
@pytest.mark.parametrize(
    "name", ["saved_model", *(pytest.param(name, marks=pytest.mark.slow) for name in ("onnx", "tflite"))]
)
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


# A bundle edited by hand


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("opened", [open_bundle, verify])
@pytest.mark.parametrize("name", ["onnx/score.onnx", "README.md", "saved_model/1/saved_model.pb"])
def test_an_edited_file_is_told_with_its_name_and_both_checksums(opened, name, damaged, bundle):
    flip_a_bit(damaged / name)
    with pytest.raises(UserError) as raised:
        opened(damaged)
    expected = bundle.manifest["files"][name]["sha256"]
    assert str(raised.value) == (
        f"{damaged / name}: its SHA-256 is not the one that was written down: "
        f"found {sha256_of(damaged / name)}, expected {expected}. Make it anew."
    )


def test_a_truncated_file_is_told_with_sizes_and_both_checksums(damaged, bundle):
    path = damaged / "tflite" / "model.tflite"
    path.write_bytes(path.read_bytes()[:1000])
    described = bundle.manifest["files"]["tflite/model.tflite"]
    with pytest.raises(UserError) as raised:
        open_bundle(damaged)
    assert str(raised.value) == (
        f"{path}: has 1000 bytes, expected {described['size']} "
        f"(SHA-256: found {sha256_of(path)}, expected {described['sha256']}). Make it anew."
    )


def test_a_missing_file_is_told_with_the_checksum_that_was_written_down(damaged, bundle):
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
