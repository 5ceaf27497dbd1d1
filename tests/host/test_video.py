"""Films on VIDEO sockets: what is written, what would not fit, and how long a node's own file stays."""

import av
import numpy as np
import pytest
import torch
from films import write_stamps

from moviegen_core.errors import MediaError
from moviegen_core.media import formats
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.timeline import timeline
from moviegen_host import stock_nodes
from moviegen_host.errors import Cancelled, HostError
from moviegen_host.session import Session, active
from moviegen_host.video import VideoCodec, VideoComponents, VideoFromComponents, VideoFromFile


@pytest.fixture
def film(tmp_path):
    """A film of 40 frames with sound."""
    pixels = torch.linspace(-1, 1, 40).view(1, 40, 1, 1).expand(3, 40, 32, 48)
    return write_movie(pixels, tmp_path / "in.mp4", 16, waveform=torch.zeros(1, 24000)).path


@pytest.fixture
def free_memory(monkeypatch):
    """Sets the kB that the system says are free."""

    def set_free(kilobytes):
        monkeypatch.setattr("moviegen_core.memory.memory_bytes", lambda: (4000 * 1024, kilobytes * 1024))

    return set_free


def test_film_that_does_not_fit_into_the_memory_is_refused_before_it_is_decoded(film, free_memory):
    free_memory(1439)  # 40 frames of 48 x 32 pixels, 24 bytes each, are 1440 kB
    with pytest.raises(MediaError, match=r"40 frames of 48 x 32 pixels of in\.mp4 need .* use a shorter or smaller"):
        VideoFromFile(film).get_components()
    free_memory(1440)
    assert VideoFromFile(film).get_components().images.shape == (40, 32, 48, 3)


def test_film_is_loaded_where_the_system_does_not_tell_its_memory(film, monkeypatch):
    monkeypatch.setattr("moviegen_core.memory.memory_bytes", lambda: (0, 0))
    assert len(VideoFromFile(film).get_components().images) == 40


def test_film_is_encoded_anew_in_little_memory(film, free_memory, tmp_path):
    free_memory(1)
    VideoFromFile(film).save_to(tmp_path / "out.mp4", codec=VideoCodec.H264, crf=20)
    movie = read_movie(tmp_path / "out.mp4")
    assert (movie.num_frames, movie.sample_rate) == (40, 48000)


def test_encoding_a_film_anew_stops_when_the_run_is_stopped(film, tmp_path):
    stopped = Session()
    stopped.cancel.set()
    with active(stopped), pytest.raises(Cancelled):
        VideoFromFile(film).save_to(tmp_path / "out.mp4", crf=20)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_film_of_varying_rate_keeps_its_length_and_its_moments(tmp_path, ending):
    source = tmp_path / f"in.{ending}"
    write_stamps(source, [*range(0, 400, 50), 3000, 4000])
    seconds = float(timeline(source).seconds)
    video = VideoFromFile(source)
    video.save_to(tmp_path / "out.mp4", crf=20)
    made = read_movie(tmp_path / "out.mp4")
    parts = video.get_components()
    assert video.get_frame_count() == len(parts.images) == made.num_frames
    assert abs(made.duration_seconds - seconds) < 0.5 / float(made.fps)
    assert abs(video.get_duration() - seconds) < 0.5 / float(made.fps)
    levels = parts.images.mean(dim=(1, 2, 3))
    changes = [(number + 1) / float(parts.frame_rate) for number in (levels.diff() > 0.02).nonzero()[:, 0].tolist()]
    assert min(abs(moment - 3.0) for moment in changes) < 1 / float(parts.frame_rate)


def test_film_that_its_new_container_cannot_hold_is_encoded_anew(tmp_path):
    with av.open(str(tmp_path / "in.webm"), mode="w") as container:
        stream = container.add_stream("libvpx", rate=16)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 48, 3), 90, np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    VideoFromFile(tmp_path / "in.webm").save_to(tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec.canonical_name == "h264"
    assert read_movie(tmp_path / "out.mp4").num_frames == 5
    VideoFromFile(tmp_path / "in.webm").save_to(tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec.canonical_name == "vp8"


def test_film_saved_in_another_container_ends_with_its_pictures(tmp_path):
    pixels = torch.linspace(-1, 1, 48).view(1, 48, 1, 1).expand(3, 48, 32, 48)
    write_movie(pixels, tmp_path / "in.mkv", 24, waveform=torch.zeros(1, 96000))
    VideoFromFile(tmp_path / "in.mkv").save_to(tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration == 2_000_000
        assert [float(stream.duration * stream.time_base) for stream in container.streams] == [2.0, 2.0]
        assert container.streams.video[0].average_rate == 24


def test_hdr_film_is_copied_but_not_encoded_anew(tmp_path):
    with av.open(str(tmp_path / "in.mp4"), mode="w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.colorspace = 16, 9
        frame = av.VideoFrame(48, 32, "yuv420p10le")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))  # what memory happens to hold need not fit into ten bits
        for number in range(3):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video = VideoFromFile(tmp_path / "in.mp4")
    with pytest.raises(HostError, match=r"in\.mp4 is HDR, .* here choose the codec auto, which copies it"):
        video.save_to(tmp_path / "out.mp4", crf=20)
    assert not (tmp_path / "out.mp4").exists()
    video.save_to(tmp_path / "out.mp4", codec=VideoCodec.H264)
    assert read_movie(tmp_path / "out.mp4").num_frames == 3


def test_temporary_film_goes_with_the_last_video_that_reads_it(film):
    assert VideoFromFile.temporary(film) == film
    videos = [VideoFromFile(str(film)), VideoFromFile(film)]
    del videos[0]
    assert VideoFromFile(film).get_frame_count() == 40  # one that comes and goes at once
    assert film.exists()
    videos.clear()
    assert not film.exists()


def test_film_that_is_not_temporary_stays(film):
    VideoFromFile(film).get_frame_count()
    assert film.exists()


def test_temporary_film_of_a_result_goes_when_the_result_is_no_longer_kept(host, pack_module, api, film):
    def workflow(stamp):
        pack_module.STAMP[0] = stamp
        return api(n1=("TestStamp", {}), n2=("TestSave", {"value": ["1", 0]}))

    host.run(workflow(1))
    [result] = (value for value in host.executor._kept.values() if not value.shown)
    result.slots[0][0] = VideoFromFile(VideoFromFile.temporary(film))
    del result
    host.run(workflow(1))
    assert film.exists()
    host.run(workflow(2))
    assert not film.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"bit_depth": 10}, "set bit_depth to 8"), ({"color_space": "HDR"}, "choose the color_space auto or sRGB")],
)
def test_film_that_cannot_be_written_here_is_refused(tmp_path, options, message):
    video = VideoFromComponents(VideoComponents(torch.zeros(2, 32, 48, 3), 16))
    with pytest.raises(HostError, match=message):
        video.save_to(tmp_path / "out.mp4", **options)
    assert not list(tmp_path.iterdir())


def test_film_in_memory_of_more_than_8_bits_is_refused_when_it_is_written(tmp_path):
    video = VideoFromComponents(VideoComponents(torch.zeros(2, 32, 48, 3), 16), bit_depth=10)
    with pytest.raises(HostError, match="a film of 10 bits a colour needs ComfyUI; here set bit_depth to 8"):
        video.save_to(tmp_path / "out.mp4")


def test_host_lists_the_films_that_can_be_read():
    assert set(formats.READ_ENDINGS) == stock_nodes.FILMS
    assert set(formats.SOUND_ENDINGS) == stock_nodes.SOUNDS
