"""Sound files: levels, starts and changes on the way."""

from fractions import Fraction

import av
import pytest
import torch
from films import tone

from moviegen_core.media.movie import read_movie
from moviegen_core.media.sound import read_sound, sound_blocks

RATE = 48000


def encode_sound(container, stream, sound, start=0.0):
    """Encodes [C, S] from `start` seconds on."""
    for first in range(0, sound.shape[1], 1024):
        piece = sound[:, first : first + 1024].T.reshape(1, -1).contiguous().numpy()
        frame = av.AudioFrame.from_ndarray(piece, format="flt", layout=stream.layout)
        frame.sample_rate, frame.time_base = stream.rate, Fraction(1, stream.rate)
        frame.pts = first + round(start * stream.rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_file(path, sound, layout, *, rate=RATE, codec="pcm_f32le", start=0.0, pictures=None):
    """A sound that starts at `start` seconds, beside a second of pictures from `pictures` seconds on."""
    with av.open(str(path), mode="w") as container:
        if pictures is not None:
            shown = container.add_stream("mpeg4", rate=25)
            shown.width, shown.height, shown.pix_fmt = 32, 32, "yuv420p"
        heard = container.add_stream(codec, rate=rate, layout=layout)
        for index in range(0 if pictures is None else 25):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = index + round(pictures * 25), Fraction(1, 25)
            container.mux(shown.encode(frame))
        if pictures is not None:
            container.mux(shown.encode(None))
        encode_sound(container, heard, sound, start)


def streamed(sound, channels, rate=RATE, samples=RATE, **options):
    """The blocks of a sound as one tensor."""
    return torch.cat(list(sound_blocks(sound, sample_rate=rate, channels=channels, samples=samples, **options)), dim=1)


def begin(sound):
    """First sample of [C, S] that is heard."""
    return int((sound[0].abs() > 0.1).nonzero()[0])


@pytest.mark.parametrize("layout", ["mono", "stereo", "2.1", "quad", "5.1", "7.1"])
def test_file_and_its_tensor_have_the_same_level(tmp_path, layout):
    count = av.AudioLayout(layout).nb_channels
    given = tone(1, level=0.5, channels=count) * torch.linspace(1, 0.5, count).view(-1, 1)
    write_file(tmp_path / "sound.wav", given, layout)
    heard, _ = read_sound(tmp_path / "sound.wav")
    torch.testing.assert_close(heard, given)
    for channels, rate in ((1, 48000), (2, 48000), (2, 44100)):
        from_file = streamed(tmp_path / "sound.wav", channels, rate, rate)
        torch.testing.assert_close(from_file, streamed(given, channels, rate, rate), atol=1e-5, rtol=0)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(("start", "pictures", "wanted"), [(0.5, 0.0, 24000), (0.48, 0.48, 0), (0.5, 0.2, 14400)])
def test_sound_of_a_film_begins_with_its_pictures(tmp_path, ending, start, pictures, wanted):
    path = tmp_path / f"film.{ending}"
    write_file(path, tone(0.5, level=0.5), "mono", codec="aac", start=start, pictures=pictures)
    heard, _ = read_sound(path)
    assert begin(heard) == pytest.approx(wanted, abs=100)
    assert heard.shape[1] == pytest.approx(wanted + 24000, abs=1100)
    torch.testing.assert_close(heard[:, : wanted + 20000], streamed(path, 1)[:, : wanted + 20000])
    torch.testing.assert_close(read_movie(path).waveform, heard)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_sound_before_the_first_picture_is_cut(tmp_path, ending):
    sound = torch.cat([tone(0.6, level=0.01), tone(0.4, level=0.5)], dim=1)
    write_file(tmp_path / f"film.{ending}", sound, "mono", codec="aac", pictures=0.4)
    heard, _ = read_sound(tmp_path / f"film.{ending}")
    assert begin(heard) == pytest.approx(9600, abs=100)


def test_film_whose_sound_ends_before_its_pictures_has_none(tmp_path):
    write_file(tmp_path / "film.mkv", tone(0.5, level=0.5), "mono", codec="aac", pictures=2.0)
    assert read_sound(tmp_path / "film.mkv")[0].shape == (1, 0)
    assert streamed(tmp_path / "film.mkv", 1).abs().max() == 0


@pytest.mark.parametrize(("most", "held"), [(0.25, 0.25), (0.75, 0.75), (3.0, 1.0)])
def test_limit_counts_from_the_first_picture(tmp_path, most, held):
    write_file(tmp_path / "film.mp4", tone(0.5, level=0.5), "mono", codec="aac", start=0.5, pictures=0.0)
    heard, _ = read_sound(tmp_path / "film.mp4", most_seconds=most)
    # FFmpeg's MP4 writer says in thousandths of a second where a sound starts.
    assert heard.shape[1] == pytest.approx(held * RATE, abs=0 if most < 1 else 48)
    assert heard[:, :23000].abs().max() < 0.01


@pytest.mark.parametrize("ending", ["m4a", "mka"])
def test_plain_sound_begins_at_once_wherever_its_clock_starts(tmp_path, ending):
    write_file(tmp_path / f"sound.{ending}", tone(0.5, level=0.5), "mono", codec="aac", start=0.5)
    assert begin(read_sound(tmp_path / f"sound.{ending}")[0]) < 1100  # with the encoder's delay
    assert begin(streamed(tmp_path / f"sound.{ending}", 1)) < 1100


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
def test_hole_in_a_track_is_silence_and_what_comes_after_it_stays_in_time(tmp_path, codec):
    path = tmp_path / "sound.mkv"
    beep = torch.zeros(1, 4 * 48000)
    beep[:, 3 * 48000 : 3 * 48000 + 4800] = tone(0.1)[:1]
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=48000, layout="mono")
        packets = []
        for start in range(0, beep.shape[1], 1024):
            block = beep[:, start : start + 1024].contiguous().numpy()
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            if not 1 <= packet.pts * packet.time_base < 2:
                container.mux(packet)
    whole, rate = read_sound(path)
    streamed = torch.cat(list(sound_blocks(path, sample_rate=48000, channels=1, samples=4 * 48000)), dim=1)
    for heard in (whole, streamed):
        assert heard.shape[1] == pytest.approx(4 * 48000, abs=2400)
        begun = float(heard.abs().gt(0.1).float().argmax()) / rate
        assert begun == pytest.approx(3.0, abs=0.03)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("mono", 48000), ("stereo", 48000)),
        (("mono", 48000), ("5.0", 32000)),
        (("stereo", 44100), ("mono", 48000)),
        (("5.0", 48000), ("stereo", 44100)),
    ],
)
def test_track_that_changes_on_its_way_is_read_as_it_began(tmp_path, first, second):
    with (tmp_path / "sound.aac").open("wb") as joined:
        for layout, rate in (first, second):
            with av.open(joined, mode="w", format="adts") as container:
                stream = container.add_stream("aac", rate=rate, layout=layout)
                encode_sound(container, stream, tone(1, rate=rate, level=0.5, channels=stream.layout.nb_channels))
    heard, rate = read_sound(tmp_path / "sound.aac")
    assert (heard.shape[0], rate) == (av.AudioLayout(first[0]).nb_channels, first[1])
    assert heard.shape[1] / rate == pytest.approx(2, abs=0.15)
    for sound in (heard, streamed(tmp_path / "sound.aac", 2, samples=2 * RATE)):
        for part in sound[:2].chunk(2, dim=1):
            middle = part[:, part.shape[1] // 4 : -part.shape[1] // 4]
            assert middle.abs().amax(1).tolist() == pytest.approx([0.5] * len(middle), abs=0.05)
