"""Films and sounds that tests of several folders make and compare."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import av
import torch


class Packet(NamedTuple):
    """One coded picture; times in seconds."""

    content: bytes
    shown: Fraction | None
    decoded: Fraction | None
    lasts: Fraction | None
    key_frame: bool


class Pictures(NamedTuple):
    """All that a player gets of a film's pictures."""

    codec: str
    header: bytes | None
    packets: list[Packet]


def packets_of(path):
    """The coded Pictures of a film: equal ones are a copy bit for bit, shown at the same times."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [
            Packet(
                bytes(one),
                *(None if time is None else time * stream.time_base for time in (one.pts, one.dts, one.duration)),
                one.is_keyframe,
            )
            for one in container.demux(stream)
            if one.size
        ]
        return Pictures(stream.codec_context.name, stream.codec_context.extradata, packets)


def noisy_frames(count, seed=0):
    """Frames [3, T, 32, 48] that do not compress to nothing."""
    return torch.rand(3, count, 32, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def write_film(path, codec, b_frames=0):
    """A silent film of twelve pictures."""
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"  # x265 spoils the memory below 64
        if not codec.startswith("libvpx"):
            stream.codec_context.max_b_frames = b_frames
        for frame in (noisy_frames(12).repeat(1, 1, 2, 2) * 127 + 128).byte().permute(1, 2, 3, 0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.contiguous().numpy(), format="rgb24")))
        container.mux(stream.encode(None))


def write_stamps(path, stamps):
    """A film whose pictures are shown at `stamps` (milliseconds): noise, each brighter than the one before."""
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for index, stamp in enumerate(stamps):
            noise = torch.randint(-16, 17, (32, 48, 3), generator=torch.Generator().manual_seed(index))
            picture = (noise + 20 + 200 * index // len(stamps)).byte()
            frame = av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def tone(seconds, hertz=440.0, rate=48000, level=0.3, channels=1):
    """A sine [C, S]."""
    wave = level * (2 * torch.pi * hertz * torch.arange(round(seconds * rate)) / rate).sin()
    return wave.expand(channels, -1).contiguous()
