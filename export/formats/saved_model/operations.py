"""Which operations a SavedModel may have before it is run: those that endpoints are made of.

Loading a SavedModel runs its graph, and a graph can read and write files. A bundle of somebody else is looked through
first.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry

from zoo.errors import UserError

_DO_NOT = "It was not run. Do not use this bundle before you know who made it."

# What saves and restores variables. It is in every SavedModel, in functions of its own that no endpoint calls.
SAVING = frozenset(
    (
        *("AssignVariableOp", "DisableCopyOnRead", "MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"),
        *("StaticRegexFullMatch", "StringJoin"),
    )
)
_OF_SAVING = ("__inference__traced_save", "__inference__traced_restore")

# Operations with a state or with texts that endpoints are made of: variables, tables of ids, lists, assertions, and
# calls of functions, which are looked through themselves.
ENDPOINTS = frozenset(
    (
        *("Assert", "AsString", "Case", "Einsum", "HashTableV2", "If", "LookupTableFindV2", "LookupTableImportV2"),
        *("NoOp", "PartitionedCall", "Placeholder", "ReadVariableOp", "ResourceGather", "StatefulPartitionedCall"),
        *("StatelessCase", "StatelessIf", "StatelessWhile", "VarHandleOp", "While"),
        *("TensorListFromTensor", "TensorListGetItem", "TensorListLength", "TensorListReserve", "TensorListSetItem"),
        *("TensorListStack",),
    )
)

# Attributes that are texts and name nothing outside a graph.
_HARMLESS_TEXTS = ("bad_indices_policy",)

# Types that may stand for something outside a graph: texts, resources and variants.
_OF_MORE_THAN_NUMBERS = frozenset({types_pb2.DT_STRING, types_pb2.DT_RESOURCE, types_pb2.DT_VARIANT})


@functools.cache
def is_allowed(operation: str) -> bool:
    """Whether an operation is one of endpoints, or computes numbers from numbers and can reach nothing else.

    Example:

    >>> [is_allowed(operation) for operation in ("MatMul", "ReadVariableOp", "WriteFile", "ReadFile", "PyFunc")]
    [True, True, False, False, False]
    """
    described = op_def_registry.get(operation)
    if described is None or described.is_stateful:
        return operation in ENDPOINTS
    types = {argument.type for argument in (*described.input_arg, *described.output_arg)}
    # A text that is one of a few, such as the layout of an image, names no file.
    texts = [
        one.name
        for one in described.attr
        if "string" in one.type and not one.allowed_values.list.s and one.name not in _HARMLESS_TEXTS
    ]
    calls = any("func" in one.type for one in described.attr)
    return operation in ENDPOINTS or not (types & _OF_MORE_THAN_NUMBERS or texts or calls)


def check_operations(folder: Path) -> None:
    """Raises a `UserError` if a SavedModel has an operation that no endpoint needs. Nothing of it is run.

    Args:
        folder: The folder of the version, with `saved_model.pb`.
    """
    path = folder / "saved_model.pb"
    model = SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise UserError(f"{path}: not readable as a SavedModel ({error}). Export the run anew.") from error
    for graph in model.meta_graphs:
        if graph.asset_file_def or any(node.HasField("asset") for node in graph.object_graph_def.nodes):
            raise UserError(f"{path}: reads files beside it, which no bundle does. {_DO_NOT}")
        saving = {one.signature.name for one in graph.graph_def.library.function if _is_of_saving(one.signature.name)}
        for function in graph.graph_def.library.function:
            allowed = SAVING if function.signature.name in saving else frozenset()
            _check(path, function.node_def, allowed, saving)
        if saving & set(graph.object_graph_def.concrete_functions):
            raise UserError(f"{path}: calls what writes files, which no endpoint does. {_DO_NOT}")
        # Nodes of the graph itself call the functions that save and restore, and are not run when it is loaded.
        _check(path, graph.graph_def.node, frozenset(), set())


def _is_of_saving(function: str) -> bool:
    return function.startswith(_OF_SAVING)


def _check(path: Path, nodes: Iterable[NodeDef], allowed: frozenset[str], saving: Collection[str]) -> None:
    """Raises a `UserError` for the first node that is not allowed, or that calls a function that saves or restores."""
    for node in nodes:
        if not (node.op in allowed or is_allowed(node.op)):
            raise UserError(f"{path}: has the operation {node.op!r} ({node.name}), which no endpoint needs. {_DO_NOT}")
        called = {one.name for value in node.attr.values() for one in (value.func, *value.list.func)}
        if called & set(saving):
            raise UserError(f"{path}: calls what writes files ({node.name}), which no endpoint does. {_DO_NOT}")
