"""Bundles are opened and verified again; a damaged one is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from export.bundle.bundle import open_bundle
from export.bundle.publishing import verify
from export.verification.artefacts import BATCH_SIZES
from export.verification.check import Check
from zoo.errors import UserError, ZooError

# Opening and verifying


def test_a_good_bundle_passes_every_check_again(bundle):
    reported = []
    checks = verify(bundle, reported.append)
    assert reported == checks
    assert all(check.passed for check in checks)
    assert len(checks) == len(bundle.formats) * len(bundle.endpoints) * len(BATCH_SIZES)
    assert {check.artefact for check in checks} == set(bundle.formats)


def test_a_bundle_may_be_moved(damaged, tmp_path):
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(damaged, moved)
    assert verify(str(moved))


FILES = (
    "README.md",
    "reference.npz",
    "onnx/score.onnx",
    "tflite/model.tflite",
    "saved_model/1/saved_model.pb",
)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def edit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("opened", [open_bundle, verify])
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("damage", "message"),
    [(truncate, r"has \d+ bytes, expected \d+"), (edit, "SHA-256"), (Path.unlink, "missing")],
    ids=["truncated", "edited", "missing"],
)
def test_a_damaged_file_is_an_error_that_names_it(damaged, opened, file, damage, message):
    damage(damaged / file)
    with pytest.raises(UserError, match=rf"damaged/{file}: .*{message}"):
        opened(damaged)


def test_a_version_that_was_added_is_noticed(damaged):
    # It would be served, and verified, in place of the one that was published.
    shutil.copytree(damaged / "saved_model" / "1", damaged / "saved_model" / "2")
    with pytest.raises(UserError, match="saved_model/2"):
        open_bundle(damaged)


def test_damage_after_opening_is_noticed(damaged):
    opened = open_bundle(damaged)
    edit(damaged / "README.md")
    with pytest.raises(UserError, match=r"README.md: .*SHA-256"):
        verify(opened)


def test_an_artefact_that_answers_otherwise_is_named_although_the_checksums_fit(damaged):
    manifest = json.loads((damaged / "manifest.json").read_text())
    for file in ("onnx/recommend.onnx", "onnx/score.onnx"):
        content = swapped_users((damaged / file).read_bytes())
        (damaged / file).write_bytes(content)
        manifest["files"][file] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ZooError, match="onnx recommend") as raised:
        verify(damaged)
    assert "onnx score" in str(raised.value)
    assert "tflite" not in str(raised.value)


def swapped_users(content: bytes) -> bytes:
    first, second = b"user 1", b"user 2"
    assert content.count(first) == content.count(second) == 1
    return content.replace(first, b"user !").replace(second, first).replace(b"user !", second)


def test_a_failed_verification_does_not_speak_of_publishing(damaged, monkeypatch):
    monkeypatch.setattr(
        "export.verification.artefacts.compare", lambda *given: Check("onnx", "score", 1, 1, "error", 1.0, 0.5)
    )
    with pytest.raises(ZooError) as raised:
        verify(damaged)
    assert "published" not in str(raised.value)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(UserError, match=r"not a bundle, because it has no manifest\.json"):
        open_bundle(tmp_path)


def test_a_truncated_manifest_is_an_error_that_names_it(damaged):
    path = damaged / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=r"manifest\.json: cannot be read"):
        open_bundle(damaged)


def test_a_manifest_of_another_format_is_an_error(damaged):
    path = damaged / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(UserError, match="a bundle of format 99; this version reads format 3"):
        open_bundle(damaged)


def test_a_bundle_of_an_older_format_is_an_error_that_names_the_version_that_opens_it(damaged):
    path = damaged / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(UserError, match=r"written by recozoo 0\.1 \(format 2\).*pip install recozoo==0\.1\.0"):
        open_bundle(damaged)


def test_a_bundle_is_printed_as_a_short_summary(bundle):
    first, *artefacts = str(bundle).splitlines()
    assert first == f"{bundle.folder}: mf on awkward, version 1"
    assert [line.split(":")[0].strip() for line in artefacts] == list(bundle.artefacts)
    assert all("largest difference" in line for line in artefacts)


@pytest.mark.parametrize("content", ["[]", "null", '{"format": 1}'])
def test_a_manifest_that_is_not_one_is_an_error(damaged, content):
    (damaged / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        open_bundle(damaged)
