"""``trtdsl.network``: networks written by hand, their names, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import trtdsl
from tests.cases.base import f32
from trtdsl.errors import ConversionError, RunError, ShapeError
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.softmax import SoftMax
from trtdsl.ir.topk import TopK, TopKOperation
from trtdsl.network import Network
from trtdsl.source import Source
from trtdsl.types import DimRange, DType

RELU = Activation(type=ActivationType.RELU)


def test_a_perceptron_by_hand() -> None:
    weight, bias = f32(8, 4), f32(4)
    with Network("perceptron") as net:
        x = net.input("x", (3, 8))
        hidden = RELU(x @ net.constant(weight, name="w") + net.constant(bias, name="b"))
        net.output(SoftMax(axis=1)(hidden), "probabilities")
    value = f32(3, 8, seed=1)
    expected = F.softmax(F.relu(value @ weight + bias), 1)
    torch.testing.assert_close(net.evaluate(value), expected, rtol=1e-6, atol=1e-7)
    assert [y.name for y in net.outputs] == ["probabilities"]


def test_several_outputs_come_as_a_tuple_and_inputs_by_position_or_name() -> None:
    with Network() as net:
        x, y = net.input("x", (2,)), net.input("y", (2,), DType.INT64)
        net.output(x + y, "sum")
        net.output(x - y, "difference")
    a, b = torch.tensor([1.5, 2.5]), torch.tensor([1, 2])
    for answer in (net.evaluate(a, b), net.evaluate(y=b, x=a)):
        assert isinstance(answer, tuple)
        assert [v.tolist() for v in answer] == [[2.5, 4.5], [0.5, 0.5]]


def test_names_are_unique_and_speak_of_modules() -> None:
    net = Network()
    x = net.input("x", (2, 3))
    with net.at(Source(module="layer1.0")):
        y = RELU(RELU(x))
        with net.at(Source(module="layer1.1")):
            y = RELU(y)
        y = RELU(y)
    net.output(RELU(y))
    assert [op.name for op in net.operations] == [
        "layer1.0/activation", "layer1.0/activation_2", "layer1.1/activation",
        "layer1.0/activation_3", "activation",
    ]  # fmt: skip
    names = [t.name for op in net.operations for t in op.outputs]
    assert len(set(names)) == len(names)


def test_names_that_look_like_counted_ones_stay_unique() -> None:
    net = Network()
    made = [net.constant(1.0, name=name) for name in ("w", "w_2", "w", "w", "w_2")]
    assert len({x.name for x in made}) == 5


def test_a_layer_of_two_outputs_names_each() -> None:
    net = Network()
    x = net.input("x", (2, 5))
    values, indices = TopK(op=TopKOperation.MAX, k=2, axis=1).outputs(x)
    assert (values.name, indices.name) == ("top_k:0", "top_k:1")
    assert values.producer is indices.producer
    net.output(values, "values")
    net.output(indices, "indices")
    v = f32(2, 5)
    got, expected = net.evaluate(v), v.topk(2)
    assert torch.equal(got[0], expected.values)
    assert torch.equal(got[1], expected.indices.to(got[1].dtype))


def test_constants_are_known_from_what_depends_on_an_input() -> None:
    net = Network()
    b = net.dim("b", min=1, opt=2, max=8)
    x = net.input("x", (b,))
    w = net.constant([1.0, 2.0])
    assert [t.is_constant for t in (w, w + 1, RELU(w * w), x, w.reshape(2, 1) + x)] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert not net.size(b).is_constant
    assert net.size(2, 3).is_constant


def test_weights_are_held_by_reference() -> None:
    weight = f32(2, 3)
    net = Network()
    x = net.constant(weight, name="weight")
    assert x.producer is not None
    assert x.producer.layer.evaluate().data_ptr() == weight.data_ptr()


def test_outputs_that_are_inputs_weights_or_given_twice_get_a_tensor_of_their_own() -> None:
    net = Network()
    x, w = net.input("x", (2,)), net.constant([3.0, 4.0])
    y = x * 2
    for name, tensor in {"same": x, "weight": w, "y": y, "again": y}.items():
        net.output(tensor, name)
    assert [t.name for t in net.outputs] == ["same", "weight", "y", "again"]
    assert len(set(net.outputs)) == 4
    value = torch.tensor([1.0, 2.0])
    got = net.evaluate(value)
    assert [t.tolist() for t in got] == [[1.0, 2.0], [3.0, 4.0], [2.0, 4.0], [2.0, 4.0]]
    for tensor in got:
        tensor.zero_()
    assert value.tolist() == [1.0, 2.0]
    assert net.evaluate(value)[1].tolist() == [3.0, 4.0]


def test_declarations_that_clash_are_refused() -> None:
    net = Network("one")
    x = net.input("x", (2,))
    with pytest.raises(ShapeError, match="input x: there is an input of that name"):
        net.input("x", (3,))
    with pytest.raises(ShapeError, match="input y: size 'b' is unknown"):
        net.input("y", (Network().dim("b", min=1, opt=1, max=2),))
    net.output(x + 1, "y")
    for name in ("x", "y"):
        with pytest.raises(ShapeError, match=f"output {name}: there is an input or output"):
            net.output(x + 2, name)
    with pytest.raises(ShapeError, match="belongs to network 'two'"):
        net.output(Network("two").input("z", (2,)))


def test_tensors_of_two_networks_do_not_mix() -> None:
    x, y = Network("one").input("x", (2,)), Network("two").input("y", (2,))
    with pytest.raises(ShapeError, match=r"y: f32\[2\] is of network 'two'"):
        x + y


def test_sizes_have_one_range() -> None:
    net = Network()
    b = net.dim("b", min=1, opt=2, max=8)
    assert net.dim("b", min=1, opt=2, max=8) == b
    assert net.symbols == {"b": DimRange(min=1, opt=2, max=8)}
    with pytest.raises(ShapeError, match=r"size b: it is 1\.\.2\.\.8 already, not 1\.\.2\.\.9"):
        net.dim("b", min=1, opt=2, max=9)
    for low, opt, high in ((2, 1, 3), (1, 4, 3), (-1, 1, 2)):
        with pytest.raises(ShapeError, match="not in order"):
            net.dim("h", min=low, opt=opt, max=high)


def test_evaluate_holds_inputs_to_the_declarations() -> None:
    net = Network()
    b = net.dim("b", min=2, opt=2, max=8)
    net.output(net.input("x", (b, 3)) * 2, "y")
    wrong = {
        "float64": torch.zeros(2, 3, dtype=torch.float64),
        r"\(2, 4\)": torch.zeros(2, 4),
        r"b in 2\.\.8": torch.zeros(9, 3),
        "1 argument": None,
    }
    for message, value in wrong.items():
        with pytest.raises(RunError, match=message):
            net.evaluate(*() if value is None else (value,))
    turned = f32(3, 4).T
    assert torch.equal(net.evaluate(turned), turned * 2)


def test_errors_of_layers_name_layer_inputs_and_place() -> None:
    net = Network()
    x = net.input("x", (2, 3))
    source = Source(module="head", operator="aten.softmax.int")
    with net.at(source), pytest.raises(ShapeError) as caught:
        SoftMax(axis=2)(x)
    assert "at:  soft_max(x: f32[2, 3]); aten.softmax.int, module head" in str(caught.value)


def test_the_printed_network_names_everything() -> None:
    with trtdsl.Network("tiny") as net:
        net.output(RELU(net.input("x", (2, 3))), "y")
    text = str(net)
    assert all(word in text for word in ("tiny", "x", "y", "f32[2, 3]"))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((-1, 3), r"input x: -1 in the shape \(-1, 3\) is no size\n  fix: give an int"),
        ((None, 3), r"None in the shape \(None, 3\) is no size"),
        (("rows", 3), r"'rows' in the shape \('rows', 3\) is no size"),
        ((2.5,), r"2\.5 in the shape \(2\.5,\) is no size"),
        (3, r"input x: shape is 3\n  fix: give all sizes: \(3,\)"),
        ("3", "input x: shape is '3'"),
    ],
)
def test_shapes_that_are_none(shape: Any, reason: str) -> None:
    with pytest.raises(ShapeError, match=reason):
        Network().input("x", shape)


def test_shapes_of_all_kinds_of_ints() -> None:
    net = Network()
    for i, shape in enumerate((torch.Size([2, 3]), [2, 3], np.array([2, 3]), (np.int64(2), 3))):
        assert net.input(f"x{i}", shape).shape == (2, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", 3, None])
def test_names_are_words(name: Any) -> None:
    with pytest.raises(ShapeError, match=f"an input is called {name!r}"):
        Network().input(name, (2,))


@pytest.mark.parametrize("given", [("a b", 1, 2, 3), ("rows", 1.0, 2, 3), ("rows", 1, None, 3)])
def test_sizes_are_ints_with_a_name(given: Any) -> None:
    name, low, best, high = given
    with pytest.raises(ShapeError, match=f"size {name!r} of {low}, {best}, {high}\n  fix: net.dim"):
        Network().dim(name, min=low, opt=best, max=high)


def test_reshape_and_permute_take_a_tuple_as_pytorch_does() -> None:
    net = Network()
    x = net.input("x", (2, 3))
    net.output(x.reshape((3, 2)).permute((1, 0)))  # type: ignore[arg-type]
    value = f32(2, 3)
    assert torch.equal(net.evaluate(value), value.reshape(3, 2).permute(1, 0))


def test_layers_are_given_tensors_and_as_many_as_they_take() -> None:
    x = Network().input("x", (2, 3))
    with pytest.raises(ShapeError, match=r"given a torch\.Tensor\n  fix: .*net\.constant"):
        RELU(torch.ones(2))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="takes the inputs x; 2 were given"):
        RELU(x, x)
    with pytest.raises(ShapeError, match="takes the inputs x; 0 were given"):
        RELU()


def test_a_word_is_none_of_tensorrts_enums() -> None:
    x = Network().input("x", (2, 3))
    layer = Activation(type="relu")  # type: ignore[arg-type]
    with pytest.raises(
        ShapeError, match=r"type is 'relu', a str(.|\n)*ActivationType\.NAME, of RELU"
    ):
        layer(x)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(torch.ones(3, device="meta"), "has no values"), (torch.eye(3).to_sparse(), "is sparse")],
)
def test_constants_have_values_for_each_place(value: torch.Tensor, reason: str) -> None:
    with pytest.raises(ConversionError, match=f"constant w {reason}"):
        Network().constant(value, name="w")


def test_a_constant_of_a_dtype_that_tensorrt_has_not() -> None:
    words = r"constant is torch\.float64, which TensorRT has not\n  fix: .*net\.constant\(x\.float"
    with pytest.raises(ConversionError, match=words):
        Network().constant(torch.ones(2).double())
