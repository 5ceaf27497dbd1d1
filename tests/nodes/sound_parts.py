"""The loaded networks of sound, and each node as a function."""

from __future__ import annotations

import torch

from moviegen_host.session import Session, active

STEPS = 3


class Parts:
    """The loaded networks, and each node as a function."""

    def __init__(self, nodes, weights, sound_weights):
        self.nodes = nodes
        roles = (weights[role] for role in ("ul2", "metaclip", "byt5"))
        self.clip = self.run("TextEncoderLoader", *roles)[0]
        self.model = self.run("AudioModelLoader", sound_weights["audio"])[0]
        self.vae = self.run("SoundVAELoader", sound_weights["audio_codec"])[0]
        self.eyes = self.run("FrameEncodersLoader", sound_weights["metaclip_vision"], sound_weights["sound_match"])[0]

    def run(self, name, *given, **named):
        return self.nodes[f"MovieGen{name}"].execute(*given, **named).args

    def asked(self, **named):
        return self.run("VideoToSound", self.clip, self.eyes, **named)

    def sampled(self, positive, latent, model=None, seed=5, **named):
        named = {"temperature": 1.0, "picture_cfg": 0.0, **named}
        return self.run("SoundSampler", model or self.model, positive, latent, seed, STEPS, 3.0, **named)[0]

    def decoded(self, latent, channels="mono"):
        return self.run("SoundDecode", latent, self.vae, channels)[0]["waveform"]

    @staticmethod
    def noise(seconds, rate=48000, channels=1, seed=0):
        samples = round(seconds * rate)
        made = 0.3 * torch.randn(1, channels, samples, generator=torch.Generator().manual_seed(seed))
        return {"waveform": made.clamp(-0.9, 0.9), "sample_rate": rate}

    @staticmethod
    def pictures(count, size=8):
        return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(1))

    @staticmethod
    def steps_of(work):
        """Steps that a run of the sampler announces."""
        seen = []
        with active(Session(on_progress=seen.append)):
            work()
        assert [one.value for one in seen] == list(range(1, len(seen) + 1))
        assert {one.maximum for one in seen} == {len(seen)}
        assert all(one.preview.size == (512, 128) for one in seen)
        return len(seen)
