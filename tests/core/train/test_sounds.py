"""Sounds on disk: the same scenes as the clips, filled in parts, refused when made otherwise."""

import io
import json

import numpy as np
import pytest

from moviegen_core import toybox
from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.toybox import actions, ambience
from moviegen_core.train.clips import ClipConfig
from moviegen_core.train.sounds import SoundConfig, Sounds, samples, synthesis

grains = ambience.grains


def test_sounds_are_those_of_the_clips_scenes_and_as_long_as_the_clips(tmp_path):
    clips = ClipConfig(count=3, kinds=((16, 16, 1), (12, 24, 1)), first_seed=500)
    sounds = Sounds(tmp_path, SoundConfig.beside(clips, channels=1))
    sounds.fill(0, io.StringIO())
    for number in range(3):
        frames, fps = clips.kind(number)
        assert sounds.scene(number) == clips.scene(number)
        waveform = sounds.waveform(number)
        assert waveform.shape == (1, round(frames / fps * 48_000)) == (1, sounds.samples(number))
        assert waveform.dtype == np.float32
        expected = toybox.sound(clips.scene(number), seconds=frames / fps, channels=1)
        assert np.abs(waveform - expected).max() <= 0.51 / 32767


def test_folder_is_filled_on_and_refused_for_another_synthesis(tmp_path):
    config = SoundConfig(count=2, seconds=0.2)
    Sounds(tmp_path, config).fill(0, io.StringIO())
    more = Sounds(tmp_path, SoundConfig(count=3, seconds=0.2))
    assert more.missing() == [2]
    assert more.first(2).missing() == []
    assert len(more.first(1000)) == len(more)
    with pytest.raises(CheckpointError, match="other seconds"):
        Sounds(tmp_path, SoundConfig(count=2, seconds=0.3))
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "synthesis": "older"}))
    with pytest.raises(CheckpointError, match="other synthesis"):
        Sounds(tmp_path, config)
    with pytest.raises(ConfigError, match="is to hold 3"):
        more.waveform(3)


def test_what_another_process_renders_meanwhile_is_not_rendered_again(tmp_path):
    class Crowded(Sounds):
        made = ()

        def make(self, number):
            self.made += (number,)
            if number == 0:
                Sounds(self.folder, self.config).render(1)
            return super().make(number)

    sounds = Crowded(tmp_path, SoundConfig(count=3, seconds=0.2))
    sounds.fill(0, io.StringIO())
    assert sounds.made == (0, 2)
    assert sounds.missing() == []


def test_silent_scenes_are_stored_as_zeros(tmp_path):
    config = SoundConfig(count=400, seconds=0.2)
    number = next(n for n in range(400) if toybox.sound_labels(config.scene(n)).silent)
    sounds = Sounds(tmp_path, config)
    sounds.render(number)
    assert not sounds.waveform(number).any()


def test_samples_hear_every_kind_of_sound_ambience_and_mood():
    labels = [toybox.sound_labels(scene, music=mood) for scene, mood in samples()]
    assert {label.kind for label in labels} == {*toybox.SOUND_KINDS} - {"silence"}
    assert {label.ambience for label in labels} == {*toybox.AMBIENCES} - {"silence"}
    assert {label.mood for label in labels} == set(toybox.MOODS)


def test_change_of_a_single_kind_or_ambience_is_noticed(monkeypatch):
    before = synthesis()
    with monkeypatch.context() as patch:
        patch.setitem(actions._ENGINE_HERTZ, "car", 81.0)
        assert synthesis.__wrapped__() != before
    with monkeypatch.context() as patch:
        patch.setattr(ambience, "grains", lambda name, *rest: [] if name == "bubbles" else grains(name, *rest))
        assert synthesis.__wrapped__() != before
