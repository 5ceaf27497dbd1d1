"""Sound nodes on the stand-in for ComfyUI's node API, with real files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from films import packets_of

from moviegen_core.errors import MediaError, ShapeError
from moviegen_core.media.loudness import integrated_loudness
from moviegen_core.media.movie import write_movie
from moviegen_core.media.sound import read_sound, write_sound
from moviegen_core.media.timeline import exact_fps
from moviegen_host.run import Host
from moviegen_host.video import VideoComponents, VideoFromComponents, VideoFromFile

ROOT = Path(__file__).parents[2]
RATES = [12, 16, 23.976, 24, 25, 29.97, 30, 60]


def audio(seconds=1.0, rate=48000, channels=1, batch=1, hertz=440.0, level=0.3):
    """AUDIO with a sine."""
    wave = level * (2 * torch.pi * hertz * torch.arange(round(seconds * rate)) / rate).sin()
    return {"waveform": wave.expand(batch, channels, -1).contiguous(), "sample_rate": rate}


def film(path, frames=12, fps=24, sound=None):
    """A VIDEO from a file."""
    pixels = torch.rand(3, frames, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    waveform = None if sound is None else sound["waveform"][0]
    write_movie(pixels, path, fps, waveform=waveform, preset="ultrafast")
    return VideoFromFile(path)


@pytest.fixture
def run(nodes):
    return lambda name, *arguments, **inputs: nodes[f"MovieGen{name}"].execute(*arguments, **inputs)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("frames", [1, 13])
def test_sound_is_as_long_as_the_video_and_as_its_frames_to_the_sample(run, tmp_path, fps, frames):
    video = film(tmp_path / "film.mp4", frames, fps)
    wanted = round(frames / exact_fps(fps) * 48000)
    assert run("FitAudio", audio(0.3), video=video)[0]["waveform"].shape == (1, 1, wanted)
    images = torch.zeros(frames, 8, 8, 3)
    assert run("FitAudio", audio(9.0, channels=2), images=images, fps=fps)[0]["waveform"].shape == (1, 2, wanted)
    memory = VideoFromComponents(VideoComponents(images, exact_fps(fps)))
    assert run("FitAudio", audio(0.3), video=memory, mode="loop")[0]["waveform"].shape == (1, 1, wanted)


def test_three_minutes_at_a_broadcast_rate_are_exact(run):
    frames = round(180 * 30000 / 1001)
    images = torch.zeros(1, 1, 1, 3).expand(frames, 1, 1, 3)
    fitted = run("FitAudio", audio(0.5, 8000), images=images, fps=29.97, mode="loop")[0]
    assert fitted["waveform"].shape[-1] == round(Fraction(frames * 1001, 30000) * 8000)


def test_length_in_seconds_is_used_when_no_clip_is_connected(run):
    assert run("FitAudio", audio(1.0, 44100), seconds=2.5)[0]["waveform"].shape == (1, 1, 110250)


def test_fades_take_the_seconds_that_are_asked_for(run):
    flat = {"waveform": torch.ones(1, 1, 8000), "sample_rate": 8000}
    faded = run("FitAudio", flat, seconds=1.0, fade_in=0.25, fade_out=0.1)[0]["waveform"][0, 0]
    assert bool((faded[:2000].diff() > 0).all())
    assert torch.equal(faded[2000:7200], torch.ones(5200))
    assert bool((faded[7200:].diff() < 0).all())


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"audio": None, "seconds": 1.0}, "may be silent"),
        ({"audio": audio(0.0), "seconds": 1.0}, "0 samples"),
        ({"audio": audio()}, "nothing to fit"),
        ({"audio": audio(), "images": torch.zeros(4, 8, 8, 3), "fps": 0.0}, "above 0"),
        ({"audio": audio(), "images": torch.zeros(0, 8, 8, 3)}, "at least 1"),
    ],
)
def test_impossible_fits_are_refused_in_one_line(run, inputs, words):
    with pytest.raises(MediaError, match=words) as caught:
        run("FitAudio", **inputs)
    assert "\n" not in str(caught.value)


def test_set_audio_copies_the_pictures_of_a_file(run, tmp_path):
    video = film(tmp_path / "film.mp4", 24, 23.976, audio(2))
    changed = run("SetVideoAudio", video, audio(3.0, channels=2, hertz=880))[0]
    assert packets_of(changed.get_stream_source()) == packets_of(video.get_stream_source())
    heard, rate = read_sound(changed.get_stream_source())
    assert abs(heard.shape[1] / rate - 1.001) <= 1024 / 48000
    assert heard.shape[0] == 2
    removed = run("SetVideoAudio", changed, mode="remove")[0]
    assert packets_of(removed.get_stream_source()) == packets_of(video.get_stream_source())


def test_set_audio_on_frames_in_memory_loses_no_picture_and_fits_the_sound(run):
    images = torch.rand(12, 8, 8, 3)
    video = VideoFromComponents(VideoComponents(images, Fraction(24), audio(0.5, hertz=200)))
    parts = run("SetVideoAudio", video, audio(9.0))[0].get_components()
    assert parts.images is images
    assert parts.audio["waveform"].shape == (1, 1, 24000)
    mixed = run("SetVideoAudio", video, audio(0.1), "mix", original_gain_db=-20.0)[0].get_components().audio["waveform"]
    assert float(mixed[..., 12000:].abs().max()) == pytest.approx(0.03, abs=1e-3)
    assert run("SetVideoAudio", video, mode="remove")[0].get_components().audio is None


@pytest.mark.parametrize("where", ["file", "memory"])
def test_gains_of_both_sounds_of_a_video_are_those_that_are_asked_for(run, tmp_path, where):
    own = audio(1.0, hertz=500)
    memory = VideoFromComponents(VideoComponents(torch.rand(24, 32, 48, 3), Fraction(24), own))
    video = film(tmp_path / "film.mp4", 24, 24, own) if where == "file" else memory
    made = run("SetVideoAudio", video, audio(1.0, hertz=2000), "mix", gain_db=-6.02, original_gain_db=-12.04)[0]
    heard = made.get_components().audio["waveform"][0, 0, 12000:36000]
    spectrum = torch.fft.rfft(heard).abs() / 12000  # two bins a hertz
    assert float(spectrum[250]) == pytest.approx(0.075, abs=0.01)
    assert float(spectrum[1000]) == pytest.approx(0.15, abs=0.01)


def test_own_track_without_samples_mixes_as_silence(run):
    video = VideoFromComponents(VideoComponents(torch.rand(12, 8, 8, 3), Fraction(24), audio(0.0)))
    mixed, replaced = (
        run("SetVideoAudio", video, audio(0.5), mode)[0].get_components().audio["waveform"]
        for mode in ("mix", "replace")
    )
    assert torch.equal(mixed, replaced)


@pytest.mark.parametrize("name", ["EmptySoundLatent", "VideoToSound", "FitAudio"])
def test_no_frame_rate_can_be_chosen_that_is_refused(registry, name):
    fps = next(one for one in registry.schema(f"MovieGen{name}").inputs if one.id == "fps")
    assert exact_fps(fps.min) > 0
    assert exact_fps(fps.max) <= 1000


def test_set_audio_works_for_films_in_a_buffer(run, tmp_path):
    import io

    video = film(tmp_path / "film.mp4")
    changed = run("SetVideoAudio", VideoFromFile(io.BytesIO((tmp_path / "film.mp4").read_bytes())), audio())[0]
    assert packets_of(changed.get_stream_source()) == packets_of(video.get_stream_source())


class Cut(VideoFromFile):
    """A VIDEO of ComfyUI before `get_active_trim_window`: it keeps its cut, and its buffer, to itself."""

    def __init__(self, file, start_time=0.0, duration=0.0):
        super().__init__(file)
        self._VideoFromFile__start_time, self._VideoFromFile__duration = start_time, duration
        self.file = file

    def get_stream_source(self):
        return self.file


@pytest.mark.parametrize(("start", "wanted"), [(0.25, 0.25), (-0.125, 0.375), (-0.5, 0.0), (-9.0, 0.0)])
def test_cut_that_counts_from_the_end_starts_there(part, tmp_path, start, wanted):
    film(tmp_path / "film.mp4")
    assert part("runtime.media").trim(Cut(str(tmp_path / "film.mp4"), start, 0.2)) == (pytest.approx(wanted), 0.2)


def test_film_in_a_buffer_is_written_to_one_file(part, tmp_path):
    import io

    film(tmp_path / "film.mp4")
    buffer, whole_file = io.BytesIO((tmp_path / "film.mp4").read_bytes()), part("runtime.media").whole_file
    first = whole_file(Cut(buffer))
    assert whole_file(Cut(buffer)) == whole_file(Cut(buffer, -0.5), trimmed=True) == first
    first.unlink()
    assert whole_file(Cut(buffer)).read_bytes() == buffer.getvalue()


def test_set_audio_refuses_no_sound_and_several(run, tmp_path):
    video = film(tmp_path / "film.mp4")
    with pytest.raises(MediaError, match="connect a sound, or choose the mode remove"):
        run("SetVideoAudio", video, None)
    with pytest.raises(ShapeError, match="one video takes one"):
        run("SetVideoAudio", video, audio(batch=2))


def test_mix_starts_pans_and_keeps_the_higher_rate(run):
    mixed = run("MixAudio", audio(2.0, 8000), audio(0.5, 48000), start=1.0, pan=1.0, audio_gain_db=-60.0)[0]
    assert mixed["sample_rate"] == 48000
    assert mixed["waveform"].shape == (1, 2, 96000)
    level = mixed["waveform"].abs().amax(-1)[0]
    assert float(level[0]) < 0.01 < 0.4 < float(level[1])
    assert float(mixed["waveform"][..., :47000].abs().max()) < 0.01


def test_mix_takes_the_length_of_the_first_when_asked(run):
    assert run("MixAudio", audio(1.0), audio(2.0), length="first")[0]["waveform"].shape[-1] == 48000
    assert run("MixAudio", audio(1.0), audio(2.0))[0]["waveform"].shape[-1] == 96000


def test_single_sound_mixes_with_every_item_of_a_batch(run):
    assert run("MixAudio", audio(1.0, batch=3), audio(1.0))[0]["waveform"].shape == (3, 1, 48000)
    with pytest.raises(ShapeError, match="2 and 3"):
        run("MixAudio", audio(batch=2), audio(batch=3))


def test_mix_ducks_the_first_sound(run):
    ducked = run("MixAudio", audio(4.0, level=0.2), audio(1.0, hertz=5000), start=2.0, gain_db=-20.0, duck_db=20.0)[0]
    sound = ducked["waveform"][0, 0]
    assert float(sound[:48000].abs().max()) == pytest.approx(0.2, abs=1e-3)
    assert float(sound[110000:130000].abs().max()) == pytest.approx(0.02 + 0.03, abs=3e-3)


@pytest.mark.parametrize(("target", "lufs"), [("streaming", -14), ("podcast", -16), ("broadcast", -23)])
def test_presets_set_the_loudness(run, target, lufs):
    sound, measured, peak = run("NormaliseLoudness", audio(2.0, channels=2), {"target": target})
    assert integrated_loudness(sound["waveform"][0], 48000) == pytest.approx(lufs, abs=0.1)
    assert measured == pytest.approx(lufs, abs=0.1)
    assert peak <= -1.0 + 1e-3


def test_custom_loudness_is_applied_to_every_item_on_its_own(run):
    given = audio(1.0, batch=2)
    given["waveform"][1] *= 0.01
    sound, measured, _ = run("NormaliseLoudness", given, {"target": "custom", "lufs": -20.0, "true_peak_db": -3.0})
    for one in sound["waveform"]:
        assert integrated_loudness(one, 48000) == pytest.approx(-20.0, abs=0.1)
    assert measured == pytest.approx(-20.0, abs=0.1)


def test_loudness_of_silence_is_a_number_that_widgets_can_show(run):
    silent = {"waveform": torch.zeros(1, 1, 48000), "sample_rate": 48000}
    sound, measured, peak = run("NormaliseLoudness", silent, {"target": "streaming"})
    assert not sound["waveform"].any()
    assert (measured, peak) == (-70.0, -200.0)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (48000, 8), (44100, 6)])
def test_every_tool_takes_unusual_sounds_with_invalid_samples(run, rate, channels):
    given = audio(1.0, rate, channels, level=1.5)
    given["waveform"][0, 0, 7] = float("nan")
    for name, inputs in {
        "FitAudio": {"seconds": 0.5},
        "MixAudio": {"added": audio(0.5)},
        "NormaliseLoudness": {"target": {"target": "podcast"}},
        "StereoFromMono": {"width": 0.7},
    }.items():
        assert run(name, given, **inputs)[0]["waveform"].isfinite().all(), name


def test_stereo_from_mono_widens_every_item(run):
    wide = run("StereoFromMono", audio(0.5, batch=2, hertz=1000.0), width=0.8)[0]["waveform"]
    assert wide.shape == (2, 2, 24000)
    assert not torch.equal(wide[:, 0], wide[:, 1])
    same = run("StereoFromMono", audio(0.5), width=0.0)[0]["waveform"]
    assert torch.equal(same[:, 0], same[:, 1])


def test_finish_audio_workflow_runs_whole(tmp_path):
    video = film(tmp_path / "film.mp4", 36, 29.97, audio(1.2, hertz=900))
    write_sound(audio(0.5, 44100, hertz=300)["waveform"][0], 44100, tmp_path / "music.wav")
    workflow = ROOT / "workflows" / "finish_audio.json"
    host = Host(output=tmp_path / "out", input_directory=tmp_path)
    [written] = [path for path in host.run(workflow, {"target": "podcast"}).written if path.suffix == ".mp4"]
    assert packets_of(written) == packets_of(video.get_stream_source())
    heard, rate = read_sound(written)
    assert abs(heard.shape[1] - round(36 * 1001 / 30000 * rate)) <= 1024
    assert heard.shape[0] == 2
    assert integrated_loudness(heard, rate) == pytest.approx(-16.0, abs=0.5)  # AAC moves it a little
