"""Sound nodes for films and sounds of any origin: set, fit, mix, normalise, widen."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from moviegen_core.errors import MediaError, ShapeError
from moviegen_core.media import loudness, mux, sound_edit
from moviegen_core.media.timeline import clip_samples, frames_seconds, timeline
from moviegen_core.shapes import MAX_FPS

from .runtime import host
from .runtime.media import as_audio, clip_seconds, single, sounds, whole_file
from .sockets import InputImpl, io

CATEGORY = "MovieGen/sound"
ALIASES = ["movie gen", "moviegen", "sound"]
CUSTOM = "custom"
GAIN = {"default": 0.0, "min": -60.0, "max": 24.0, "step": 0.5}  # dB


class SetVideoAudio(io.ComfyNode):
    """VIDEO and AUDIO -> VIDEO with that sound; pictures of a file are copied bit for bit."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenSetVideoAudio",
            display_name="Set Video Audio (Movie Gen)",
            category=CATEGORY,
            description="Replaces, mixes or removes a video's sound. The pictures of a file are not encoded again.",
            search_aliases=[*ALIASES, "add audio to video", "mux", "replace audio", "remove audio", "mute"],
            inputs=[
                io.Video.Input("video", tooltip="Any video, such as from Load Video or Create Video."),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="One sound; it is cut or followed by silence to the video's end.",
                ),
                io.Combo.Input(
                    "mode", options=list(mux.MODES), tooltip="Replace the video's own sound, mix with it, or remove it."
                ),
                io.Float.Input("gain_db", **GAIN, tooltip="Volume change of the new sound in decibels."),
                io.Float.Input(
                    "original_gain_db", **GAIN, tooltip="Volume change of the video's own sound, when they are mixed."
                ),
            ],
            outputs=[io.Video.Output(tooltip="The video with its new sound.")],
        )

    @classmethod
    def execute(
        cls, video: Any, audio: Any = None, mode: str = "replace", gain_db: float = 0.0, original_gain_db: float = 0.0
    ) -> io.NodeOutput:
        """By stream copy where the video is a whole file, in memory otherwise."""
        if audio is None and mode != "remove":
            raise MediaError(
                "no sound was given, or the video that it comes from is silent; connect a sound, or choose the mode "
                "remove"
            )
        waveform, rate = (None, 48000) if audio is None or mode == "remove" else single(audio)
        source = whole_file(video)
        if source is None:
            return io.NodeOutput(_set_in_memory(video, waveform, rate, mode, gain_db, original_gain_db))
        path = host.temporary_file(mux.container_ending(source))
        gains = {"gain_db": gain_db, "original_gain_db": original_gain_db}
        progress = host.Progress(timeline(source).num_frames)
        mux.set_audio(
            source, waveform, path, sample_rate=rate, mode=mode, on_pictures=lambda done, _: progress(done), **gains
        )
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))


class FitAudio(io.ComfyNode):
    """AUDIO -> AUDIO of exactly a clip's length."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        fade = {"default": 0.0, "min": 0.0, "max": 60.0, "step": 0.05}
        return io.Schema(
            node_id="MovieGenFitAudio",
            display_name="Fit Audio (Movie Gen)",
            category=CATEGORY,
            description="Makes a sound as long as a video, to the sample: cut, padded or looped, with fades.",
            search_aliases=[*ALIASES, "trim audio", "pad audio", "loop audio", "fade", "audio length", "duration"],
            inputs=[
                io.Audio.Input("audio", tooltip="The sound to be fitted."),
                io.Video.Input("video", optional=True, tooltip="The video whose length it gets. Any frame rate."),
                io.Image.Input("images", optional=True, tooltip="Or frames, whose length is their number over fps."),
                io.Float.Input(
                    "fps",
                    default=24.0,
                    min=0.001,
                    max=MAX_FPS,
                    step=0.001,
                    tooltip="Frames a second of the images; 23.976 and 29.97 mean 24000/1001 and 30000/1001.",
                ),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Or a length in seconds, when neither video nor images are connected. 0: not set.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(sound_edit.FITS),
                    tooltip="If the sound is shorter: silence after it (pad), or repeat it (loop).",
                ),
                io.Float.Input("fade_in", **fade, tooltip="Seconds in which the sound rises at its start."),
                io.Float.Input("fade_out", **fade, tooltip="Seconds in which the sound falls at its end."),
            ],
            outputs=[io.Audio.Output(tooltip="The sound at the clip's length.")],
        )

    @classmethod
    def execute(
        cls,
        audio: Any,
        video: Any = None,
        images: Any = None,
        fps: float = 24.0,
        seconds: float = 0.0,
        mode: str = "pad",
        fade_in: float = 0.0,
        fade_out: float = 0.0,
    ) -> io.NodeOutput:
        """The length comes from the video, else the images, else the seconds."""
        waveform, rate = sounds(audio)
        samples = clip_samples(clip_seconds(video, images, fps, seconds), rate)
        fades = {"fade_in": round(fade_in * rate), "fade_out": round(fade_out * rate)}
        fitted = sound_edit.fit(waveform, samples, mode, **fades, join=round(sound_edit.JOIN_SECONDS * rate))
        return io.NodeOutput(as_audio(fitted, rate))


class MixAudio(io.ComfyNode):
    """Two AUDIO -> their mixture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenMixAudio",
            display_name="Mix Audio (Movie Gen)",
            category=CATEGORY,
            description="Adds one sound to another with volume, side and start; the first can give way to the second.",
            search_aliases=[*ALIASES, "combine audio", "merge audio", "overlay", "ducking", "sidechain", "pan", "gain"],
            inputs=[
                io.Audio.Input("audio", tooltip="The first sound, such as music. Chain nodes to mix more than two."),
                io.Audio.Input("added", tooltip="The sound that is added, such as a voice or an effect."),
                io.Float.Input("audio_gain_db", **GAIN, tooltip="Volume change of the first sound in decibels."),
                io.Float.Input("gain_db", **GAIN, tooltip="Volume change of the added sound in decibels."),
                io.Float.Input(
                    "pan",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Side of the added sound: -1 is left.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=-86400.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Second at which the added sound begins; below 0 leaves out its beginning.",
                ),
                io.Float.Input(
                    "duck_db",
                    default=0.0,
                    min=0.0,
                    max=60.0,
                    step=0.5,
                    tooltip="Decibels by which the first sound gives way while the added one is heard; 0 is off.",
                ),
                io.Combo.Input(
                    "length",
                    options=["longest", "first"],
                    tooltip="Length of the mixture: that of the longest, or of the first sound.",
                ),
            ],
            outputs=[io.Audio.Output(tooltip="The mixture, at the higher sample rate of the two.")],
        )

    @classmethod
    def execute(
        cls,
        audio: Any,
        added: Any,
        audio_gain_db: float = 0.0,
        gain_db: float = 0.0,
        pan: float = 0.0,
        start: float = 0.0,
        duck_db: float = 0.0,
        length: str = "longest",
    ) -> io.NodeOutput:
        """Item by item of the batch; a single sound goes with every item of the other."""
        first, first_rate = sounds(audio)
        second, second_rate = sounds(added)
        count = max(len(first), len(second))
        if not {len(first), len(second)} <= {1, count}:
            raise ShapeError(f"batches of {len(first)} and {len(second)} sounds cannot be mixed; use one, or as many")
        rate = max(first_rate, second_rate)
        samples = clip_samples(Fraction(first.shape[-1], first_rate), rate) if length == "first" else None
        mixed = []
        for index in range(count):
            base = sound_edit.Track(
                waveform=first[index % len(first)], sample_rate=first_rate, gain_db=audio_gain_db, duck_db=duck_db
            )
            over = sound_edit.Track(
                waveform=second[index % len(second)],
                sample_rate=second_rate,
                gain_db=gain_db,
                pan=pan,
                start_seconds=start,
                leads=True,
            )
            mixed.append(sound_edit.mix([base, over], rate, samples))
        return io.NodeOutput(as_audio(torch.stack(mixed), rate))


class NormaliseLoudness(io.ComfyNode):
    """AUDIO -> AUDIO of a given loudness."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        custom = [
            io.Float.Input("lufs", default=-14.0, min=-70.0, max=0.0, step=0.1, tooltip="Loudness in LUFS."),
            io.Float.Input(
                "true_peak_db", default=-1.0, min=-60.0, max=0.0, step=0.1, tooltip="Highest true peak in dBTP."
            ),
        ]
        options = [io.DynamicCombo.Option(name, []) for name in loudness.PRESETS]
        return io.Schema(
            node_id="MovieGenNormaliseLoudness",
            display_name="Normalise Loudness (Movie Gen)",
            category=CATEGORY,
            description="Brings a sound to a standard loudness (LUFS, BS.1770) and limits its true peak.",
            search_aliases=[*ALIASES, "normalize audio", "lufs", "volume", "limiter", "true peak", "r128"],
            inputs=[
                io.Audio.Input("audio", tooltip="The sound, mono to 7.1. Each item of a batch is measured on its own."),
                io.DynamicCombo.Input(
                    "target",
                    options=[*options, io.DynamicCombo.Option(CUSTOM, custom)],
                    tooltip="streaming -14, podcast -16, broadcast -23, broadcast US -24, cinema streaming -27 LUFS.",
                ),
            ],
            outputs=[
                io.Audio.Output(tooltip="The sound at its new loudness."),
                io.Float.Output(display_name="lufs", tooltip="Loudness reached, of the first item; silence is -70."),
                io.Float.Output(display_name="true_peak_db", tooltip="Its true peak in dBTP; silence is -200."),
            ],
        )

    @classmethod
    def execute(cls, audio: Any, target: dict[str, Any]) -> io.NodeOutput:
        """Presets by name, or the custom numbers."""
        waveform, rate = sounds(audio)
        name = target["target"]
        if name == CUSTOM:
            aim = loudness.Target(float(target["lufs"]), float(target["true_peak_db"]))
        else:
            aim = loudness.PRESETS[name]
        done = [loudness.normalise(one, rate, aim.lufs, aim.true_peak_db) for one in waveform]
        first = done[0]
        # Minus infinity is no JSON, and widgets cannot show it.
        shown = max(first.lufs, -70.0), max(first.true_peak_db, -200.0)
        return io.NodeOutput(as_audio(torch.stack([one.waveform for one in done]), rate), *shown)


class StereoFromMono(io.ComfyNode):
    """Mono AUDIO -> stereo AUDIO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenStereoFromMono",
            display_name="Stereo from Mono (Movie Gen)",
            category=CATEGORY,
            description="Gives a mono sound width; played on one loudspeaker it is the mono sound again.",
            search_aliases=[*ALIASES, "mono to stereo", "widen", "stereo width", "pseudo stereo"],
            inputs=[
                io.Audio.Input("audio", tooltip="A mono sound. Stereo stays as it is, more channels become two."),
                io.Float.Input(
                    "width",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How wide it sounds; 0 is the same sound on both sides.",
                ),
            ],
            outputs=[io.Audio.Output(tooltip="The sound in two channels.")],
        )

    @classmethod
    def execute(cls, audio: Any, width: float = 0.5) -> io.NodeOutput:
        """Item by item."""
        waveform, rate = sounds(audio)
        return io.NodeOutput(as_audio(torch.stack([sound_edit.widen(one, rate, width) for one in waveform]), rate))


def _set_in_memory(
    video: Any, waveform: Tensor | None, rate: int, mode: str, gain_db: float, original_gain_db: float
) -> Any:
    parts = video.get_components()
    audio = None
    if waveform is not None:
        tracks = [sound_edit.Track(waveform=waveform, sample_rate=rate, gain_db=gain_db)]
        if mode == "mix" and parts.audio is not None and parts.audio["waveform"].numel():
            original, original_rate = single(parts.audio)
            rate = max(rate, original_rate)
            tracks.append(sound_edit.Track(waveform=original, sample_rate=original_rate, gain_db=original_gain_db))
        samples = clip_samples(frames_seconds(len(parts.images), float(parts.frame_rate)), rate)
        audio = as_audio(sound_edit.mix(tracks, rate, samples).unsqueeze(0), rate)
    components = dataclasses.replace(parts, audio=audio)
    depth = video.get_bit_depth() if hasattr(video, "get_bit_depth") else 8
    extra = {} if depth == 8 else {"bit_depth": depth}
    return InputImpl.VideoFromComponents(components, **extra)
