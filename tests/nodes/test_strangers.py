"""What was made for another model is answered by our nodes with one sentence that says what to connect."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.errors import BackendError, MovieGenError, ShapeError


@pytest.fixture(scope="module")
def given(nodes, weights, sound_weights):
    """Loaded models of both kinds, and a prompt, by name."""

    def run(name, *inputs):
        return nodes[f"MovieGen{name}"].execute(*inputs)[0]

    clip = run("TextEncoderLoader", weights["ul2"], weights["metaclip"], weights["byt5"])
    return {
        "video model": run("ModelLoader", weights["video"]),
        "sound model": run("AudioModelLoader", sound_weights["audio"]),
        "tae": run("TAELoader", weights["tae"]),
        "codec": run("SoundVAELoader", sound_weights["audio_codec"]),
        "prompt": run("TextEncode", clip, "a red ball", 16.0),
        "other prompt": [[torch.randn(1, 77, 768), {"pooled_output": torch.randn(1, 768)}]],
        "clip": {"samples": torch.zeros(1, 16, 2, 4, 6)},
        "sound": {"samples": torch.zeros(1, 128, 9), "type": "audio"},
        "picture": {"samples": torch.randn(1, 4, 8, 8)},
        "wide clip": {"samples": torch.randn(1, 128, 2, 4, 6)},
    }


def sampler(model, prompt, latent):
    """Video Sampler with these inputs."""
    return "VideoSampler", (model, prompt, latent), {"seed": 1, "steps": 2, "cfg": 1.0}


def sound_sampler(model, prompt, latent):
    """Sound Sampler with these inputs."""
    return "SoundSampler", (model, prompt, latent), {"seed": 1, "steps": 2, "cfg": 1.0}


CASES = {
    "sound model makes video": (sampler("sound model", "prompt", "clip"), BackendError, "Load Movie Gen Model"),
    "video model makes sound": (sound_sampler("video model", "prompt", "sound"), BackendError, "Audio Model"),
    "prompt of other encoders": (sampler("video model", "other prompt", "clip"), ShapeError, "Load Text Encoders"),
    "prompt of other encoders for sound": (sound_sampler("sound model", "other prompt", "sound"), ShapeError, "Load"),
    "picture to sample": (sampler("video model", "prompt", "picture"), ShapeError, "Empty Video Latent"),
    "sound to sample": (sampler("video model", "prompt", "sound"), ShapeError, "Empty Video Latent"),
    "128 channels to sample": (sampler("video model", "prompt", "wide clip"), ShapeError, "Empty Video Latent"),
    "clip as sound": (sound_sampler("sound model", "prompt", "clip"), ShapeError, "Empty Sound Latent"),
    "picture to decode": (("TAEDecode", ("picture", "tae"), {}), ShapeError, "TAE Encode"),
    "sound to decode as clip": (("TAEDecode", ("sound", "tae"), {}), ShapeError, "TAE Encode"),
    "128 channels to decode": (("TAEDecode", ("wide clip", "tae"), {}), ShapeError, "TAE Encode"),
    "codec decodes a clip": (("TAEDecode", ("clip", "codec"), {}), BackendError, "use VAE Decode"),
    "codec encodes pictures": (("TAEEncode", ("pictures", "codec"), {}), BackendError, "use VAE Encode"),
    "sound to a film": (("DecodeToVideo", ("sound", "tae", 16.0), {}), ShapeError, "TAE Encode"),
    "codec makes a film": (("DecodeToVideo", ("clip", "codec", 16.0), {}), BackendError, "Load Temporal Autoencoder"),
    "clip to decode as sound": (("SoundDecode", ("clip", "codec"), {}), ShapeError, "Empty Sound Latent"),
    "autoencoder decodes a sound": (("SoundDecode", ("sound", "tae"), {}), BackendError, "Load DAC-VAE"),
    "long form of a video model": (("LongSound", ("video model",), {}), BackendError, "Audio Model"),
}


@pytest.mark.parametrize("case", CASES)
def test_stranger_is_answered_in_one_sentence(case, nodes, given):
    (name, inputs, options), kind, words = CASES[case]
    known = {**given, "pictures": torch.rand(8, 32, 32, 3)}
    values = [known[one] if isinstance(one, str) else one for one in inputs]
    with pytest.raises(kind, match=words) as caught:
        nodes[f"MovieGen{name}"].execute(*values, **options)
    assert isinstance(caught.value, MovieGenError)
    assert len(str(caught.value).splitlines()) == 1
