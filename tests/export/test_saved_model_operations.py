"""A SavedModel that could touch files is refused before it is run."""

from __future__ import annotations

import shutil

import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import export
from export.formats.saved_model.operations import check_operations, is_allowed
from zoo.errors import UserError


@pytest.fixture(scope="module")
def published(make_run, datasets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "shop"
    export.export(make_run("mf", datasets["ids"]), folder, "saved_model", k=5)
    return folder


class Evil(tf.Module):
    """A graph that does what no endpoint does."""

    def __init__(self, does):
        super().__init__()
        self.number = tf.Variable(1.0)
        self.does = does

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def __call__(self, number):
        return {"scores": self.does(number) + self.number}


def saved(does, folder):
    evil = Evil(does)
    tf.saved_model.save(evil, str(folder), signatures={"recommend": evil.__call__})
    return folder


def test_the_endpoints_of_a_bundle_are_allowed(published):
    check_operations(published / "saved_model" / "1")
    assert export.verify(published)


def test_a_graph_of_numbers_is_allowed(tmp_path):
    images = tf.zeros([1, 4, 4, 1])
    check_operations(
        saved(lambda x: x + tf.reduce_sum(tf.nn.conv2d(images, tf.zeros([2, 2, 1, 1]), 1, "SAME")), tmp_path)
    )


RESTORED = {"prefix": "/x", "tensor_names": ["a"], "shape_and_slices": [""], "dtypes": [tf.float32]}


@pytest.mark.parametrize(
    ("does", "operation"),
    [
        (lambda x: tf.strings.to_number(tf.io.read_file("/etc/hostname")), "ReadFile"),
        (lambda x: tf.cast(tf.size(tf.io.matching_files("/*")), tf.float32), "MatchingFiles"),
        (lambda x: tf.py_function(lambda: 1.0, [], tf.float32), "EagerPyFunc"),
        (
            lambda x: tf.raw_ops.RestoreV2(prefix="/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[
                0
            ],
            "RestoreV2",
        ),
        (lambda x: next(iter(tf.data.Dataset.range(3).map(lambda y: tf.cast(y, tf.float32)))), "Dataset|Iterator"),
    ],
)
def test_a_graph_that_reaches_outside_is_refused(tmp_path, does, operation):
    with pytest.raises(UserError, match=rf"has the operation '.*({operation}).*It was not run"):
        check_operations(saved(does, tmp_path))


def test_a_bundle_that_writes_a_file_is_refused_before_it_is_run(published, tmp_path):
    bundle = shutil.copytree(published, tmp_path / "shop")

    def write(number):
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "written"), "x")]):
            return tf.identity(number)

    version = bundle / "saved_model" / "1"
    shutil.rmtree(version)
    saved(write, version)
    from export.bundle import manifest
    from zoo.files import describe_files

    changed = {**manifest.json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))}
    manifest.write({**changed, "files": describe_files(bundle, but="manifest.json")}, bundle)
    with pytest.raises(UserError, match="has the operation 'WriteFile'"):
        export.verify(bundle)
    assert not (tmp_path / "written").exists()


def test_the_functions_that_save_and_restore_cannot_be_called(tmp_path):
    folder = saved(lambda x: x, tmp_path)
    model = SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    saving = next(one for one in functions if one.signature.name.startswith("__inference__traced_save"))
    caller = next(one for one in functions if not one.signature.name.startswith("__inference__traced"))
    node = caller.node_def.add(name="call", op="StatefulPartitionedCall")
    node.attr["f"].func.name = saving.signature.name
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="calls what writes files"):
        check_operations(folder)


def test_a_damaged_graph_is_an_error_with_its_path(tmp_path):
    folder = saved(lambda x: x, tmp_path)
    (folder / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match=r"saved_model\.pb: not readable as a SavedModel"):
        check_operations(folder)
    (folder / "saved_model.pb").unlink()
    with pytest.raises(UserError, match=r"saved_model\.pb: not readable as a SavedModel"):
        check_operations(folder)


@pytest.mark.parametrize("operation", ["WriteFile", "ImmutableConst", "SaveV2", "PrintV2", "PyFunc", "NoSuchOperation"])
def test_operations_that_reach_outside_are_not_allowed(operation):
    assert not is_allowed(operation)
