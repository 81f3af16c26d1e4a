"""Layers that the caller of an exported graph may leave out, as If nodes.

``torch.cond`` says the same, but its tracing takes minutes for a few layers and refuses buffers
that are used twice. So a graph is exported with a placeholder for each group of layers; the groups
are exported by themselves, and put in its place as the branches of an If.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

DOMAIN = "logdet"


def placeholder(z: Tensor, context: Tensor | None, depth: Tensor, group: int) -> Tensor:
    """In a traced graph: a group's result and its log-det behind it, ``(batch, latents + 1)``.

    Args:
        z: Shape ``(batch, latents)``.
        context: Shape ``(batch, context_features)``; None without.
        depth: That the caller chose, a scalar.
        group: Number of the group in the graph.
    """
    given = (z, depth) if context is None else (z, depth, context)
    return torch.onnx.ops.symbolic(
        f"{DOMAIN}::Carried",
        given,
        {"group": group},
        dtype=z.dtype,
        shape=(z.shape[0], z.shape[1] + 1),
        version=1,
    )


def with_groups(
    model: onnx.ModelProto, groups: Sequence[onnx.ModelProto], ends: Sequence[int]
) -> onnx.ModelProto:
    """Put groups of layers in the place of their placeholders.

    Args:
        model: With placeholders.
        groups: Graphs from ``z`` and maybe ``context`` to ``carried``, by number.
        ends: Of each group, the depth from which on it is run.
    """
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.domain != DOMAIN:
            nodes.append(node)
            continue
        group = next(a.i for a in node.attribute if a.name == "group")
        nodes.extend(_choice(node, groups[group], group, ends[group]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    kept = [one for one in model.opset_import if one.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def _choice(
    node: onnx.NodeProto, group: onnx.ModelProto, number: int, end: int
) -> list[onnx.NodeProto]:
    z, depth, *context = node.input
    name = f"group_{number}_"
    limit, taken = f"{name}end", f"{name}taken"
    value = helper.make_tensor(limit, TensorProto.INT64, [], [end])
    return [
        helper.make_node("Constant", [], [limit], value=value),
        helper.make_node("GreaterOrEqual", [depth, limit], [taken]),
        helper.make_node(
            "If",
            [taken],
            list(node.output),
            then_branch=_branch(
                group.graph, name, dict(zip(("z", "context"), (z, *context), strict=False))
            ),
            else_branch=_left_out(z, name),
        ),
    ]


def _left_out(z: str, name: str) -> onnx.GraphProto:
    """The rows as they are, and a log-det of zero behind them."""
    pads, result = f"{name}pads", f"{name}as_it_is"
    value = helper.make_tensor(pads, TensorProto.INT64, [4], [0, 0, 0, 1])
    nodes = [
        helper.make_node("Constant", [], [pads], value=value),
        helper.make_node("Pad", [z, pads], [result]),
    ]
    output = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
    return helper.make_graph(nodes, f"{name}left_out", [], [output])


def _branch(graph: onnx.GraphProto, name: str, given: dict[str, str]) -> onnx.GraphProto:
    """A graph inside of another: its inputs are values of the outer one, its names its own."""
    names = {one.name: given[one.name] for one in graph.input}

    def renamed(value: str) -> str:
        return names.get(value, f"{name}{value}") if value else ""

    def copied(inner: onnx.GraphProto) -> onnx.GraphProto:
        result = onnx.GraphProto()
        result.CopyFrom(inner)
        for entry in (*result.initializer, *result.input, *result.output):
            entry.name = renamed(entry.name)
        for node in result.node:
            node.name = f"{name}{node.name}"
            for values in (node.input, node.output):
                values[:] = [renamed(value) for value in values]
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    attribute.g.CopyFrom(copied(attribute.g))
        return result

    branch = copied(graph)
    branch.name = f"{name}taken"
    del branch.input[:]
    del branch.value_info[:]
    return branch
