from __future__ import annotations

import pytest

import zoo
from zoo.errors import UserError
from zoo.schema import Schema


def test_heads_that_do_not_divide_the_width_are_refused():
    schema = Schema.of_ids(num_users=3, num_items=5, history_length=4)
    with pytest.raises(UserError, match=r"num_heads .* divide the width 6 \(embedding_dim\)\. Received: 4"):
        zoo.build("sasrec", schema, embedding_dim=6, num_heads=4)


def test_an_item_has_one_vector_as_input_and_as_output():
    model = zoo.build("sasrec", num_users=3, num_items=50, embedding_dim=4)
    assert sum(52 in weight.shape for weight in model.weights) == 1
