"""Every instrument on its real weights and real clips: pedestrians, a speech, cuts, a cartoon."""

from pathlib import Path

import numpy as np
import pytest

from agentkit import models
from agentkit.instruments import Instruments
from agentkit.note_line import group_line, notes_of_group
from agentkit.paths import home
from agentkit.types import FrameBatch, Note, SamplingPlan, VideoInfo
from agentkit.video import probe, sample

pytestmark = pytest.mark.real

WEIGHTS = ("yolox-nano", "efficientnet-lite0", "whisper-base")


@pytest.fixture(scope="module")
def instruments() -> Instruments:
    for name in WEIGHTS:
        if not models.available(name):
            pytest.skip(f"weights {name} are not in {home() / 'models'}")
    pytest.importorskip("rapidocr", reason="extra 'ocr' is not installed")
    pytest.importorskip("faster_whisper", reason="extra 'audio' is not installed")
    loaded = Instruments.load()
    assert loaded.missing == ()
    return loaded


def clip(name: str) -> VideoInfo:
    path: Path = home() / "clips" / name
    if not path.exists():
        pytest.skip(f"{path} is not there; python examples/clips.py {name}")
    return probe(path)


def seen(
    instruments: Instruments, info: VideoInfo, seconds: float = 1e9
) -> list[tuple[FrameBatch, list[Note]]]:
    instruments.start(info)
    groups = []
    for batch in sample(info, SamplingPlan()):
        if batch.times_s[0] >= seconds:
            break
        groups.append((batch, instruments.observe(batch, batch.index % 4 == 0)))
    assert instruments.missing == ()
    return groups


def texts(groups: list[tuple[FrameBatch, list[Note]]], kind: str) -> list[str]:
    return [note.text for _, notes in groups for note in notes if note.kind == kind]


def test_persons_and_cars_are_seen_among_the_pedestrians(instruments: Instruments) -> None:
    groups = seen(instruments, clip("vtest.avi"), seconds=16)
    for batch, notes in groups:
        found = " ".join(note.text for note in notes if note.kind == "objects")
        assert "people" in found, batch.times_s
        assert "1 car right" in found
    assert texts(groups, "shot") == []
    assert texts(groups, "ocr") == []
    boxes = [n.box for _, notes in groups for n in notes if n.text == "1 car right"]
    # The parked van stands at the upper right edge all the time.
    assert all(box and box[0] > 0.75 and box[3] < 0.2 for box in boxes)


def test_what_is_said_and_what_stands_below_is_right_to_the_word(
    instruments: Instruments,
) -> None:
    info = clip("obama_speech.mp4")
    groups = seen(instruments, info)
    heard: list[float] = []
    speech = instruments.listen(info, heard.append)
    said = " ".join(note.text for note in speech).lower()
    assert "after two years of negotiations" in said
    assert "together with international partners" in said
    assert all(0 <= n.start_s < n.end_s <= info.duration_s for n in speech)
    assert heard[-1] == pytest.approx(info.duration_s, abs=0.5)
    captions = [n for _, notes in groups for n in notes if n.kind == "ocr"]
    assert {"PRESIDENT OBAMA STATEMENT ON IRAN"} <= {n.text for n in captions}
    assert min(n.start_s for n in captions) == 3.0  # it comes between 2 and 3 s
    assert "2 people left and centre" in texts(groups, "objects")
    lines = [group_line([*notes, *notes_of_group(speech, b)], [], 60) for b, notes in groups]
    assert 'text "PRESIDENT OBAMA STATEMENT ON IRAN' in lines[0]
    assert 'says "Today, after two years of negotiations' in lines[0]


def test_every_cut_that_the_sampling_can_show_is_found(instruments: Instruments) -> None:
    groups = seen(instruments, clip("bikes.mp4"))
    cuts = [note.start_s for _, notes in groups for note in notes if note.kind == "shot"]
    # True cuts: 1.20, 3.04, 5.48, 7.48 and 9.68 s; the last lies after the last sampled frame.
    assert cuts == [2.0, 4.0, 6.0, 8.0]
    found = " ".join(texts(groups, "objects"))
    assert "car" in found
    assert "bicycle" in found


def test_a_cartoon_has_motion_and_neither_cuts_nor_text(instruments: Instruments) -> None:
    groups = seen(instruments, clip("bigbuckbunny.mp4"))
    assert texts(groups, "shot") == texts(groups, "ocr") == texts(groups, "scene") == []
    assert texts(groups, "motion")[0].startswith("much motion")


def test_resumed_at_a_chunk_the_notes_are_the_same(instruments: Instruments) -> None:
    batches = [batch for batch, _ in seen(instruments, clip("bikes.mp4"))]
    whole = _observed(instruments, batches)
    for first in range(1, len(batches)):
        assert _observed(instruments, batches[first - 1 :])[1:] == whole[first:]


def _observed(instruments: Instruments, batches: list[FrameBatch]) -> list[list[Note]]:
    """Observe with chunks of one group, so that every group is a boundary."""
    instruments.start(clip("bikes.mp4"))
    return [instruments.observe(batch, True) for batch in batches]


def test_the_folded_network_is_the_network_with_its_batch_norms() -> None:
    if not models.available("efficientnet-lite0"):
        pytest.skip("weights efficientnet-lite0 are not there")
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file

    from agentkit.instruments import efficientnet

    state = load_file(models.path("efficientnet-lite0") / "model.safetensors")
    picture = torch.rand(1, 3, 225, 225, generator=torch.Generator().manual_seed(1))
    padded = F.pad(picture, (1, 1, 1, 1))
    plain = F.batch_norm(
        F.conv2d(padded, state["_conv_stem.weight"], stride=2),
        *(state[f"_bn0.{n}"] for n in ("running_mean", "running_var", "weight", "bias")),
        eps=1e-3,
    )
    folded = efficientnet._folded(state, "_conv_stem", "_bn0", stride=2)
    torch.testing.assert_close(folded(picture), F.relu6(plain), rtol=1e-5, atol=1e-5)
    shares = efficientnet.EfficientNetLite0(state)(torch.rand(2, 3, 224, 224) * 255)
    assert shares.shape == (2, 1000)
    np.testing.assert_allclose(shares.sum(dim=1).numpy(), 1, rtol=1e-5)
