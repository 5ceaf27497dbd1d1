"""Pictures with their moments, where the first ones of a file cannot be decoded."""

import av
import torch
from films import tone

from moviegen_core.media.join import clip_of
from moviegen_core.media.mux import set_audio
from moviegen_core.media.pictures import timed_windows
from moviegen_core.media.sound import read_sound
from moviegen_core.media.timeline import timeline


def write_cut(path, dropped, *, fps=25, seconds=3, marked=2, codec="libx264", noise=1.0):
    """A film [ts] with a key frame every second, without its first `dropped` pictures, and a tone from `marked` s."""
    frames = noise * (torch.rand(3, fps * seconds, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    whole, sounded = path.with_name("whole.mkv"), path.with_name("sounded.mkv")
    write_pictures(whole, frames, fps, codec)
    sound = tone(seconds, 500)
    sound[:, : marked * 48000] = 0
    set_audio(whole, sound, sounded)
    with av.open(str(sounded)) as given, av.open(str(path), mode="w") as copy:
        targets = [copy.add_stream_from_template(stream, opaque=True) for stream in given.streams]
        seen = 0
        for packet in given.demux():
            if not packet.size:
                continue
            seen += packet.stream.type == "video"
            if seen > dropped:
                packet.stream = targets[packet.stream.index]
                copy.mux(packet)


def write_pictures(path, frames, fps, codec="libx264", b_frames=0):
    """Pictures with a key frame each second."""
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=fps, options={"g": str(fps), "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.max_b_frames = b_frames
        for frame in (frames * 127 + 128).byte().permute(1, 2, 3, 0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.contiguous().numpy(), format="rgb24")))
        container.mux(stream.encode(None))


def test_film_that_starts_between_key_frames_begins_with_the_first_picture_that_can_be_decoded(tmp_path):
    film = tmp_path / "film.ts"
    write_cut(film, dropped=5)
    time = timeline(film)
    assert (time.num_frames, time.fps) == (50, 25)
    windows = list(timed_windows(film))
    moments = [moment for _, seconds in windows for moment in seconds]
    assert moments == [number / 25 for number in range(50)]
    # The tone began one second after that picture, and still does.
    for sound, rate in (read_sound(film), (clip_of(film).waveform, clip_of(film).sample_rate)):
        begins = int((sound.abs().amax(0) > 0.1).nonzero()[0]) / rate
        assert abs(begins - 1.0) < 0.03


def test_grey_pictures_before_the_first_key_frame_are_left_out(tmp_path):
    film = tmp_path / "film.mkv"
    write_cut(film, dropped=5, codec="mpeg4", noise=0.05)
    time = timeline(film)
    moments = [moment for _, seconds in timed_windows(film) for moment in seconds]
    assert len(moments) == time.num_frames < 70
    assert moments == [number / 25 for number in range(time.num_frames)]


def test_reordered_pictures_of_an_avi_are_shown_in_turn(tmp_path):
    film = tmp_path / "film.avi"
    frames = torch.rand(3, 60, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    write_pictures(film, frames, 25, b_frames=2)
    assert not timeline(film).stamped
    moments = [moment for _, seconds in timed_windows(film) for moment in seconds]
    assert moments == [number / 25 for number in range(60)]


def test_pictures_after_a_gap_of_damaged_ones_stay_at_their_moments(tmp_path):
    film = tmp_path / "film.ts"
    write_cut(film, dropped=0)
    content = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    for start in range(places[30], places[45], 188):  # headers of packets that are no longer there
        content[start : start + 188] = b"\x47\x1f\xff\x10" + bytes(184)  # null packets (ISO 13818-1)
    film.write_bytes(content)
    moments = [moment for _, seconds in timed_windows(film) for moment in seconds]
    assert len(moments) < 75
    assert moments[-1] == 74 / 25
