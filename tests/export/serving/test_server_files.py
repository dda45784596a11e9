"""The files that TF Serving reads beside and inside a SavedModel."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2
from test_saved_model import decoded, meta_graph, run_in_cpp, run_in_python

from export.serving import tf_serving


def test_the_models_config_names_the_folder_of_versions_under_the_mount(written):
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((written[1] / "models.config").read_text(), config)
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("served", "/models/my bundle/saved_model")
    assert model.model_platform == "tensorflow"


@pytest.mark.parametrize("bundle", ['say "hi"', "it's", "日本", "back\\slash", "😀"])
def test_any_name_of_a_folder_survives_the_models_config(bundle):
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(tf_serving._models_config("mf", f"/models/{bundle}/saved_model"), config)
    assert config.model_config_list.config[0].base_path == f"/models/{bundle}/saved_model"


def batching_parameters():
    """The message `BatchingParameters` as session_bundle_config.proto of TF Serving defines it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    kinds = descriptor_pb2.FieldDescriptorProto
    wrapped = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate(wrapped, start=1):
        value = ".google.protobuf.Int64Value"
        message.field.add(
            name=name, number=number, type=kinds.TYPE_MESSAGE, type_name=value, label=kinds.LABEL_OPTIONAL
        )
    message.field.add(name="allowed_batch_sizes", number=6, type=kinds.TYPE_INT64, label=kinds.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters"))()


def test_the_batching_parameters_are_what_the_server_accepts(written):
    parameters = text_format.Parse((written[1] / "batching.config").read_text(), batching_parameters())
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) == list(tf_serving.BATCH_SIZES)
    assert sizes[0] == 1
    assert sizes[-1] == parameters.max_batch_size.value == 64
    assert parameters.batch_timeout_micros.value == 1000
    assert parameters.max_enqueued_batches.value == 100
    assert parameters.num_batch_threads.value >= 1
    assert parameters.pad_variable_length_inputs is True


def warm_up(folder):
    """The requests of the file, read as the server reads them."""
    path = folder / "3" / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    return [log.predict_log.request for log in logs]


def as_call(request):
    return request.model_spec.signature_name, {key: decoded(tf.make_ndarray(p)) for key, p in request.inputs.items()}


def test_every_signature_is_warmed_up_at_every_batch_size_of_the_server(exported, written):
    requests = warm_up(written[1])
    signatures = {name for name in meta_graph(exported.folder).signature_def if not name.startswith("__")}
    sizes = [(name, len(next(iter(feed.values())))) for name, feed in map(as_call, requests)]
    assert sorted(sizes) == sorted((name, size) for name in signatures for size in tf_serving.BATCH_SIZES)
    assert len(requests) <= 1000
    assert {request.model_spec.name for request in requests} == {"served"}
    assert not any(request.model_spec.HasField("version") for request in requests)


def test_warm_up_requests_are_the_samples_repeated_as_often_as_needed(written):
    samples, folder = written
    for name, feed in map(as_call, warm_up(folder)):
        sample = samples["recommend" if name == "serving_default" else name]
        for key, values in feed.items():
            np.testing.assert_array_equal(values, sample[key][np.arange(len(values)) % 5])


def test_the_cpp_runtime_answers_every_warm_up_request(exported, written):
    calls = [as_call(request) for request in warm_up(written[1])]
    for found, expected in zip(run_in_cpp(exported.folder, calls), run_in_python(exported.folder, calls), strict=True):
        for key, values in expected.items():
            if values.dtype == np.float32:
                np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(found[key], values)
