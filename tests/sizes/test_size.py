"""The size of a model: FORMULAS §8 line by line, torchinfo's and hand counts, and real optimizers' bytes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchinfo
from torch import Tensor, nn
from typer.testing import CliRunner

import thalweg as tw
from thalweg.cli.main import app
from thalweg.errors import UsageError
from thalweg.sizes.known import INCEPTIONS, KNOWN, googlenet
from thalweg.sizes.layers import layers
from thalweg.sizes.memory import FORMATS
from thalweg.sizes.size import Size

from ..cases import mostly_slow
from . import models

# What the layers of AlexNet come to by hand, without biases, and the digit up to which it is said.
BY_HAND = {
    "conv1": (35, 1e3),
    "conv2": (307, 1e3),
    "conv3": (884, 1e3),
    "conv4": (663, 1e3),
    "conv5": (442, 1e3),
    "dense1": (177, 1e6),
    "dense2": (16, 1e6),
    "dense3": (4, 1e6),
}
SPLIT = {
    "conv1": 11 * 11 * 3 * 48,
    "conv2": 5 * 5 * 48 * 128,
    "conv3": 3 * 3 * (2 * 128) * 192,
    "conv4": 3 * 3 * 192 * 192,
    "conv5": 3 * 3 * 192 * 128,
    "dense1": 13 * 13 * (2 * 128) * 2048,
    "dense2": 4096 * 2048,
}


def rows(size: Size, depth: int | None = None) -> dict[str, Any]:
    return {row["layer"]: row for row in size.table(depth).to_dict("records")}


def test_alexnet_on_two_gpus_line_by_line() -> None:
    size = tw.size("alexnet-2gpu")
    whole, each = rows(size, depth=1), rows(size)
    assert {name for name, row in whole.items() if row["weights"]} == set(BY_HAND)
    for name, (count, unit) in BY_HAND.items():
        assert abs(whole[name]["weights"] / unit - count) < 1, name
    for name, half in SPLIT.items():
        assert each[f"{name}.gpu1"]["weights"] == each[f"{name}.gpu2"]["weights"] == half
        assert whole[name]["weights"] == 2 * half
    assert whole["dense1"]["weights"] == 177_209_344
    assert each["conv5.gpu1"]["output"] == (1, 128, 13, 13)  # what the 177 million read


def test_alexnet_in_one_piece() -> None:
    size = tw.size("alexnet")
    assert size.parameters == 60_965_224
    found = rows(size)
    assert found["dense1"]["weights"] == 6 * 6 * 256 * 4096
    halves = rows(tw.size("alexnet-2gpu"), depth=1)
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        assert found[name]["weights"] == halves[name]["weights"] or name == "conv3"
        assert found[name]["multiply_adds"] == halves[name]["multiply_adds"]
    assert (found["conv1"]["kernel"], found["conv1"]["stride"], found["conv1"]["padding"]) == ((11, 11), (4, 4), (2, 2))
    assert found["conv2"]["groups"] == 2


def test_googlenet_block_by_block() -> None:
    size, each = tw.size("googlenet"), rows(tw.size("googlenet"), depth=1)
    side = {"3": 28, "4": 14, "5": 7}
    for name, (inputs, ones, before3, threes, before5, fives, pooled) in INCEPTIONS.items():
        weights = inputs * (ones + before3 + before5 + pooled) + 9 * before3 * threes + 25 * before5 * fives
        area = side[name[9]] ** 2
        assert (each[name]["weights"], each[name]["multiply_adds"]) == (weights, weights * area), name
        assert each[name]["biases"] == ones + before3 + threes + before5 + fives + pooled
        assert each[name]["output"] == (1, ones + threes + fives + pooled, side[name[9]], side[name[9]])
    assert size.parameters == 6_998_552


def test_googlenet_as_torchvision_has_it() -> None:
    """With batch norm in place of biases, and 3×3 where the paper has 5×5, as its published count says."""
    convolutions = [m for m in googlenet().modules() if isinstance(m, nn.Conv2d)]
    filters = sum(m.in_channels * m.out_channels * {1: 1, 3: 9, 5: 9, 7: 49}[m.kernel_size[0]] for m in convolutions)
    norms = 2 * sum(m.out_channels for m in convolutions)
    assert filters + norms + 1024 * 1000 + 1000 == 6_624_904


def test_a_bottleneck_saves_weights() -> None:
    found = rows(tw.size("bottleneck"))
    assert found["direct"]["weights"] == 3 * 3 * 128 * 128 == 147_456
    narrow = found["narrow.reduce"]["weights"], found["narrow.conv"]["weights"]
    assert narrow == (128 * 32, 3 * 3 * 32 * 128)
    assert sum(narrow) == 40_960
    assert found["direct"]["output"] == found["narrow.conv"]["output"] == (1, 128, 28, 28)


@pytest.mark.parametrize("name", KNOWN)
def test_torchinfo_counts_the_same(name: str) -> None:
    """Its multiply-adds count a bias as one more weight, so they are compared without biases."""
    known = KNOWN[name]
    with torch.device("meta"):
        model = known.make()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.bias = None
    theirs = torchinfo.summary(model, input_data=torch.zeros(2, *known.input, device="meta"), verbose=0, device="meta")
    ours = tw.size(model, input=known.input, batch=2)
    assert (ours.parameters, ours.multiply_adds) == (theirs.total_params, theirs.total_mult_adds)
    shapes = {id(layer.module): tuple(layer.output_size) for layer in theirs.summary_list if layer.is_leaf_layer}
    names = {n: shapes[id(m)] for n, m in model.named_modules() if id(m) in shapes}
    assert {n: row["output"] for n, row in rows(ours).items()} == names


@pytest.mark.share(of=8)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", mostly_slow(tw.formulas.names(), "sgd", "adam"))
def test_states_take_what_a_real_optimizer_allocates(name: str, form: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 7, bias=False))  # 600, 20 and 140 weights
    model[1].weight.requires_grad_(name != "adagrad")  # one with a weight that is not trained
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = tw.optim.from_formula(name)(trained, state_dtype=form)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(4, 30)).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    kept = [t for state in optimizer.state.values() for key, t in state.items() if key != "step"]
    kept = list({t.data_ptr(): t for t in kept}.values())  # a state of the whole model is one tensor
    assert tw.size(model, optimizers=[name]).memory().loc[name, form] == sum(t.nbytes for t in kept)


def test_weights_and_gradients() -> None:
    model = nn.Sequential(nn.Linear(30, 20), nn.BatchNorm1d(20))
    model[0].bias.requires_grad_(False)
    size = tw.size(model, optimizers=["adam(amsgrad=True)"])
    assert size.memory().loc["weights"].tolist() == [1, 0, 660 * 4, 660 * 2, 660 + 4 * (3 + 1 + 1 + 1)]
    assert size.memory().loc["gradients", "float32"] == 640 * 4 == 4 * size.trainable
    assert size.memory().loc["adam(amsgrad=True)", "float32"] == 3 * 640 * 4
    assert size.buffers == 2 * 20 * 4 + 8
    assert "Buffers, such as running statistics, take another 168 B" in str(size)


def test_by_hand_where_no_layer_tells() -> None:
    def count(model: nn.Module, *shape: int) -> int:
        return tw.size(model, input=shape).multiply_adds

    assert count(models.Attention(), 5, 8) == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8
    assert count(nn.LSTM(10, 20, 2, batch_first=True), 7, 10) == 7 * 4 * 20 * (10 + 20 + 20 + 20)
    assert count(nn.ConvTranspose2d(4, 6, 3), 4, 5, 5) == 5 * 5 * 4 * 6 * 3 * 3
    assert count(nn.Conv1d(4, 8, 3, padding="same", groups=4), 4, 10) == 10 * 8 * 3
    twice = tw.size(models.Twice(), input=(6, 4))
    assert twice.multiply_adds == 6 * 4 * 4 * 2 + 6 * 4
    assert twice.parameters == 4 * 4 + 4 + 4
    assert [(row.name, row.calls, row.multiply_adds) for row in twice.layers] == [("", 1, 24), ("layer", 2, 192)]


def test_shared_weights_count_once() -> None:
    size = tw.size(models.Tied(), input="9:int64", optimizers=["adam"])
    assert (size.parameters, size.weights, size.multiply_adds) == (400, 400, 9 * 8 * 50)
    assert [layer.shared for layer in size.layers] == [0, 0, 400]
    assert "shared" in str(size)
    assert size.memory().loc["adam", "float32"] == 2 * 400 * 4


def test_the_batch() -> None:
    one, many = (tw.size("lenet", batch=n) for n in (1, 32))
    assert (many.parameters, many.multiply_adds) == (one.parameters, 32 * one.multiply_adds)
    assert many.input == ((32, 1, 32, 32),)


def test_every_table_adds_up() -> None:
    size = tw.size("text")
    for depth in (None, 1, 2, 9):
        table = size.table(depth)
        assert table["parameters"].sum() == size.parameters
        assert table["multiply_adds"].sum() == size.multiply_adds
        assert not table["layer"].duplicated().any()


def test_several_inputs_and_values_that_are_asked_for() -> None:
    expected = 3 * 4 + 5 * 4
    assert tw.size(models.branch, input=["3", (5,)]).multiply_adds == expected
    assert tw.size(models.branch, input={"y": (5,), "x": (3,)}).multiply_adds == expected
    assert tw.size(models.with_example).multiply_adds == 7 * expected
    assert tw.size(models.Branch(), input=(torch.ones(1, 3), torch.ones(1, 5))).multiply_adds == 3 * 4


@pytest.mark.parametrize(
    "model", [models.Attention(), nn.LSTM(8, 20, batch_first=True), nn.TransformerEncoderLayer(8, 2, 16)]
)
def test_a_model_that_asks_for_values_is_run_and_counted_alike(model: nn.Module) -> None:
    inputs = ((torch.zeros(3, 5, 8),), {})
    shadow, copied = layers(model, inputs)[1], layers(models.Asking(model), inputs)[1]
    assert {p.device.type for p in shadow.parameters()} == {"meta"}
    assert {p.device.type for p in copied.parameters()} == {"cpu"}
    counts = [tw.size(m, input=inputs[0]).multiply_adds for m in (model, models.Asking(model))]
    assert counts[0] == counts[1] > 0


def test_weights_that_come_with_the_first_input() -> None:
    model = models.lazy()
    assert tw.size(model, input=(3, 9, 9)).parameters == 3 * 8 * 9 + 8 + 8 * 49 * 10 + 10
    assert isinstance(model[0].weight, nn.UninitializedParameter)  # pyright: ignore[reportIndexIssue]


def test_problems_bring_their_input() -> None:
    assert tw.size("digits-cnn").input == ((1, 1, 8, 8),)
    assert tw.size("text").input == ((1, 32),)
    assert tw.size(models.problem).multiply_adds == 3


def test_without_an_input_parameters_are_counted() -> None:
    size = tw.size(nn.Linear(3, 2))
    assert (size.parameters, size.multiply_adds, size.input) == (8, 0, ())
    assert "give an input to see shapes" in str(size)
    assert size.to_json()["multiply_adds"] is None


def test_the_model_stays_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.LazyLinear(2))
    model(torch.randn(2, 3, 5, 5))
    model[1].eval()
    before, drawn = copy.deepcopy(model), torch.get_rng_state()
    tw.size(model, input=(3, 5, 5))
    tw.size(models.Asking(model), input=(3, 5, 5))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for (name, now), then in zip(model.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(now, then), name


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"model": "alexnt"}, "did you mean alexnet"),
        ({"model": 3}, "the model is of type int"),
        ({"model": "nets.py"}, "write nets.py:function"),
        ({"model": "nets.py:net"}, "there is no file nets.py"),
        ({"model": models.number}, "number returned something of type int; it must return"),
        ({"model": models.fails}, r"fails\(\) fails with RuntimeError \(no weights here\)"),
        ({"model": models.lazy}, "makes its weights at its first call; give input="),
        ({"model": models.lazy, "input": (3,)}, "Sequential fails on an input of 1×3 float32"),
        ({"model": models.Tied(), "input": (9,)}, "with a dtype where the model reads numbers"),
        ({"model": "lenet", "input": "1,32,x"}, "'1,32,x' is not the shape of an input"),
        ({"model": "lenet", "input": (0, 3)}, "is not the shape of an input"),
        ({"model": "lenet", "input": "3:int65"}, "is not the shape of an input"),
        ({"model": "lenet", "batch": 0}, "the batch is 0; give a whole number of samples, at least 1"),
        ({"model": nn.Linear(3, 1), "input": torch.ones(1, 3), "batch": 2}, "a tensor has its batch already"),
        ({"model": "lenet", "optimizers": ["adm"]}, "did you mean adam"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        tw.size(**given)


@pytest.mark.parametrize("name", [*KNOWN, "text", "digits"])
def test_the_text_fits_a_terminal(name: str) -> None:
    text = str(tw.size(name))
    assert max(map(len, text.splitlines())) <= 80
    assert f"{tw.size(name).parameters:,} parameters" in text


def test_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("import torch\ndef net():\n    return torch.nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=1)\n")

    def run(*words: str) -> Any:
        return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["size", *words])

    done = run(f"{file}:net", "--input", "3,9,9", "--batch", "4", "--optimizer", "adam")
    assert done.exit_code == 0
    assert "3×5 /2,1 +1" in done.output
    assert "2 per weight: adam" in done.output
    found = json.loads(run(f"{file}:net", "--input", "3,9,9", "--json").output)
    assert found["layers"][0]["output"] == [1, 8, 5, 7]
    assert found["parameters"] == 3 * 8 * 15 + 8
    assert len(found["bytes"]) == 2 + len(tw.formulas.names())
    assert "gpu1" not in run("alexnet-2gpu", "--depth", "1").output
    refused = run(f"{file}:nett")
    assert (refused.exit_code, refused.output.count("\n")) == (2, 1)


def test_a_spec_names_a_module_or_a_function_that_works(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import torch\nlayer = torch.nn.Linear(3, 2)\nnumber = 3\ndef broken():\n    return 1 / 0\n")
    assert tw.size(f"{path}:layer", (3,)).parameters == 8
    with pytest.raises(UsageError, match=r"mine.py:number': number is of type int; give a function"):
        tw.size(f"{path}:number")
    with pytest.raises(UsageError, match=r"function broken fails with ZeroDivisionError \(division by zero\)"):
        tw.size(f"{path}:broken")
    with pytest.raises(UsageError, match="the train inputs are of type object; give a tensor or an array"):
        tw.size(tw.Problem(lambda: nn.Linear(2, 1), (object(), [[1.0]])))


def test_a_padding_with_a_name_is_said_by_it() -> None:
    table = str(tw.size(nn.Sequential(nn.Conv2d(1, 2, 3, padding="same")), (1, 8, 8)))
    assert "2×8×8   3×3 same " in table
