"""What CUDA does differently, as far as a CPU can tell."""

import pytest
import torch
from torch.testing import assert_close

from videoxl2_model import attention, cuda, rotary, static_step, steps
from videoxl2_model.cuda import by_device, fused, indexed, move, upload

CPU = torch.device("cpu")


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


CASES = {
    rotary.turn: (drawn(4, 9, 8).bfloat16(), drawn(9, 4), drawn(9, 4)),
    attention._merged: (drawn(2, 3, 4), drawn(2, 3), drawn(2, 3, 4) + 1, drawn(2, 3) + 1),
    steps.gated: (drawn(3, 4), drawn(3, 4) + 1),
    static_step._weighed: (drawn(2, 3, 4, 5), drawn(3, 1, 5), 0.3, torch.bfloat16),
    static_step._joined: (drawn(2, 3, 4, 5), drawn(2, 3, 4, 1), drawn(2, 3, 4, 1).exp()),
}


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_what_is_fused_is_one_graph_and_the_same_function(function):
    """Traced as for CUDA; running the trace needs no compiler."""
    written = function.__wrapped__
    traced = torch.compile(written, dynamic=True, fullgraph=True, backend="eager")
    assert_close(traced(*CASES[function]), written(*CASES[function]))


@pytest.fixture
def compiling(monkeypatch):
    """Let tensors of the CPU be compiled for."""
    monkeypatch.setattr(cuda, "_fuses", lambda first: True)


def test_it_is_compiled_once(compiling, monkeypatch):
    made = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: made.append(function) or function)

    @fused
    def double(x):
        return x * 2

    assert [int(double(torch.tensor(each))) for each in (1, 2, 3)] == [2, 4, 6]
    assert len(made) == 1


def test_without_a_compiler_it_runs_as_written_and_says_so_once(compiling, monkeypatch, caplog):
    def compile_(function, **_):
        def failing(*args):
            raise OSError("no C compiler\nand more")

        return failing

    monkeypatch.setattr(torch, "compile", compile_)

    @fused
    def double(x):
        return x * 2

    assert [int(double(torch.tensor(each))) for each in (1, 2)] == [2, 4]
    assert [each.message for each in caplog.records] == ["double stays unfused: no C compiler"]


def test_nothing_is_compiled_for_a_cpu(monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    assert_close(steps.gated(drawn(3), drawn(3)), torch.nn.functional.silu(drawn(3)) * drawn(3))


def test_sizes_and_places_by_device():
    sizes = {"cpu": 1, "cuda": 2}
    kinds = ("cpu", "cuda", "mps")
    assert [by_device(sizes, torch.device(kind)) for kind in kinds] == [1, 2, 1]
    assert indexed(CPU) == CPU
    assert indexed(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert upload([3, 1], CPU).tolist() == [3, 1]
    assert move(drawn(2), torch.device("meta")).device.type == "meta"
