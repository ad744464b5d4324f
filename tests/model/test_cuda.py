"""What CUDA does differently, as far as a CPU can tell."""

import contextvars

import pytest
import torch
from torch.testing import assert_close

from videoxl2_model import attention, cuda, rotary, static_step, steps
from videoxl2_model.cuda import by_device, fused, indexed, move, staged, upload

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


def test_more_variants_than_the_compiler_s_limit_stay_compiled(compiling, monkeypatch, caplog):
    """Ranks, each a variant of its own; with gradients and without they are the same."""
    ran = []
    compile_ = torch.compile

    def watched(function, **settings):
        def backend(graph, _):
            return lambda *inputs: ran.append(1) or graph.forward(*inputs)

        return compile_(function, backend=backend, **settings)

    monkeypatch.setattr(torch, "compile", watched)

    @fused
    def double(x):
        return x * 2

    def calls():
        for rank in range(12):
            assert_close(double(torch.ones((2,) * rank)), torch.full((2,) * rank, 2.0))

    contextvars.Context().run(calls)
    with torch.no_grad():
        contextvars.copy_context().run(calls)
    assert len(ran) == 24
    assert not [each for each in caplog.records if each.name == cuda.__name__]


def test_what_is_fused_runs_without_gradients(compiling, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)

    @fused
    def double(x):
        assert not torch.is_grad_enabled()
        return x * 2

    double(drawn(2))


def test_nothing_is_compiled_while_a_graph_is_recorded(compiling, monkeypatch):
    made = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: made.append(function) or function)

    @fused
    def double(x):
        return x * 2

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for recording, compiled in ((True, 0), (False, 1), (True, 1)):
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda r=recording: r)
        assert int(double(torch.tensor(3))) == 6
        assert len(made) == compiled


@pytest.mark.parametrize("is_pinned", [True, False])
def test_host_tensors_are_staged_contiguous_in_pinned_memory(monkeypatch, is_pinned):
    """Pinned memory stood in for: there is none without CUDA."""
    made = []
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda self: is_pinned)
    monkeypatch.setattr(
        cuda,
        "pinned",
        lambda shape, dtype: made.append(torch.empty(shape, dtype=dtype)) or made[-1],
    )
    whole = drawn(4, 6, 3).bfloat16()
    for host in (whole, whole[:, 1:4], whole.transpose(0, 1)):
        got = staged(host)
        assert got.is_contiguous()
        assert_close(got, host, rtol=0.0, atol=0.0)
        assert (got is host) == (is_pinned and host is whole)
    assert len(made) == (2 if is_pinned else 3)


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
