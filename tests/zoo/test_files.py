from __future__ import annotations

import hashlib
import json

import pytest

from zoo.errors import UserError
from zoo.files import (
    OPENED_BY,
    check_files,
    check_free,
    describe_files,
    publish,
    published_folder,
    read_json,
    read_manifest,
)

MARKER = "run.json"


def listing(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def described(tmp_path):
    """A folder of two files, and what was written down about them."""
    folder = tmp_path / "made"
    (folder / "data").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"hello")
    (folder / "data" / "b.bin").write_bytes(b"\0\1\2")
    (folder / "manifest.json").write_text("{}")
    return folder, describe_files(folder, but="manifest.json")


# Checksums


def test_every_file_except_the_manifest_is_described_by_size_and_checksum(described):
    assert described[1] == {
        "a.txt": {"size": 5, "sha256": hashlib.sha256(b"hello").hexdigest()},
        "data/b.bin": {"size": 3, "sha256": hashlib.sha256(b"\0\1\2").hexdigest()},
    }


def test_untouched_files_pass_and_further_ones_do_not_matter(described):
    folder, files = described
    (folder / "notes.txt").write_text("mine")
    check_files(folder, files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "missing from the folder"),
        (lambda path: path.write_bytes(b"\0\1"), "has 2 bytes, expected 3"),
        (lambda path: path.write_bytes(b""), "has 0 bytes, expected 3"),
        (lambda path: path.write_bytes(b"\0\1\3"), "SHA-256 is not the one"),
    ],
    ids=["missing", "truncated", "empty", "edited"],
)
def test_a_missing_truncated_or_edited_file_is_named(described, change, message):
    folder, files = described
    change(folder / "data" / "b.bin")
    with pytest.raises(UserError, match=message) as error:
        check_files(folder, files)
    assert str(error.value).startswith(str(folder / "data" / "b.bin"))


# JSON


def test_a_folder_without_its_manifest_is_not_what_it_should_be(tmp_path):
    with pytest.raises(UserError, match=r"not a run, because it has no run\.json"):
        read_json(tmp_path / "run.json", "run")


@pytest.mark.parametrize("content", [b'{"a": ', b"\xff\xfe"])
def test_a_broken_json_file_is_named(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read") as error:
        read_json(tmp_path / "run.json", "run")
    assert str(tmp_path / "run.json") in str(error.value)


def test_json_is_read_as_utf8(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"name": "Zoë"}, ensure_ascii=False), encoding="utf-8")
    assert read_json(tmp_path / "run.json", "run") == {"name": "Zoë"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "a run of format 2; this version reads format 1"),
        ({"files": None}, "not the manifest of a run"),
        ({"recipe": None}, "not the manifest of a run"),
    ],
    ids=["other format", "no files", "key missing"],
)
def test_a_manifest_is_of_the_right_format_and_complete(described, changes, message):
    folder, files = described
    manifest = {"format": 1, "files": files, "recipe": "r"}

    def read(content):
        (folder / "manifest.json").write_text(json.dumps(content))
        return read_manifest(folder, "manifest.json", "run", 1, keys=("recipe",))

    assert read(manifest) == manifest
    changed = {key: value for key, value in {**manifest, **changes}.items() if value is not None}
    with pytest.raises(UserError, match=message):
        read(changed)
    with pytest.raises(UserError, match="not the manifest of a run"):
        read([])


@pytest.mark.parametrize(
    ("what", "found", "version", "message"),
    [
        ("run", 1, 2, "a run written by recozoo 0.1 (format 1); this version reads format 2. "),
        ("bundle", 2, 3, "a bundle written by recozoo 0.1 (format 2); this version reads format 3. "),
    ],
)
def test_an_older_format_names_the_version_that_opens_it(described, what, found, version, message):
    folder, files = described
    (folder / "manifest.json").write_text(json.dumps({"format": found, "files": files}))
    with pytest.raises(UserError) as error:
        read_manifest(folder, "manifest.json", what, version, keys=())
    assert str(error.value) == (
        f"{folder}: {message}Open it with: pip install recozoo==0.1.0, or make the {what} anew."
    )


@pytest.mark.parametrize("found", [99, "2", None, [1], {}])
def test_a_format_that_no_version_is_known_for_is_named(described, found):
    folder, files = described
    (folder / "manifest.json").write_text(json.dumps({"format": found, "files": files}))
    with pytest.raises(UserError, match=r"of format .*; this version reads format 2") as error:
        read_manifest(folder, "manifest.json", "run", 2, keys=())
    assert repr(found) in str(error.value)


def test_every_older_format_of_a_run_names_its_version():
    from zoo.run import FORMAT

    assert set(OPENED_BY["run"]) == set(range(1, FORMAT))


# Publishing


def test_a_finished_folder_appears_whole_and_nothing_else_does(tmp_path):
    out = tmp_path / "deep" / "out"
    with published_folder(out, False, MARKER) as unfinished:
        (unfinished / "a.txt").write_text("new")
        assert not out.exists()
    assert listing(tmp_path) == {"deep/out/a.txt": b"new"}


def fail_half_way(out, overwrite):
    with published_folder(out, overwrite, MARKER) as unfinished:
        (unfinished / "a.txt").write_text("half")
        raise RuntimeError("half way")


def test_an_exception_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way(tmp_path / "out", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_while_overwriting_leaves_the_former_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / MARKER).write_text("former")
    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way(out, overwrite=True)
    assert listing(tmp_path) == {f"out/{MARKER}": b"former"}
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_exists_stays_as_it_is(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_text("former")
    with pytest.raises(UserError, match="exists already"), published_folder(out, False, MARKER):
        pytest.fail("The body should not run.")
    assert listing(tmp_path) == {"out/a.txt": b"former"}


def test_overwriting_replaces_the_folder_whole(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / MARKER).write_text("former")
    (out / "old.txt").write_text("former")
    with published_folder(out, True, MARKER) as unfinished:
        (unfinished / "new.txt").write_text("new")
    assert listing(tmp_path) == {"out/new.txt": b"new"}
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_folder_may_be_replaced_and_one_of_something_else_never(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    check_free(out, True, MARKER)
    (out / "photo.jpg").write_text("precious")
    with pytest.raises(UserError, match=r"has no run\.json, so it holds something else"):
        fail_half_way(out, overwrite=True)
    assert listing(tmp_path) == {"out/photo.jpg": b"precious"}


def test_folders_made_on_the_way_go_again_with_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way(tmp_path / "deep" / "deeper" / "out", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_never_replaced(tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        check_free(out, True, MARKER)
    assert out.read_text() == "mine"


def test_publishing_moves_a_folder_where_none_was(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    (made / "a.txt").write_text("new")
    publish(made, tmp_path / "out")
    assert listing(tmp_path) == {"out/a.txt": b"new"}


def test_an_output_inside_a_file_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError), published_folder(tmp_path / "file" / "out", False, MARKER):
        pass
