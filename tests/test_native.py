"""The native kernels compute what PyTorch does, with the same bits on any number of threads, and nothing needs them."""

from __future__ import annotations

import copy
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus import Autoencoder, native
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.likelihoods import Bernoulli, Laplace, Normal, StudentT
from isthmus.native.build import build, compiler
from isthmus.native.loading import opened
from isthmus.nn.dense_stack import DenseStack, trains_natively
from isthmus.nn.invariant_layers import Dense
from isthmus.optimizers import SGD, Adadelta, RMSprop

SOURCE = Path(native.__file__).parent / "kernels.c"
KERNELS = native.load()
needs_kernels = pytest.mark.skipif(KERNELS is None, reason="no compiler has built the kernels for this processor")


@pytest.fixture
def kernels() -> native.Kernels:
    if KERNELS is None:
        pytest.skip("no compiler has built the kernels for this processor")
    return KERNELS


@pytest.fixture
def threads() -> Iterator[None]:
    """Restores the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(*shape: int, state: int = 0) -> Tensor:
    return torch.empty(shape, dtype=torch.float32).normal_(generator=torch.Generator().manual_seed(state))


def layers(sizes: tuple[int, ...]) -> tuple[list[Tensor], list[Tensor]]:
    pairs = list(itertools.pairwise(sizes))
    return [drawn(n, k, state=k) / k**0.5 for k, n in pairs], [drawn(n, state=n) for _, n in pairs]


def reference(x: Tensor, weights: list[Tensor], biases: list[Tensor], rectified: bool) -> list[Tensor]:
    """The outputs of layers in double precision, with gradients."""
    outputs = list[Tensor]()
    y = x
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        y = F.linear(y, weight, bias)
        y = F.relu(y) if rectified and i < len(weights) - 1 else y
        outputs.append(y)
    return outputs


SIZES = [
    (1, (1, 1)),
    (1, (784, 32, 784)),
    (5, (7, 3)),
    (6, (16, 16, 16)),
    (7, (17, 15, 33)),
    (100, (20, 512, 256, 2)),
    (256, (784, 32)),
    (300, (1, 65, 1)),
    (13, (1025, 9)),
    (13, (1536, 8, 1537)),
    (9, (2600, 2, 2100)),  # more numbers than one part has: along the sum, the rows and the columns
    (1000, (33, 70, 5)),
]


@pytest.mark.parametrize(("rows", "sizes"), SIZES)
@pytest.mark.parametrize("rectified", [True, False])
def test_layers_forwards_and_backwards_are_those_of_pytorch(
    kernels: native.Kernels, rows: int, sizes: tuple[int, ...], rectified: bool
) -> None:
    x, (weights, biases) = drawn(rows, sizes[0]), layers(sizes)
    found = kernels.forward(x, weights, biases, rectified)
    exact = [t.double().requires_grad_() for t in (x, *weights, *biases)]
    count = len(weights)
    expected = reference(exact[0], exact[1 : count + 1], exact[count + 1 :], rectified)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=1e-4, atol=1e-5)
    slope = drawn(rows, sizes[-1], state=9)
    of_x, of_weights, of_biases = kernels.backward(slope, x, weights, found[:-1], rectified, True)
    slopes = torch.autograd.grad(expected[-1], exact, slope.double())
    assert of_x is not None
    for ours, theirs in zip((of_x, *of_weights, *of_biases), slopes, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=2e-4 * rows**0.5)


def test_what_is_not_a_number_stays(kernels: native.Kernels) -> None:
    x, (weights, biases) = drawn(9, 20), layers((20, 33, 5))
    x[3, 7] = torch.nan
    weights[0][17, 0] = torch.inf
    x[5, 0] = 0
    hidden, y = kernels.forward(x, weights, biases, True)
    assert hidden.isnan().any(1).tolist() == [i in {3, 5} for i in range(9)]
    _, (of_weights, _), _ = kernels.backward(torch.ones_like(y), x, weights, [hidden], True, True)
    assert of_weights.isnan().all(0).tolist() == [i == 7 for i in range(20)]


@pytest.mark.parametrize(("rows", "sizes"), SIZES)
def test_results_do_not_depend_on_threads_and_those_of_a_row_not_on_other_rows(
    kernels: native.Kernels, threads: None, rows: int, sizes: tuple[int, ...]
) -> None:
    x, (weights, biases) = drawn(rows, sizes[0]), layers(sizes)
    slope, found = drawn(rows, sizes[-1], state=9), list[Any]()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        outputs = kernels.forward(x, weights, biases, True)
        of_x, of_weights, of_biases = kernels.backward(slope, x, weights, outputs[:-1], True, True)
        found.append((*outputs, of_x, *of_weights, *of_biases))
    for each in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], each, strict=True))
    alone = kernels.forward(x[-1:].clone(), weights, biases, True)[-1]
    assert torch.equal(alone, found[0][len(weights) - 1][-1:])


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 513, 784, 1030])
def test_the_cross_entropy_is_that_of_pytorch(kernels: native.Kernels, threads: None, n: int) -> None:
    y, x = 5 * drawn(40, n), torch.sigmoid(drawn(40, n, state=1))
    y[0], y[1], y[2], y[3] = 200, -200, 1e4, -1e4
    x[0], x[1], x[2], x[3], x[4] = 1, 0, 1, 0.25, torch.round(x[4])
    found = list[tuple[Tensor, Tensor]]()
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(kernels.cross_entropy(y, x))
    (nll, slope), again = found
    assert torch.equal(nll, again[0])
    assert torch.equal(slope, again[1])
    exact = F.binary_cross_entropy_with_logits(y.double(), x.double(), reduction="none").sum(1)
    torch.testing.assert_close(nll.double(), exact, rtol=2e-6, atol=1e-5)
    torch.testing.assert_close(slope.double(), torch.sigmoid(y.double()) - x, rtol=1e-6, atol=3e-7)
    assert nll[:3].tolist() == [0, 0, 0]  # certain and right
    assert not slope[0].any()
    assert torch.equal(kernels.scale_rows(slope, nll), slope * nll[:, None])


def test_a_logit_that_is_not_a_number_is_a_loss_that_is_none(kernels: native.Kernels) -> None:
    y, x = torch.zeros(3, 20), torch.full((3, 20), 0.5)
    y[1, 17] = torch.nan
    nll, slope = kernels.cross_entropy(y, x)
    assert nll.isnan().tolist() == [False, True, False]
    assert slope.isnan().nonzero().tolist() == [[1, 17]]


def stack(*sizes: int) -> DenseStack:
    parts = [nn.Flatten()]
    for k, n in itertools.pairwise(sizes):
        parts += [Dense(k, n), nn.ReLU()]
    made = DenseStack(*parts[:-1])
    for p in made.parameters():
        p.data = drawn(*p.shape) / p.shape[-1] ** 0.5
    return made


def slopes(net: nn.Module, x: Tensor, plain: bool) -> list[Tensor]:
    """The output, its slopes, and the slopes of these slopes."""
    forward = nn.Sequential(*net) if plain else net
    x = x.clone().requires_grad_()
    y = forward(x)
    first = torch.autograd.grad(y.square().sum(), [x, *net.parameters()], create_graph=True)
    second = torch.autograd.grad(sum(s.square().sum() for s in first), [x, *net.parameters()])  # type: ignore[arg-type]
    return [y, *first, *second]


@needs_kernels
def test_a_stack_has_the_slopes_of_its_layers_and_slopes_of_slopes() -> None:
    net, x = stack(12, 20, 3), drawn(8, 3, 4)
    assert trains_natively(net)
    assert "_Stack" in net(x).grad_fn.name()
    for ours, theirs in zip(slopes(net, x, False), slopes(net, x, True), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)


@needs_kernels
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's, for its derivatives forwards
def test_a_stack_is_plain_where_somebody_listens_or_transforms() -> None:
    net, x = stack(12, 20, 3), drawn(8, 12)
    heard = list[Any]()
    handle = net[1].register_forward_hook(lambda *given: heard.append(given))
    net(x)
    assert len(heard) == 1
    handle.remove()
    plain = nn.Sequential(*net)
    for f in (lambda net: torch.func.vmap(net)(x[:, None]), lambda net: torch.func.jvp(net, (x,), (x,))[1]):
        torch.testing.assert_close(f(net), f(plain), rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x).dtype is torch.bfloat16
    with torch.inference_mode():
        assert torch.equal(net(x), plain(x))
    net(x[:0]).sum().backward()
    assert not net[1].weight.grad.any()
    assert net.double()(x.double()).dtype is torch.float64


@needs_kernels
def test_slopes_of_slopes_count_each_use_of_a_stack_once() -> None:
    net, x = stack(6, 9, 6), drawn(8, 6)
    shared = DenseStack(*stack(6, 6), nn.ReLU(), *list(net)[1:2], nn.ReLU(), Dense(9, 6))
    shared.append(nn.ReLU()).append(shared[1])
    for part in (net, shared):
        found = []
        for f in (part, nn.Sequential(*part)):
            loss = f(f(x)).square().sum()
            found.append(torch.autograd.grad(loss, list(part.parameters()), create_graph=True))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@needs_kernels
def test_what_does_not_fit_a_stack_is_said_by_pytorch() -> None:
    net = stack(6, 9, 6)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        net(drawn(4, 7))
    decoder = DenseStack(*list(net)[1:])
    assert decoder(drawn(4, 5, 6)).shape == (4, 5, 6)
    assert net[:1](drawn(4, 6)).shape == (4, 6)
    with pytest.raises((RuntimeError, NotImplementedError)):
        net.to("meta")(drawn(4, 6))


@needs_kernels
def test_a_stack_with_a_frozen_layer_and_its_copies_train() -> None:
    net, x = stack(12, 20, 3), drawn(8, 12)
    net[1].weight.requires_grad_(False)
    other = copy.deepcopy(net)
    for each in (net, other):
        each(x).sum().backward()
        assert each[1].weight.grad is None
        torch.testing.assert_close(each[3].bias.grad, torch.full((3,), 8.0))
    assert list(net.state_dict()) == ["1.weight", "1.bias", "3.weight", "3.bias"]


@needs_kernels
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"bottleneck": Identity(3), "likelihood": Bernoulli(), "optimizer": Adadelta()},
        {"bottleneck": Gaussian(3), "likelihood": Bernoulli(), "optimizer": RMSprop()},
        {"likelihood": Laplace(), "optimizer": SGD()},
        {"likelihood": StudentT()},
        {"likelihood": Normal("predicted")},
    ],
    ids=str,
)
def test_training_has_the_same_bits_on_one_and_two_threads(threads: None, given: dict[str, Any]) -> None:
    X, weights = np.random.default_rng(0).random((250, 700)), list[Tensor]()
    for count in (1, 2):
        torch.set_num_threads(count)
        ae = Autoencoder(**given, architecture=MLP((200,)), batch_size=100, epochs=2, random_state=0).fit(X)
        weights.append(torch.cat([p.detach().flatten() for p in ae.model_.parameters()]))
        assert ae.model_.thread_invariant
    assert torch.equal(*weights)


@needs_kernels
def test_without_kernels_training_is_the_same_but_for_rounding() -> None:
    script = (
        "import numpy as np; from isthmus import Autoencoder, native; from isthmus.likelihoods import Bernoulli\n"
        "ae = Autoencoder(2, likelihood=Bernoulli(), epochs=3, random_state=0).fit(np.random.default_rng(0).random((300, 20)))\n"
        "print(native.name() or 'none', *[report.loss for report in ae.history_])"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"ISTHMUS_NATIVE": asked},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for asked in ("0", "1")
    ]
    assert said[0][0] == "none"
    assert said[1][0] == native.name()
    np.testing.assert_allclose(*([float(loss) for loss in each[1:]] for each in said), rtol=1e-5)


@needs_kernels
@pytest.mark.parametrize("asked", [native.name(), "avx9"])
def test_the_kernels_that_are_asked_for_are_taken_or_missed_aloud(asked: str) -> None:
    script = "from isthmus import native; print(native.name() or 'none')"
    environment = os.environ | {"ISTHMUS_NATIVE": asked}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    missed = "ISTHMUS_NATIVE='avx9': there are no such kernels for this processor, and PyTorch computes"
    assert done.stdout.strip() == ("none" if asked == "avx9" else asked)
    assert (missed in done.stderr) == (asked == "avx9")


@needs_kernels
def test_what_a_model_file_gives_has_the_same_bits_with_and_without_kernels(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((50, 70))
    ae = Autoencoder(3, likelihood=Bernoulli(), architecture=MLP((40,)), epochs=1, random_state=0).fit(X)
    ae.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "X.npy", X)
    script = (
        "import sys, numpy as np; from isthmus import load, native; X = np.load(sys.argv[2]); ae = load(sys.argv[1])\n"
        "print(native.name(), *(f(X).tobytes().hex() for f in (ae.encode, ae.reconstruct, ae.score_samples)))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "model.safetensors"), str(tmp_path / "X.npy")]
    (name, *given), without = (
        subprocess.run(
            command, env=os.environ | {"ISTHMUS_NATIVE": asked}, check=True, capture_output=True, text=True
        ).stdout.split()
        for asked in ("1", "0")
    )
    assert name == native.name()
    assert given == without


@needs_kernels
@pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("#define VERSION 4", "#define VERSION 0", "is of another version of isthmus"),
        (
            "return where(~negative, y) - x * y;",
            "return where(~negative, y) - x;",
            "does not compute what PyTorch does",
        ),
        (
            "where(~(sums[r][s] < (vec){}), sums",
            "where(sums[r][s] < (vec){}, sums",
            "does not compute what PyTorch does",
        ),
        ("log_variance[j] - 1;", "log_variance[j];", "does not compute what PyTorch does"),
        ("where8(place == q, s)", "where8(place == 0, s)", "does not compute what PyTorch does"),
        ("(k - 1 - (t0 + t) / k)", "((t0 + t) / k)", "does not compute what PyTorch does"),
    ],
)
def test_a_library_that_is_not_right_is_not_used(tmp_path: Path, right: str, wrong: str, reason: str) -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in SOURCE.parent.glob("*.[ch]")}
    assert any(right in text for text in texts.values())
    for name, text in texts.items():
        (tmp_path / name).write_text(text.replace(right, wrong), encoding="utf-8")
    built = build(tmp_path, tmp_path / "kernels.c").files
    path = next(path for path in built if path.stem == f"kernels_{native.name()}")
    with pytest.raises(OSError, match=reason):
        opened(path)


@needs_kernels
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux, which tells a process its memory")
def test_the_memory_of_a_thread_ends_with_it() -> None:
    program = """
import threading
from pathlib import Path
import torch
from isthmus import native
kernels, x, weight = native.load(), torch.ones(4000, 256), torch.ones(2000, 256)
def work():
    kernels.forward(x[:, :256], [weight], [torch.zeros(2000)], False)
for count in (5, 60):
    for _ in range(count):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    print(Path("/proc/self/statm").read_text().split()[1])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert after - before < 12_000  # pages of 4 KiB; each of the 60 threads had 3 MB
