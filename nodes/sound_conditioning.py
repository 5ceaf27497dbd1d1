"""What a sound is made from: a video, words, and sound that exists already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from torch import Tensor

from moviegen_core.conditioning.sound import watch
from moviegen_core.errors import ConfigError
from moviegen_core.media.pictures import timed_windows
from moviegen_core.media.timeline import clip_samples, timeline
from moviegen_core.pipelines.known_sound import known_sound
from moviegen_core.pipelines.sound import CONTEXT_SECONDS
from moviegen_core.pipelines.sound_request import LONGEST_SECONDS, check_samples, request_caption
from moviegen_core.pipelines.watching import WATCH_FRAMES
from moviegen_core.shapes import MAX_FPS, SOUND_LATENT_CHANNELS, SOUND_SAMPLE_RATE, sound_latent_frames

from . import convert
from .runtime import host
from .runtime.media import clip_seconds, single, trim, whole_file
from .sockets import FrameEncoders, io
from .sound_convert import FRAMES, pack_frames
from .sound_latent import empty_sound, length_of, with_known
from .sound_tools import ALIASES, CATEGORY
from .sound_windows import check_sound_latent

CONTEXT = {"default": CONTEXT_SECONDS, "min": 0.0, "max": 60.0, "step": 0.1}


class VideoToSound(io.ComfyNode):
    """VIDEO, or IMAGE and fps, and words -> conditions and the LATENT of a sound exactly as long."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenVideoToSound",
            display_name="Video to Sound (Movie Gen)",
            category=CATEGORY,
            description="Sets what is heard, from a video, words or both. The sound gets the video's exact length.",
            search_aliases=[*ALIASES, "video to audio", "foley", "v2a", "text to audio", "soundtrack", "sound effects"],
            inputs=[
                io.Clip.Input("clip", tooltip="Text encoders from Load Text Encoders (Movie Gen); UL2 is read."),
                FrameEncoders.Input(
                    "frame_encoders",
                    optional=True,
                    tooltip="From Load Frame Encoders (Movie Gen). Needed to make sound for a video.",
                ),
                io.Video.Input("video", optional=True, tooltip="The video that gets a sound, at any frame rate."),
                io.Image.Input("images", optional=True, tooltip="Or its frames."),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=0.001,
                    max=MAX_FPS,
                    step=0.001,
                    tooltip="Frames a second of the images; 23.976 and 29.97 mean 24000/1001 and 30000/1001.",
                ),
                io.Float.Input(
                    "seconds",
                    default=8.0,
                    min=0.01,
                    max=LONGEST_SECONDS,
                    step=0.1,
                    tooltip="Length, when neither video nor images are connected.",
                ),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    tooltip="What is heard, in plain English. Empty: the pictures alone decide.",
                ),
                io.String.Input(
                    "music", multiline=True, default="", tooltip="The music wanted, such as calm piano. Empty: none."
                ),
                io.Float.Input(
                    "quality", default=7.0, min=1.0, max=10.0, step=0.5, tooltip="Quality asked for. Paper: 7, music 8."
                ),
                io.Float.Input(
                    "music_likelihood",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How likely music is. At 0, describing music means 0.95.",
                ),
                io.String.Input(
                    "negative_text",
                    default="",
                    advanced=True,
                    tooltip="What should not be heard. Empty: guidance leads away from the null condition.",
                ),
                io.Audio.Input(
                    "context_audio",
                    optional=True,
                    tooltip="Sound with which it begins; the rest goes on from it. Needs vae.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="Codec from Load DAC-VAE (Movie Gen), for context_audio."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="What the sound is made from."),
                io.Conditioning.Output(display_name="negative", tooltip="What guidance leads away from."),
                io.Latent.Output(
                    display_name="latent", tooltip="A latent of the clip's length, empty but for context_audio."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, clip: Any, frame_encoders: Any = None, video: Any = None, images: Any = None, fps: float = 16.0,
        seconds: float = 8.0, text: str = "", music: str = "", quality: float = 7.0, music_likelihood: float = 0.0,
        negative_text: str = "", context_audio: Any = None, vae: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        """The length comes from the video, else the images, else the seconds."""
        if video is not None and images is not None:
            raise ConfigError("a video and images are connected, and only one can be watched; disconnect the other")
        samples = check_samples(clip_samples(clip_seconds(video, images, fps, seconds), SOUND_SAMPLE_RATE))
        seen: dict[str, Any] = {}
        if video is not None or images is not None:
            if frame_encoders is None:
                raise ConfigError(
                    "a video was given without frame encoders, so no sound can be made for it; connect Load Frame "
                    "Encoders (Movie Gen), or take its length alone with Empty Sound Latent (Movie Gen)"
                )
            seen[FRAMES] = pack_frames(_watch(frame_encoders, video, images, fps, sound_latent_frames(samples)))
        said = bool(text.strip() or music.strip())
        caption = request_caption(
            text,
            music,
            quality=quality if said or music_likelihood else None,
            music_likelihood=music_likelihood or None,
        )
        positive = [[tensor, {**values, **seen}] for tensor, values in host.encode_caption(clip, caption)]
        against = request_caption(negative_text, quality=quality) if negative_text.strip() else ""
        latent = empty_sound(samples)
        if context_audio is not None:
            if vae is None:
                raise ConfigError("context_audio has to be encoded; connect Load DAC-VAE (Movie Gen) as vae")
            latent = with_known(latent, vae, known_sound(*_start_of(*single(context_audio), samples)))
        return io.NodeOutput(positive, host.encode_caption(clip, against), latent)


class ExtendSound(io.ComfyNode):
    """AUDIO -> LATENT in which it goes on, or is led up to."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenExtendSound",
            display_name="Extend Sound (Movie Gen)",
            category=CATEGORY,
            description="Continues a sound after its end or before its beginning. The original is kept, except for "
            "up to 50 ms at the join.",
            search_aliases=[*ALIASES, "continue audio", "audio outpainting", "extend audio", "longer sound", "context"],
            inputs=[
                io.Audio.Input("audio", tooltip="The sound that exists, mono or stereo, at any sample rate."),
                io.Vae.Input("vae", tooltip="Codec from Load DAC-VAE (Movie Gen)."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="From Video to Sound, for a sound as long as its video. Unconnected: seconds are added.",
                ),
                io.Float.Input(
                    "seconds",
                    default=8.0,
                    min=0.01,
                    max=LONGEST_SECONDS,
                    step=0.1,
                    tooltip="Seconds that are added, when no latent is connected.",
                ),
                io.Combo.Input(
                    "direction",
                    options=["forwards", "backwards"],
                    tooltip="Forwards: it stands at the start and goes on. Backwards: it stands at the end.",
                ),
                io.Float.Input(
                    "context_seconds", **CONTEXT, tooltip="How much of it Sound Sampler lets the model hear. Paper: 5."
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For a sampler; then Sound Decode (Movie Gen).")],
        )

    @classmethod
    def execute(
        cls, audio: Any, vae: Any, latent: dict[str, Any] | None = None, seconds: float = 8.0,
        direction: str = "forwards", context_seconds: float = CONTEXT["default"],
    ) -> io.NodeOutput:  # fmt: skip
        """Known at one end, to be made at the other."""
        waveform, rate = single(audio)
        own = clip_samples(Fraction(waveform.shape[1], rate), SOUND_SAMPLE_RATE)
        if latent is None:
            latent = empty_sound(check_samples(own + clip_samples(seconds, SOUND_SAMPLE_RATE)))
        check_sound_latent(latent, SOUND_LATENT_CHANNELS)
        whole = length_of(latent)
        if own >= whole:
            raise ConfigError(
                f"the sound lasts {own / SOUND_SAMPLE_RATE:g} s, the whole it should be part of "
                f"{whole / SOUND_SAMPLE_RATE:g} s: nothing is left to be made; cut it with Fit Audio, or ask for more"
            )
        start = 0.0 if direction == "forwards" else (whole - own) / SOUND_SAMPLE_RATE
        return io.NodeOutput(with_known(latent, vae, known_sound(waveform, rate, start), context_seconds))


class FillSound(io.ComfyNode):
    """AUDIO and a gap in it -> LATENT in which the gap is to be made."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        moment = {"min": 0.0, "max": 86400.0, "step": 0.01}
        return io.Schema(
            node_id="MovieGenFillSound",
            display_name="Fill Sound (Movie Gen)",
            category=CATEGORY,
            description="Remakes a part of a sound to match what comes before and after it.",
            search_aliases=[*ALIASES, "audio inpainting", "repair audio", "replace part", "gap", "audio mask"],
            inputs=[
                io.Audio.Input("audio", tooltip="The sound, mono or stereo, at any sample rate."),
                io.Vae.Input("vae", tooltip="Codec from Load DAC-VAE (Movie Gen)."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="From Video to Sound, if the gap should fit a video. The sound gets its length.",
                ),
                io.Float.Input("start", default=1.0, **moment, tooltip="Second at which the gap begins."),
                io.Float.Input("end", default=2.0, **moment, tooltip="Second at which it ends."),
                io.Float.Input(
                    "context_seconds",
                    **CONTEXT,
                    tooltip="Seconds beside the gap that Sound Sampler lets the model hear.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For a sampler; then Sound Decode (Movie Gen).")],
        )

    @classmethod
    def execute(
        cls, audio: Any, vae: Any, latent: dict[str, Any] | None = None, start: float = 1.0, end: float = 2.0,
        context_seconds: float = CONTEXT["default"],
    ) -> io.NodeOutput:  # fmt: skip
        """Known on both sides of the gap."""
        waveform, rate = single(audio)
        if latent is None:
            latent = empty_sound(check_samples(clip_samples(Fraction(waveform.shape[1], rate), SOUND_SAMPLE_RATE)))
        check_sound_latent(latent, SOUND_LATENT_CHANNELS)
        known = known_sound(*_start_of(waveform, rate, length_of(latent)), gaps=[(start, end)])
        return io.NodeOutput(with_known(latent, vae, known, context_seconds, gap=(start, end)))


def _start_of(waveform: Tensor, rate: int, num_samples: int) -> tuple[Tensor, int]:
    """What a sound [C, S] has in common with one of `num_samples` at 48 kHz that begins with it, and its rate.

    Nothing more is resampled or encoded, so that the sound of an evening needs no more memory than the clip's.
    """
    return waveform[:, : -(-num_samples * rate // SOUND_SAMPLE_RATE)], rate


def _watch(eyes: Any, video: Any, images: Any, fps: float, num_latents: int) -> Tensor:
    """Features [L, F] of a VIDEO, or of IMAGE frames at `fps`, held in windows of few frames."""
    encoders = host.frame_encoders(eyes)
    source = None if video is None else whole_file(video, trimmed=True)
    if source is not None:
        film = timeline(source)
        start, seconds = trim(video)
        windows: Any = timed_windows(source, film=film, shorter_side=2 * encoders.image_size)
        progress, rate = host.Progress(film.num_frames), None
        if start or seconds:
            windows = _part(windows, start, seconds or float(film.seconds), progress)
            progress = None  # what is skipped counts too
    else:
        if video is not None:
            parts = video.get_components()
            images, fps = parts.images, parts.frame_rate
        windows, rate = (convert.pixels(part) for part in images.split(WATCH_FRAMES)), fps
        progress = host.Progress(max(1, len(images)))
    return watch(encoders, windows, fps=rate, on_frames=progress).features(num_latents)


def _part(
    windows: Iterator[tuple[Tensor, list[float]]], start: float, seconds: float, on_frames: Callable[[int], Any]
) -> Iterator[tuple[Tensor, list[float]]]:
    """The frames shown from `start` on for `seconds`, on the part's own clock; `on_frames` counts skipped ones too."""
    done = 0
    for pixels, moments in windows:
        if moments[0] >= start + seconds:
            return
        inside = [index for index, moment in enumerate(moments) if start <= moment < start + seconds]
        if inside:
            yield pixels[:, inside], [moments[index] - start for index in inside]
        done += len(moments)
        on_frames(done)
