"""Aids of the training: whitened words, and what a network is asked half-way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from moviegen_core.models import catalog
from moviegen_core.models.audio_dit import presets as audio_presets
from moviegen_core.models.video_dit.model import VideoDiTConfig
from moviegen_core.toybox import CAMERAS, MOODS, THINGS, sample_scene, sound_labels
from moviegen_core.train import hints
from moviegen_core.train.clips import ClipConfig
from moviegen_core.train.objectives.video import shown_cells
from moviegen_core.train.pupil import AudioPupil, MatchPupil, VideoPupil
from moviegen_core.train.whiten import Whiten, folded, whitened

CONFIG = VideoDiTConfig(
    dim=96, num_heads=2, num_layers=2, mlp_dim=128, context_dims={"ul2": 8, "byt5": 6}, max_grid=(2, 2, 2), qk_norm=True
)


def faint(rows, width, seed=0):
    """Features of which one vector is nearly all, and which vary much more in some directions than in others."""
    generator = torch.Generator().manual_seed(seed)
    return 5.0 + torch.randn(rows, width, generator=generator) * torch.logspace(-1.5, 0, width)


def stirred(network):
    """Weights such that everything in it has an effect."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def test_whitened_features_vary_alike_in_every_direction():
    whiten = Whiten(12)
    whiten.measure(faint(4000, 12))
    covariance = torch.cov(whiten(faint(4000, 12)).T)
    varied = torch.linalg.eigvalsh(covariance)
    # The faintest direction has a thousandth of the strongest's variance, below the floor.
    assert varied.max() == pytest.approx(1.0, abs=0.05)
    assert varied.min() > 0.03
    assert torch.linalg.eigvalsh(torch.cov(faint(4000, 12).T)).min() < 0.002


def test_features_that_do_not_vary_stay_finite():
    whiten = Whiten(3)
    whiten.measure(torch.ones(10, 3))
    assert torch.equal(whiten(torch.ones(1, 3)), torch.zeros(1, 3))


def test_whitening_and_folding_leave_a_layer_as_it_was():
    layers = nn.Sequential(nn.Linear(12, 7), nn.LayerNorm(7))
    rows = faint(500, 12)
    with torch.no_grad():
        before = layers(rows)
        trained = whitened(layers.children(), rows)
        assert torch.allclose(trained(rows), before, atol=1e-4)
        trained[1].weight.add_(0.3 * torch.randn_like(trained[1].weight))
        moved = trained(rows)
        assert not torch.allclose(moved, before, atol=1e-2)
        assert torch.allclose(folded(trained.children())(rows), moved, atol=1e-4)


def test_stirring_makes_faint_features_heard():
    rows = faint(500, 12)
    told = []
    for stir in (0.0, 1.0):
        torch.manual_seed(0)
        layer = nn.Linear(12, 7)
        out = whitened([layer], rows, stir)(rows).detach()
        told.append(float(out.var(dim=0).mean() / out.square().mean()))
    assert told[1] > 5 * told[0]


def test_video_pupil_computes_what_its_network_does_and_gives_it_back():
    model = stirred(catalog.build("video_dit", CONFIG, device="cpu"))
    words = {"ul2": faint(200, 8), "byt5": faint(200, 6, seed=1)}
    context = {name: rows[:6].reshape(2, 3, -1) for name, rows in words.items()}
    masks = {name: torch.ones(2, 3, dtype=torch.bool) for name in context}
    latent, time = torch.randn(2, 16, 2, 4, 4), torch.tensor([0.2, 0.7])
    with torch.no_grad():
        wanted = model(latent, time, model.prepare(context, masks))
        pupil = VideoPupil.of(model, words).eval()
        assert torch.allclose(pupil(latent, time, pupil.prepare(context, masks)), wanted, atol=1e-4)
        assert pupil.answers.shape == (2, 8, hints.ANSWERS)
        stirred(pupil)
        learned = pupil(latent, time, pupil.prepare(context, masks))
        finished = pupil.finished()
        assert set(finished.state_dict()) == set(model.state_dict())
        assert torch.allclose(finished(latent, time, finished.prepare(context, masks)), learned, atol=1e-4)


def test_tokens_that_are_not_shown_are_not_read():
    torch.manual_seed(0)
    pupil = stirred(VideoPupil.of(catalog.build("video_dit", CONFIG, device="cpu"), {}))
    latent, time = torch.randn(2, 16, 2, 4, 4), torch.tensor([0.2, 0.7])
    context = pupil.prepare(batch=2)
    whole = pupil(latent, time, context)
    with pupil.showing(torch.arange(8).flip(0).expand(2, -1)):
        assert torch.allclose(pupil(latent, time, context), whole, atol=1e-5)
    # Of each frame of two by two tokens, the upper right one and the lower left one.
    shown = torch.tensor([[1, 5], [2, 6]])
    inside = shown_cells(shown, (2, 4, 4))[:, None].expand_as(latent)
    with pupil.showing(shown):
        seen = pupil(latent, time, context)
        assert pupil.answers.shape == (2, 2, hints.ANSWERS)
        other = pupil(torch.where(inside, latent, torch.randn_like(latent)), time, context)
    assert torch.allclose(seen[inside], other[inside], atol=1e-5)
    assert not torch.allclose(seen[inside], whole[inside], atol=1e-2)
    assert torch.equal(pupil(latent, time, context), whole)


def test_audio_pupil_computes_what_its_network_does_and_gives_it_back():
    model = catalog.build("audio_dit", audio_presets.NANO, device="cpu")
    text = faint(300, model.config.text_dim)
    model.text_standard.measure(text)
    stirred(model)
    latent, time = torch.randn(2, model.config.latent_channels, 5), torch.tensor([0.2, 0.7])
    with torch.no_grad():
        wanted = model(latent, time, model.prepare(text[:6].reshape(2, 3, -1)))
        pupil = AudioPupil.of(model, text).eval()
        assert torch.allclose(pupil(latent, time, pupil.prepare(text[:6].reshape(2, 3, -1))), wanted, atol=1e-3)
        assert pupil.answers.shape == (2, 5, hints.SOUND_ANSWERS)
        stirred(pupil)
        learned = pupil(latent, time, pupil.prepare(text[:6].reshape(2, 3, -1)))
        finished = pupil.finished()
        assert set(finished.state_dict()) == set(model.state_dict())
        again = finished(latent, time, finished.prepare(text[:6].reshape(2, 3, -1)))
        assert torch.allclose(again, learned, atol=1e-3)


class Drawn:
    """Clips that are described, not rendered."""

    def __init__(self, *kinds):
        self.config = ClipConfig(count=30, kinds=kinds, first_seed=700)

    def scene(self, number):
        return self.config.scene(number)


def test_cells_of_the_subject_carry_its_name_and_follow_it():
    clips = Drawn((32, 16, 1))
    for number in range(30):
        scene, told = clips.scene(number), hints.Hints(clips).of(number, 16, 16)
        assert told["cells"].shape == (4, 16, 16)
        assert set(told["cells"].unique().tolist()) <= {0, hints.CLASSES.index(scene.subject.thing)}
        for frame in range(4):
            x, y = scene.positions((8 * frame + 3) / 16)
            if 0 <= x < 1 and 0 <= y < 1:
                assert told["cells"][frame, int(16 * y), int(16 * x)] > 0
        # The square is no larger than the subject could be: a fifth of the frame, drawn out by how far it moves.
        assert (told["cells"] > 0).float().mean() < 0.75
        assert hints.MOVES[told["move"]] == scene.motion.kind
        assert CAMERAS[told["camera"]] == scene.camera.move


def test_a_still_tells_no_movement():
    told = hints.Hints(Drawn((1, 16, 1))).of(0, 16, 16)
    assert told["cells"].shape == (1, 16, 16)
    assert told["move"] == told["camera"] == hints.UNTOLD


def test_window_follows_the_subject_and_stays_in_the_frame():
    rng = np.random.default_rng(0)
    clips = Drawn((32, 16, 1))
    for number in range(30):
        cells = hints.Hints(clips).of(number, 16, 16)["cells"]
        shown = hints.window(cells, 4, rng)
        assert shown.shape == (4 * 16,)
        within = shown_cells(shown[None], cells.shape)[0]
        assert within.sum(dim=(1, 2)).tolist() == [64] * 4
        for frame in range(4):
            seen = cells[frame] > 0
            if 0 < seen.sum() <= 36:
                assert (within[frame] & seen).sum() > 0.4 * seen.sum()


def test_window_larger_than_the_frame_shows_all_of_it():
    cells = torch.zeros(2, 4, 6, dtype=torch.uint8)
    assert sorted(hints.window(cells, 9, np.random.default_rng(0)).tolist()) == list(range(12))


def test_shown_tokens_are_compared_with_their_own_cells():
    told = hints.Hints(Drawn((16, 16, 1))).of(0, 16, 16)
    batch, shown = [told[name][None] for name in hints.HINTS], torch.tensor([[3, 20, 77, 127]])
    knowing = answers_of(told).gather(1, shown[..., None].expand(-1, -1, hints.ANSWERS))
    assert float(hints.answer_loss(knowing, *batch, shown)["hints"]) < 1e-3
    assert hints.answer_loss(knowing, *batch, torch.tensor([[64, 70, 90, 100]]))["hints"] > 0.1


def answers_of(told):
    """What a network that knows everything answers."""
    cells = told["cells"][None, None].float()
    tokens = hints.patchify(cells, hints.PATCH_SIZE)[0].long()
    things = nn.functional.one_hot(tokens, len(hints.CLASSES)).flatten(2)
    rows = [things]
    for name, known in (("move", hints.MOVES), ("camera", CAMERAS)):
        rows.append(nn.functional.one_hot(told[name], len(known)).expand(1, things.shape[1], -1))
    return 20.0 * torch.cat(rows, dim=2).float()


def test_knowing_answers_cost_nothing_and_wrong_ones_much():
    clips = Drawn((16, 16, 1))
    told = [hints.Hints(clips).of(number, 16, 16) for number in range(30)]
    other = next(row for row in told[1:] if row["cells"].amax() != told[0]["cells"].amax() and row["cells"].any())
    batch = [told[0][name][None] for name in hints.HINTS]
    right, wrong = (hints.answer_loss(answers_of(row), *batch) for row in (told[0], other))
    assert float(right["hints"]) < 1e-3
    assert float(right["things"]) == 1.0
    assert float(wrong["hints"]) > 2.0
    assert float(wrong["things"]) == 0.0


def test_stills_alone_are_asked_for_things_alone():
    told = hints.Hints(Drawn((1, 16, 1))).of(0, 16, 16)
    batch = [told[name][None] for name in hints.HINTS]
    blank = torch.zeros(1, 64, hints.ANSWERS, requires_grad=True)
    loss = hints.answer_loss(blank, *batch)["hints"]
    loss.backward()
    assert float(loss.detach()) == pytest.approx(torch.tensor(float(len(hints.CLASSES))).log().item(), rel=1e-4)
    assert blank.grad[..., hints.CELLS * len(hints.CLASSES) :].abs().max() == 0


def test_clips_without_a_visible_subject_say_nothing_of_things():
    told = hints.Hints(Drawn((16, 16, 1))).of(0, 16, 16)
    cells, move, camera = (told[name][None] for name in hints.HINTS)
    report = hints.answer_loss(answers_of(told), torch.zeros_like(cells), move, camera)
    assert set(report) == {"hints"}
    assert torch.isfinite(report["hints"])


def test_sound_answers_are_compared_with_what_is_heard():
    scenes = [sample_scene(number) for number in range(40)]
    labels = [hints.sound_hints(scene, 50) for scene in scenes]
    batch = {name: torch.stack([row[name] for row in labels]) for name in (*hints.SOUND_HINTS, "hits")}
    assert {MOODS[number] for number in batch["mood"]} == set(MOODS)
    knowing = torch.cat(
        [nn.functional.one_hot(batch[name], len(known)) for name, known in hints.SOUND_HINTS.items()], dim=1
    )
    struck = 2.0 * batch["hits"][..., None].float() - 1.0
    knowing = torch.cat([knowing[:, None].expand(-1, 50, -1), struck], dim=2)
    right = hints.sound_answer_loss(20.0 * knowing, batch)
    assert float(right["hints"]) < 1e-3
    assert float(right["moods"]) == float(right["hits"]) == 1.0
    late = torch.cat([knowing[..., :-1], struck.roll(3, 1)], dim=2)
    for wrong in (knowing.roll(1, 0), late):
        assert float(hints.sound_answer_loss(20.0 * wrong, batch)["hints"]) > 2.0


def test_hits_are_told_in_the_frames_in_which_they_are_heard():
    scene = sample_scene(3, motion="bounce", place="meadow")
    moments = [hit.time_seconds for hit in scene.events_until(4.0) if hit.kind == "bounce"]
    told = hints.sound_hints(scene, 100)["hits"].nonzero()[:, 0].tolist()
    assert len(moments) > 2
    assert sorted({int(25 * moment) for moment in moments}) == told
    silent = next(
        other for seed in range(50)
        if sound_labels(other := sample_scene(seed, motion="bounce", place="space")).kind == "silence"
    )  # fmt: skip
    assert silent.events_until(4.0)
    assert not hints.sound_hints(silent, 100)["hits"].any()


def test_things_of_the_hints_are_those_of_the_toybox():
    assert hints.CLASSES[1:-1] == THINGS


def test_match_pupil_gives_back_the_match_without_its_question():
    match = catalog.build("sound_match", "nano", device="cpu")
    pupil = MatchPupil.of(match)
    assert set(pupil.state_dict()) - set(match.state_dict()) == {"teller.weight", "teller.bias"}
    finished = pupil.finished().state_dict()
    assert finished.keys() == match.state_dict().keys()
    assert all(torch.equal(finished[name], value) for name, value in match.state_dict().items())
