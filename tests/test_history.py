"""What one call of a module leaves to the next: refused where answers depend on it, else let be."""

import functools
import itertools
import random
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import trtdsl
from tests import remembering
from trtdsl.export import source_files
from trtdsl.export.unchecked import UncheckedWarning

X = torch.arange(12.0).reshape(3, 4) - 5


class Block(nn.Module):
    """What the models below have a state in: a submodule, which torch.export looks at less."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.calls = 0
        self.past: Tensor | None = None
        self.seen: list[Tensor] = []
        self.cache = Cache()
        self.table: Tensor | None = None
        self.plain = torch.zeros(4)
        self.slots, self.counted, self.numbers = Slots(), closure(), itertools.count(1)
        self.generator, self.random = np.random.default_rng(0), random.Random(0)
        self.array = np.zeros(4, np.float32)
        self.tensors = {"mean": torch.zeros(4)}


class Cache:
    """An object of no class of PyTorch's, as caches of keys and values are."""

    def __init__(self) -> None:
        self.layers: list[Tensor] = []


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = self.kind()

    kind: type[nn.Module]

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) * 2


def model(forward) -> nn.Module:
    kind = type("Stateful", (Block,), {"forward": forward})
    return type("Whole", (Model,), {"kind": kind})().eval()


def assigned_buffer(self, x):
    self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
    return x - self.mean


def counter(self, x):
    self.calls += 1
    return x * self.calls


def last_input(self, x):
    past = x if self.past is None else self.past
    self.past = x
    return x - past


def growing(self, x):
    self.seen.append(x)
    return torch.cat(self.seen).sum(0)


def object_of_their_own(self, x):
    self.cache.layers.append(x)
    return sum(self.cache.layers)


def plain_tensor(self, x):
    self.plain.add_(x.mean(0))
    return x - self.plain


def tensor_in_a_dict(self, x):
    self.tensors["mean"] += x.mean(0)
    return x - self.tensors["mean"]


class Slots:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


def counter_in_a_slot(self, x):
    self.slots.count += 1
    return x * self.slots.count


def counter_in_a_closure(self, x):
    return self.counted(x)


def closure():
    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        return x * calls

    return counted


def iterator(self, x):
    return x * next(self.numbers)


def drawn_by_numpy(self, x):
    return x * self.generator.random()


def drawn_by_python(self, x):
    return x * self.random.random()


def array_in_place(self, x):
    self.array += 1
    return x + torch.from_numpy(self.array.copy())


@pytest.mark.parametrize(
    ("forward", "name"),
    [
        (counter_in_a_slot, r"block\.slots\.count"),
        (counter_in_a_closure, r"block\.counted\.calls"),
        (iterator, r"block\.numbers"),
        (drawn_by_numpy, r"block\.generator"),
        (drawn_by_python, r"block\.random"),
        (array_in_place, r"block\.array"),
    ],
)
def test_what_is_no_attribute_of_its_own_is_followed(forward, name):
    stateful = model(forward)
    with pytest.raises(trtdsl.ConversionError, match=f"the calls before, by {name}, and an engine"):
        trtdsl.trace(stateful, (X,))
    if forward not in (iterator, drawn_by_numpy):  # which do not go back
        assert torch.equal(stateful(X), model(forward)(X))


CALLS = 0
SEEN: list[int] = []
TABLES: dict[int, Tensor] = {}


def global_counter(self, x):
    global CALLS
    CALLS += 1
    return x * CALLS


def global_list(self, x):
    SEEN.append(1)
    return x * len(SEEN)


def counter_of_the_class(self, x):
    Block.total = getattr(Block, "total", 0) + 1
    return x * Block.total


def counter_of_another_file(self, x):
    return x * remembering.count()


def class_of_another_file(self, x):
    remembering.Counter.total += 1
    return x * remembering.Counter.total


def default_argument(self, x, seen=[]):  # noqa: B006
    seen.append(0)
    return x * len(seen)


@pytest.mark.parametrize(
    ("forward", "name"),
    [
        (counter_of_another_file, r"tests\.remembering\.CALLS"),
        (class_of_another_file, r"Counter\.total"),
        (default_argument, "a default argument of default_argument"),
        (global_counter, r"tests\.test_history\.CALLS"),
        (global_list, r"tests\.test_history\.SEEN"),
        (counter_of_the_class, r"Block\.total"),
    ],
)
def test_what_is_global_is_followed(forward, name):
    with pytest.raises(trtdsl.ConversionError, match=f"the calls before, by {name}, and an engine"):
        trtdsl.trace(model(forward), (X,))


@pytest.mark.parametrize(
    ("forward", "name"),
    [(plain_tensor, r"block\.plain"), (tensor_in_a_dict, "a tensor of block that is no buffer")],
)
def test_tensors_written_in_place_are_refused(forward, name):
    with pytest.raises(trtdsl.ConversionError, match=f"updates {name} in place, and an engine"):
        trtdsl.trace(model(forward), (X,))


@functools.cache
def table(n):
    return torch.arange(float(n)) * 3


def remembered(self, x):
    return x * table(x.shape[1])


def remembered_in_a_dict(self, x):
    if x.shape[1] not in TABLES:
        TABLES[x.shape[1]] = torch.arange(4.0) * 3
    return x * TABLES[x.shape[1]]


def remembered_by_another_file(self, x):
    return x * remembering.remembered(x.shape[1])


@pytest.mark.parametrize("forward", [remembered, remembered_in_a_dict, remembered_by_another_file])
def test_what_functions_remember_is_never_a_fake_tensor(forward):
    wanted = X * torch.arange(4.0) * 6
    for _ in range(2):
        assert torch.equal(trtdsl.trace(model(forward), (X,)).evaluate(X), wanted)
        assert torch.equal(model(forward)(X), wanted)
        table.cache_clear()
        remembering.remembered.cache_clear()
        TABLES.clear()


class Absent:
    """What stands for something else, as a web framework's request does, and has not got it."""

    @property
    def __class__(self):
        raise RuntimeError("outside of a request")


class Lazy(OrderedDict):
    """What loads its items when they are asked for, and cannot."""

    def items(self):
        raise ValueError("no such item")

    __iter__ = keys = values = __len__ = __bool__ = items


class LazyList(list):
    def __iter__(self):
        raise ValueError("no such item")


REQUEST, LAZY, LAZY_LIST = Absent(), Lazy(), LazyList()


def test_what_is_global_is_not_asked_for_its_class_or_its_items():
    assert trtdsl.trace(model(collected), (X,)).evaluate(X).shape == X.shape


def test_files_that_an_installer_put_elsewhere_are_not_the_users(tmp_path, monkeypatch):
    (tmp_path / "installed.py").write_text("def count(): ...")
    monkeypatch.syspath_prepend(tmp_path)
    import installed

    try:
        assert source_files._is_the_users(installed)
        (tmp_path / "installed-1.0.dist-info").mkdir()
        (tmp_path / "installed-1.0.dist-info" / "METADATA").write_text("Name: installed\n")
        (tmp_path / "installed-1.0.dist-info" / "RECORD").write_text("installed.py,,\n")
        monkeypatch.syspath_prepend(tmp_path / "other")  # the folders are looked at again
        assert not source_files._is_the_users(installed)
        assert source_files._is_the_users(remembering)
        (tmp_path / "beside.py").write_text("")
        import beside

        assert source_files._is_the_users(beside)
    finally:
        del sys.modules["installed"]
        sys.modules.pop("beside", None)


@pytest.mark.parametrize(
    ("forward", "name"),
    [
        (assigned_buffer, "block.mean"),
        (counter, "block.calls"),
        (last_input, "block.past"),
        (growing, "block.seen"),
        (object_of_their_own, "block.cache.layers"),
    ],
)
def test_answers_that_depend_on_earlier_calls_are_refused_by_name(forward, name):
    stateful = model(forward)
    with pytest.raises(trtdsl.ConversionError, match=f"the calls before, by {name}, and an engine"):
        trtdsl.trace(stateful, (X,))
    # Nothing of the calls is left in the model: it answers as it would have the first time.
    assert torch.equal(stateful(X), model(forward)(X))


def collected(self, x):
    self.seen.append(x)
    self.past = x
    return x + 1


def computed_once(self, x):
    if self.table is None:
        self.table = torch.arange(4.0) * 3
    return x * self.table


def shape_kept(self, x):
    self.size = x.shape
    return x.reshape(-1) * self.size[0]


@pytest.mark.parametrize("forward", [collected, computed_once, shape_kept])
def test_what_no_answer_depends_on_is_let_be(forward):
    harmless = model(forward)
    network = trtdsl.trace(harmless, (X,))
    assert (harmless.block.seen, harmless.block.past, harmless.block.table) == ([], None, None)
    assert torch.equal(network.evaluate(X * 3), model(forward)(X * 3))


def test_state_is_found_for_sizes_that_vary_too():
    sizes = {"x": {0: torch.export.Dim("rows", min=2, max=8)}}
    with pytest.raises(trtdsl.ConversionError, match=r"by block\.past"):
        trtdsl.trace(model(last_input), (X,), dynamic_shapes=sizes)


@pytest.mark.parametrize(
    ("draw", "source"),
    [(random.random, "Python's random"), (np.random.rand, "numpy.random")],
)
def test_random_numbers_of_python_are_no_constants(draw, source):
    def forward(self, x):
        return x * draw()

    random.seed(0)
    np.random.seed(0)
    with pytest.raises(trtdsl.ConversionError, match=f"draws from {source}, and an engine"):
        trtdsl.trace(model(forward), (X,))


def test_random_numbers_that_no_answer_needs_are_let_be():
    def forward(self, x):
        skipped = random.random() < 0.5
        return x * 0 if skipped and self.training else x + 1

    assert torch.equal(trtdsl.trace(model(forward), (X,)).evaluate(X), (X + 1) * 2)


def seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def test_looking_for_state_draws_no_random_numbers_of_the_users():
    seed()
    expected = random.random(), np.random.rand(), torch.rand(2).tolist()
    seed()
    trtdsl.trace(model(collected), (X,))
    assert (random.random(), np.random.rand(), torch.rand(2).tolist()) == expected


def test_a_model_that_cannot_be_called_twice_is_said_to_be_unchecked():
    def forward(self, x):
        self.calls += 1
        if type(x) is Tensor:
            raise RuntimeError("no memory")
        return x + 1

    with pytest.warns(UncheckedWarning, match=r"changes block\.calls .* RuntimeError: no memory"):
        trtdsl.trace(model(forward), (X,))
