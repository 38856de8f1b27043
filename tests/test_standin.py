"""The stand-in ``tensorrt``: what the releases lack is refused, what they have is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests import standin
from tests.standin import MissingNameError, RefusedError, StandInError
from tests.standin.release import Release
from tests.standin.signatures import parse

every_release = pytest.mark.parametrize("version", standin.VERSIONS)


def network_of(trt: Any, *flag_names: str) -> Any:
    kinds = trt.NetworkDefinitionCreationFlag
    names = flag_names or ("EXPLICIT_BATCH", "STRONGLY_TYPED")
    flags = sum(1 << int(getattr(kinds, n)) for n in names if hasattr(kinds, n))
    return trt.Builder(trt.Logger()).create_network(flags)


def input_of(trt: Any, network: Any, shape: tuple[int, ...] = (1, 3, 8, 8)) -> Any:
    return network.add_input("x", trt.float32, shape)


def test_there_are_eight_releases_in_order() -> None:
    assert standin.VERSIONS == [
        "8.6.1",
        "10.0.1",
        "10.3.0",
        "10.8.0.43",
        "10.13.3.9",
        "10.16.1.11",
        "11.0.0.114",
        "11.4.0.106",
    ]


@every_release
def test_a_network_can_be_built_and_is_recorded(version: str) -> None:
    trt = standin.load(version)
    network = network_of(trt)
    x = input_of(trt, network)
    kernel = np.ones((4, 3, 3, 3), np.float32)
    conv = network.add_convolution_nd(x, 4, (3, 3), kernel=kernel)
    conv.stride_nd, conv.name = (2, 2), "stem/convolution"
    topk = network.add_topk(conv.get_output(0), trt.TopKOperation.MAX, 1, 2)
    network.mark_output(topk.get_output(1))

    assert trt.__version__ == version
    assert trt.is_standin
    assert [call.method for call in network.calls] == [
        "add_input",
        "add_convolution_nd",
        "add_topk",
        "mark_output",
    ]
    assert network.calls[1].args["kernel_shape"] == (3, 3)
    assert network.calls[1].args["bias"] is None
    assert (network.num_layers, network.num_inputs, network.num_outputs) == (2, 1, 1)
    assert network.get_layer(0) is conv
    assert (conv.stride_nd, conv.kernel_size_nd, conv.name) == ((2, 2), (3, 3), "stem/convolution")
    assert conv.type == trt.LayerType.CONVOLUTION
    np.testing.assert_array_equal(conv.kernel, kernel.reshape(-1))
    assert (topk.num_outputs, topk.num_inputs, topk.k) == (2, 1, 1)
    assert topk.get_output(0) is not topk.get_output(1)
    assert topk.get_input(0) is conv.get_output(0)
    assert (x.shape, x.dtype) == ((1, 3, 8, 8), trt.float32)


@every_release
def test_building_gives_bytes_or_none_with_a_message(version: str) -> None:
    trt = standin.load(version)

    class Ears(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.heard: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            assert severity <= self.ERROR
            self.heard.append(msg)

    logger = Ears()
    builder = trt.Builder(logger)
    explicit = int(version.startswith("8"))
    network, config = builder.create_network(flags=explicit), builder.create_builder_config()
    x = network.add_input("x", trt.float32, (-1, 3))
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 20)
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 1 << 20

    assert builder.build_serialized_network(network, config) is None
    network.mark_output(network.add_identity(x).get_output(0))
    assert builder.build_serialized_network(network, config) is None
    assert ["at least one output" in logger.heard[0], "profile" in logger.heard[1]] == [True, True]

    profile = builder.create_optimization_profile()
    profile.set_shape("x", (1, 3), (4, 3), (8, 3))
    assert profile.get_shape("x") == [(1, 3), (4, 3), (8, 3)]
    assert config.add_optimization_profile(profile) == 0
    plan = builder.build_serialized_network(network, config)
    assert bytes(plan).startswith(f"stand-in plan {version}".encode())
    assert len(bytes(plan)) == plan.nbytes


@every_release
def test_every_signature_and_default_can_be_read(version: str) -> None:
    release = Release(version)
    texts = [
        text
        for spec in release.data["classes"].values()
        for overloads in spec["methods"].values()
        for text in overloads
    ]
    assert len(texts) > 400
    for text in texts:
        names = [p.name for p in parse(text).parameters]
        assert len(set(names)) == len(names), text
        assert all(name.isidentifier() for name in names), text


@pytest.mark.parametrize(
    ("version", "member"),
    [
        ("10.0.1", "add_fully_connected"),
        ("10.0.1", "add_squeeze"),
        ("8.6.1", "add_cumulative"),
        ("11.4.0.106", "add_convolution"),
    ],
)
def test_a_method_that_the_release_lacks_is_refused(version: str, member: str) -> None:
    network = network_of(standin.load(version))
    assert not hasattr(network, member)
    with pytest.raises(MissingNameError, match=rf"{version}: INetworkDefinition\.{member}"):
        getattr(network, member)


def test_a_module_name_or_enum_member_that_the_release_lacks_is_refused() -> None:
    trt = standin.load("11.0.0.114")
    with pytest.raises(MissingNameError, match=r"BuilderFlag has no member FP16; it has .*TF32"):
        _ = trt.BuilderFlag.FP16
    with pytest.raises(MissingNameError, match="has no IInt8Calibrator"):
        _ = trt.IInt8Calibrator
    assert not hasattr(standin.load("8.6.1"), "bfloat16")


def test_enum_values_are_the_release_own() -> None:
    values = [
        int(standin.load(v).NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        for v in ("10.0.1", "11.0.0.114")
    ]
    assert values == [1, 0]


def test_arguments_are_held_against_the_signature() -> None:
    trt = standin.load("10.13.3.9")
    network = network_of(trt)
    x = input_of(trt, network)
    relu = trt.ActivationType.RELU
    refused: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((x,), {"kind": relu}, "has no parameter 'kind'"),
        ((x,), {}, "'type' is missing"),
        ((x, relu, 1), {}, "takes 2 arguments, 3 given"),
        ((x, relu), {"type": relu}, "'type' given twice"),
        ((x, trt.TopKOperation.MAX), {}, "'type': .* is no ActivationType"),
        ((x, int(relu)), {}, "'type': builtins.int 0 is no ActivationType"),
        ((x, standin.load("8.6.1").ActivationType.RELU), {}, "is no ActivationType"),
        ((torch.zeros(2), relu), {}, "'input': torch.Tensor .* is no ITensor"),
        ((None, relu), {}, "'input': .*None is no ITensor"),
    ]
    for args, kwargs, reason in refused:
        with pytest.raises(RefusedError, match=reason):
            network.add_activation(*args, **kwargs)
    assert network.num_layers == 0
    assert [c.method for c in network.calls] == ["add_input"]


@pytest.mark.parametrize("shape", [torch.zeros(2), 3, (1.0,), "12", (1,) * 9, None, (True,)])
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    trt = standin.load("10.0.1")
    with pytest.raises(RefusedError, match="'shape'"):
        network_of(trt).add_input("x", trt.float32, shape)


@pytest.mark.parametrize("shape", [(2, 3), [2, 3], torch.Size([2, 3]), (np.int64(2), 3)])
def test_what_is_a_shape_is_taken(shape: Any) -> None:
    trt = standin.load("10.0.1")
    assert network_of(trt).add_input("x", trt.float32, shape).shape == (2, 3)


@pytest.mark.parametrize(
    ("version", "array", "name"),
    [
        ("8.6.1", np.zeros(3, np.int64), None),
        ("10.0.1", np.zeros(3, np.int64), "INT64"),
        ("10.0.1", np.zeros(3, np.float64), None),
        ("10.0.1", np.zeros(3, ">f4"), None),
        ("10.0.1", np.zeros((3, 2), np.float32).T, None),
        ("8.6.1", np.zeros(3, np.float16), "HALF"),
        ("8.6.1", torch.zeros(3), None),
    ],
)
def test_weights_take_the_arrays_that_the_release_takes(
    version: str, array: Any, name: str | None
) -> None:
    trt = standin.load(version)
    if name is None:
        with pytest.raises(RefusedError):
            trt.Weights(array)
        with pytest.raises(RefusedError, match="'weights'"):
            network_of(trt).add_constant((3,), array)
    else:
        weights = trt.Weights(array)
        assert weights.dtype == getattr(trt.DataType, name)
        assert (weights.size, weights.nbytes) == (3, array.nbytes)


def test_overloads_are_told_apart() -> None:
    old, new = standin.load("8.6.1"), standin.load("10.0.1")
    with pytest.raises(RefusedError, match=r"Weights\.__init__"):
        old.Weights(old.float32, 4096, 2)
    assert new.Weights(new.bfloat16, 4096, 2).nbytes == 4
    assert new.Weights().dtype == new.float32

    network = network_of(new)
    fill = new.FillOperation.LINSPACE
    assert network.add_fill((4,), fill, new.int64).to_type == new.int64
    network.add_fill((4,), fill)
    assert list(network.calls[-1].args) == ["shape", "op"]
    with pytest.raises(RefusedError, match="takes 2 arguments, 3 given"):
        network_of(old).add_fill((4,), old.FillOperation.LINSPACE, old.int32)


def test_a_read_only_property_refuses_assignment() -> None:
    new, old = standin.load("11.0.0.114"), standin.load("8.6.1")
    tensor = input_of(new, network_of(new))
    with pytest.raises(MissingNameError, match=r"ITensor\.dtype is read-only"):
        tensor.dtype = new.float16
    tensor = input_of(old, network_of(old))
    tensor.dtype = old.float16
    assert tensor.dtype == old.float16


def test_an_assignment_is_held_against_the_property() -> None:
    trt = standin.load("10.3.0")
    network = network_of(trt)
    conv = network.add_convolution_nd(input_of(trt, network), 1, (1, 1), np.ones(3, np.float32))
    with pytest.raises(MissingNameError, match=r"IConvolutionLayer\.stride:"):
        conv.stride = (1, 1)
    with pytest.raises(RefusedError, match=r"IConvolutionLayer\.num_groups .* is no int"):
        conv.num_groups = 1.0
    with pytest.raises(RefusedError, match="is no PaddingMode"):
        conv.padding_mode = trt.ScaleMode.CHANNEL


def test_a_strongly_typed_network_refuses_weak_typing() -> None:
    trt = standin.load("10.13.3.9")
    layer = (strong := network_of(trt)).add_identity(input_of(trt, strong))
    for act in (
        lambda: setattr(layer, "precision", trt.float16),
        lambda: layer.set_output_type(0, trt.float16),
        lambda: setattr(layer.get_output(0), "dtype", trt.float16),
    ):
        with pytest.raises(RefusedError, match="strongly typed"):
            act()
    weak = network_of(trt, "EXPLICIT_BATCH")
    layer = weak.add_identity(input_of(trt, weak))
    layer.precision = trt.float16
    layer.set_output_type(0, trt.float16)
    assert (layer.precision_is_set, layer.get_output(0).dtype) == (True, trt.float16)


def test_type_flags_are_refused_for_a_strongly_typed_network() -> None:
    trt = standin.load("10.13.3.9")
    network = network_of(trt)
    config = network.state["builder"].create_builder_config()
    config.set_flag(trt.BuilderFlag.FP16)
    with pytest.raises(StandInError, match=r"FP16.* on a strongly typed network"):
        network.state["builder"].build_serialized_network(network, config)


def test_nothing_is_inferred() -> None:
    trt = standin.load("8.6.1")
    network = network_of(trt)
    y = network.add_identity(input_of(trt, network)).get_output(0)
    for member in ("shape", "dtype"):
        with pytest.raises(StandInError, match=rf"ITensor\.{member} was never set"):
            getattr(y, member)


def test_implicit_batch_unknown_flags_and_foreign_tensors_are_refused() -> None:
    old, new = standin.load("8.6.1"), standin.load("11.0.0.114")
    with pytest.raises(StandInError, match="the batch would be implicit"):
        old.Builder(old.Logger()).create_network()
    with pytest.raises(StandInError, match="flags 0b1000 are more than"):
        new.Builder(new.Logger()).create_network(0b1000)
    with pytest.raises(StandInError, match="another network's"):
        network_of(new).add_identity(input_of(new, network_of(new)))


def test_loops_add_their_layers_to_the_network() -> None:
    trt = standin.load("10.0.1")
    network = network_of(trt)
    x = input_of(trt, network)
    loop = network.add_loop()
    count = network.add_constant((), np.array(3, np.int32)).get_output(0)
    assert loop.add_trip_limit(count, trt.TripLimit.COUNT).num_outputs == 0
    recurrence = loop.add_recurrence(x)
    recurrence.set_input(1, network.add_identity(recurrence.get_output(0)).get_output(0))
    assert (recurrence.num_inputs, network.num_layers) == (2, 4)


def test_a_subclass_must_call_the_constructor() -> None:
    trt = standin.load("10.0.1")

    class Silent(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.phases = 0

    with pytest.raises(RefusedError, match=r"IProgressMonitor\.__init__ must be called"):
        Silent()
    with pytest.raises(RefusedError, match="ITensor has no constructor"):
        trt.ITensor()


def test_imports_find_the_installed_release() -> None:
    with standin.installed("10.16.1.11") as module:
        import tensorrt  # type: ignore[import-not-found, unused-ignore]

        assert tensorrt is module
        assert tensorrt.plugin is module.plugin
    assert not hasattr(standin.load("10.3.0"), "plugin")


def test_module_functions() -> None:
    trt = standin.load("10.0.1")
    assert trt.volume(trt.Dims((2, 3))) == 6
    assert trt.nptype(trt.int64) is np.int64
    with pytest.raises(TypeError, match="Could not resolve"):
        trt.nptype(trt.bfloat16)
    assert (trt.bfloat16.itemsize, trt.int4.itemsize) == (2, 0.5)
    assert standin.load("8.6.1").ResizeMode is standin.load("8.6.1").InterpolationMode
