"""Sound as tensors and files."""

import av
import pytest
import torch
from films import tone

from moviegen_core.errors import MediaError, ShapeError
from moviegen_core.media import sound, waveform
from moviegen_core.memory import growth


@pytest.mark.parametrize(("given", "wanted"), [(48000, 44100), (44100, 48000), (16000, 48000), (48000, 16000)])
def test_resampled_tone_is_the_tone_at_the_other_rate(given, wanted):
    resampled = waveform.resample(tone(1, 1000, given, 1), given, wanted)
    assert resampled.shape == (1, wanted)
    assert (resampled - tone(1, 1000, wanted, 1))[:, 200:-200].abs().max() < 2e-3


@pytest.mark.parametrize(("given", "wanted"), [(44101, 48000), (45731, 44100)])
def test_rates_without_a_common_divisor_are_resampled_in_little_memory(given, wanted):
    two = torch.cat([tone(1, hertz, given, 1) for hertz in (1000, 700)])
    with growth() as grown:
        resampled = waveform.resample(two[:, : given // 2], given, wanted)
        assert grown() < 200e6
    assert resampled.shape == (2, -(-(given // 2) * wanted // given))
    kept = torch.cat([tone(1, hertz, wanted, 1) for hertz in (1000, 700)])[:, 200 : resampled.shape[1] - 200]
    error = resampled[:, 200:-200] - kept
    assert 10 * float((kept.square().sum() / error.square().sum()).log10()) > 60


def test_tone_above_the_new_limit_vanishes_instead_of_folding_back():
    resampled = waveform.resample(tone(1, 15000, level=1), 48000, 16000)
    assert resampled[:, 200:-200].abs().max() < 1e-2


def test_resampling_keeps_leading_axes():
    assert waveform.resample(torch.zeros(2, 3, 480), 48000, 24000).shape == (2, 3, 240)


def test_sound_without_samples_has_none_at_any_rate():
    assert waveform.resample(torch.zeros(2, 0), 48000, 24000).shape == (2, 0)


def test_invalid_samples_become_silence_and_loud_ones_are_clipped():
    given = torch.tensor([[0.5, float("nan"), float("inf"), -3.0]])
    assert waveform.checked(given, 48000).tolist() == [[0.5, 0.0, 0.0, -1.0]]


@pytest.mark.parametrize("shape", [(8,), (1, 8), (1, 1, 8)])
def test_usual_shapes_become_channels_and_samples(shape):
    assert waveform.checked(torch.zeros(shape), 48000).shape == (1, 8)


def test_batch_of_sounds_is_refused():
    with pytest.raises(ShapeError, match=r"\[channels, samples\]"):
        waveform.checked(torch.zeros(2, 1, 8), 48000)


def test_channels_are_doubled_or_mixed():
    assert waveform.to_stereo(torch.ones(1, 4)).tolist() == [[1.0] * 4] * 2
    assert waveform.to_mono(torch.tensor([[1.0], [0.0]])).tolist() == [[0.5]]
    assert waveform.to_stereo(torch.ones(6, 4)).shape == (2, 4)


@pytest.mark.parametrize(("ending", "channels"), [("flac", 1), ("flac", 2), ("wav", 2)])
def test_sound_file_gives_back_the_samples(tmp_path, ending, channels):
    given = torch.cat([tone(0.3, 440 * (1 + channel), 44100, 0.5) for channel in range(channels)])
    sound.write_sound(given, 44100, tmp_path / f"tone.{ending}")
    samples, rate = sound.read_sound(tmp_path / f"tone.{ending}")
    assert rate == 44100
    assert samples.shape == given.shape
    assert (samples - given).abs().max() < 1e-4


def test_sound_whose_length_is_a_guess_of_the_bit_rate_is_read_to_its_end(tmp_path):
    with (tmp_path / "tone.aac").open("wb") as joined:
        for bit_rate, seconds in ((256_000, 1.0), (16_000, 9.0)):
            with av.open(joined, mode="w", format="adts") as container:
                stream = container.add_stream("aac", rate=48000, layout="mono")
                stream.bit_rate = bit_rate
                given = tone(seconds, 1000, level=0.5).numpy()
                frame = av.AudioFrame.from_ndarray(given, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 48000, 0
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
    with av.open(str(tmp_path / "tone.aac")) as container:
        stream = container.streams.audio[0]
        assert stream.duration * stream.time_base < 8
    samples, rate = sound.read_sound(tmp_path / "tone.aac")
    assert 10.0 <= samples.shape[1] / rate < 10.15
    assert samples[:, 470_000:480_000].abs().max() > 0.3


def test_foreign_sound_file_is_refused(tmp_path):
    (tmp_path / "tone.wav").write_bytes(b"no sound")
    with pytest.raises(MediaError, match="damaged"):
        sound.read_sound(tmp_path / "tone.wav")
    with pytest.raises(MediaError, match="change the file's ending"):
        sound.write_sound(torch.zeros(1, 8), 8000, tmp_path / "tone.mp3")
