"""The commands and examples that a bundle's card shows run, and print what the model answers."""

from __future__ import annotations

import contextlib
import io
import shlex

import numpy as np
import pytest
from http_server import post
from served_bundle import bundle_of, samples_of, served_by
from tf_server import SERVERS, rest_server

from export.serving import tf_serving


@pytest.mark.parametrize("name", ["mf", "it's mine"])
def test_the_docker_command_mounts_the_folder_of_the_bundle_and_names_both_configs(name):
    words = shlex.split(tf_serving.docker_command(name).replace("\\\n", " "))
    assert words[:2] == ["docker", "run"]
    assert words[words.index("-v") + 1] == "$PWD:/models:ro"
    assert words[words.index("tensorflow/serving") + 1 :] == [
        f"--model_config_file=/models/{name}/saved_model/models.config",
        "--enable_batching",
        f"--batching_parameters_file=/models/{name}/saved_model/batching.config",
    ]


@pytest.mark.parametrize("form", ["columnar", "row"])
def test_the_curl_examples_of_every_endpoint_get_what_the_model_answers(exported, form):
    served, samples = served_by(exported), samples_of(exported, 2)
    with rest_server(served) as address:
        for endpoint in exported.endpoints:
            command = tf_serving.rest_example(served.name, endpoint, samples[endpoint.name], form, address)
            curl, option, data, url = shlex.split(command)
            assert (curl, option) == ("curl", "-d")
            answer = post(url, data.encode())["outputs" if form == "columnar" else "predictions"]
            first = {key: values[:1] for key, values in samples[endpoint.name].items()}
            check_json(answer, form, {k: v for k, v in served.run(endpoint.name, first).items() if k[:7] != "unknown"})


def check_json(answer, form, expected):
    (row,) = answer if form == "row" else [answer]
    for key, values in expected.items():
        found = row[key] if isinstance(row, dict) else row
        values = values[0] if form == "row" else values
        if values.dtype == np.float32:
            np.testing.assert_allclose(np.array(found, np.float32), values, rtol=1e-3, atol=1e-3)
        else:
            assert found == values.tolist()


@pytest.mark.parametrize("scheme", SERVERS)
def test_the_python_examples_of_every_endpoint_print_what_the_model_answers(exported, scheme):
    served, samples = served_by(exported), samples_of(exported, 2)
    with SERVERS[scheme](served) as address:
        for endpoint in exported.endpoints:
            code = tf_serving.grpc_example(str(bundle_of(exported)), endpoint, samples[endpoint.name], address)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, {})
            expected = served.run(endpoint.name, {k: v[:1] for k, v in samples[endpoint.name].items()})
            assert printed.getvalue().startswith(("Recommendations(", "Scores(", "Vectors("))
            if endpoint.name == "recommend":
                assert repr(expected["items"].tolist()[0][0]) in printed.getvalue()
