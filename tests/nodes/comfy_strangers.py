"""Runs inside a real ComfyUI (its folder is the working directory): our models and those of others, wrongly connected.

usage: comfy_strangers.py PACK WEIGHTS; the last line printed is {what was connected: what was said}, where "works"
means that nothing had to be said.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Python put this script's folder first; ComfyUI's own modules must be found there instead.
sys.path[0] = os.getcwd()
sys.path.append(str(Path(__file__).parent))

import comfy_kit  # noqa: E402 - before anything of ComfyUI
from comfy_kit import SCALE, SEED, WEIGHTS, Kit, call, core  # noqa: E402

# isort: split
import comfy.model_patcher  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import torch  # noqa: E402
from comfy.taesd.taesd import TAESD  # noqa: E402
from comfy_extras import nodes_audio as audio  # noqa: E402
from comfy_extras import nodes_flux as flux  # noqa: E402
from comfy_extras import nodes_model_advanced as advanced  # noqa: E402

PICTURE_MODEL = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1, "use_linear_in_transformer": False, "context_dim": 768, "num_heads": 2,
    "num_head_channels": -1, "adm_in_channels": None, "use_temporal_attention": False, "legacy": False,
    "use_spatial_transformer": True,
}  # fmt: skip
FLOW_MODEL = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 48, "n_layers": 1, "n_refiner_layers": 1,
    "n_heads": 2, "n_kv_heads": 2, "axes_dims": [8, 8, 8], "axes_lens": [64, 64, 64], "cap_feat_dim": 24,
    "multiple_of": 16, "ffn_dim_multiplier": 1.0, "norm_eps": 1e-5, "qk_norm": True, "rope_theta": 10000.0,
}  # fmt: skip

POOLED_MODEL = {
    "image_model": "hunyuan_video", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 24,
    "hidden_size": 48, "mlp_ratio": 2.0, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "axes_dim": [8, 8, 8],
    "theta": 256, "patch_size": [1, 2, 2], "qkv_bias": True, "guidance_embed": False, "byt5": False, "meanflow": False,
    "use_cond_type_embedding": False, "vision_in_dim": None, "meanflow_sum": False,
}  # fmt: skip


def stranger(config):
    """A model of core's own families, with small random weights."""
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=torch.device("cpu"))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    place = torch.device("cpu")
    return comfy.model_patcher.CoreModelPatcher(model.eval(), load_device=place, offload_device=place)


class Cases(Kit):
    """One wrong connection per method."""

    def __init__(self) -> None:
        super().__init__()
        self.sound_model = self.host.load_audio_model(WEIGHTS / "audio.safetensors", "auto")
        self.codec = self.host.load_sound_vae(WEIGHTS / "audio_codec.safetensors", "auto")
        self.picture_model = stranger(comfy.supported_models.SD15(PICTURE_MODEL))
        self.pooled_model = stranger(comfy.supported_models.HunyuanVideo(POOLED_MODEL))
        self.flow_model = stranger(comfy.supported_models.Lumina2(FLOW_MODEL))
        tiny = {f"taesd_{key}": value for key, value in TAESD().state_dict().items() if key.startswith("decoder.")}
        tiny |= {f"taesd_{key}": value for key, value in TAESD().state_dict().items() if key.startswith("encoder.")}
        self.picture_vae = comfy.sd.VAE(sd=tiny)
        self.other_prompt = [[torch.randn(1, 77, 768), {"pooled_output": torch.randn(1, 768)}]]
        self.lumina_prompt = [[torch.randn(1, 9, 24), {"num_tokens": 9}]]
        self.clip_latent = {"samples": torch.randn(1, 16, 2, 4, 6)}
        self.picture = {"samples": torch.randn(1, 4, 8, 8)}
        self.sound = {"samples": torch.randn(1, 128, 9), "type": "audio"}

    def ksampler(self, model, prompt, latent, denoise=1.0):
        return core.KSampler().sample(
            model, SEED, 2, SCALE, "euler", "simple", prompt, prompt, latent, denoise=denoise
        )[0]["samples"]

    def prompt_of_others_in_ksampler(self):
        return self.ksampler(self.model, self.other_prompt, self.latent)

    def picture_latent_in_ksampler(self):
        return self.ksampler(self.model, self.positive, self.picture, 0.5)

    def sound_latent_in_ksampler(self):
        return self.ksampler(self.model, self.positive, self.sound, 0.5)

    def clip_latent_for_the_sound_model(self):
        return self.ksampler(self.sound_model, self.positive, self.clip_latent, 0.5)

    def empty_picture_latent_in_ksampler(self):
        return self.ksampler(self.model, self.positive, {"samples": torch.zeros(1, 4, 8, 8)})

    def picture_model_in_our_sampler(self):
        return self.sampled(self.picture_model, positive=self.other_prompt, latent=self.picture)

    def our_model_with_eps_sampling_in_our_sampler(self):
        patched = advanced.ModelSamplingDiscrete().patch(self.model, "eps", False)[0]
        return self.sampled(patched)

    def sound_model_in_our_sampler(self):
        return self.sampled(self.sound_model)

    def flow_model_in_our_sampler(self):
        latent = {"samples": torch.zeros(1, 16, 8, 8)}
        return self.sampled(self.flow_model, positive=self.lumina_prompt, negative=self.lumina_prompt, latent=latent)

    def model_of_pooled_text_without_a_negative_in_our_sampler(self):
        """As with the positive that core has zeroed."""
        prompt = [[torch.randn(1, 9, 24), {"pooled_output": torch.randn(1, 24), "guidance": 3.0}]]
        given = {"positive": prompt, "latent": {"samples": torch.zeros(1, 16, 2, 8, 8)}}
        wanted = self.sampled(self.pooled_model, negative=core.ConditioningZeroOut().zero_out(prompt)[0], **given)
        assert torch.equal(self.sampled(self.pooled_model, **given), wanted)

    def picture_model_in_the_sound_sampler(self):
        return self.ours("MovieGenSoundSampler", self.picture_model, self.other_prompt, self.sound, SEED, 2, SCALE)

    def our_sound_model_with_v_sampling_in_the_sound_sampler(self):
        patched = advanced.ModelSamplingContinuousEDM().patch(self.sound_model, "v_prediction", 120.0, 0.002)[0]
        return self.ours("MovieGenSoundSampler", patched, self.positive, self.sound, SEED, 2, SCALE)

    def candidates_of_another_sound_model_in_the_sound_sampler(self):
        other = self.flow_model.clone()
        other.add_object_patch("latent_format", self.sound_model.get_model_object("latent_format"))
        eyes = {part: WEIGHTS / f"{part}.safetensors" for part in ("metaclip_vision", "sound_match")}
        return self.ours(
            "MovieGenSoundSampler", other, self.lumina_prompt, self.sound, SEED, 2, SCALE, 2,
            frame_encoders=self.host.load_frame_encoders(eyes), vae=self.codec,
        )  # fmt: skip

    def picture_latent_in_vae_decode(self):
        return core.VAEDecode().decode(self.vae, self.picture)[0]

    def sound_latent_in_vae_decode(self):
        return core.VAEDecode().decode(self.vae, self.sound)[0]

    def picture_latent_in_vae_decode_tiled(self):
        return core.VAEDecodeTiled().decode(self.vae, self.picture, 64, 32, 32, 8)[0]

    def clip_latent_in_vae_decode_audio(self):
        return call(audio.VAEDecodeAudio, self.codec, self.clip_latent)

    def picture_vae_in_tae_decode(self):
        return self.ours("MovieGenTAEDecode", self.clip_latent, self.picture_vae)

    def picture_vae_in_tae_encode(self):
        return self.ours("MovieGenTAEEncode", torch.rand(8, 32, 32, 3), self.picture_vae)

    def picture_latent_in_tae_decode(self):
        return self.ours("MovieGenTAEDecode", self.picture, self.vae)

    def picture_latent_in_decode_to_video(self):
        return self.ours("MovieGenDecodeToVideo", self.picture, self.vae, 16.0)

    def clip_latent_in_decode_to_video_with_a_picture_vae(self):
        return self.ours("MovieGenDecodeToVideo", self.clip_latent, self.picture_vae, 16.0)

    def our_clip_in_a_node_of_flux(self):
        return call(flux.CLIPTextEncodeFlux, self.clip, "a ball", "a ball", 3.5)

    def sound_text_for_the_video_model(self):
        """ul2's tokens alone: the model reads what there is."""
        return self.sampled(positive=self.host.encode_caption(self.clip, "rain"), steps=2)


if __name__ == "__main__":
    with torch.inference_mode():
        cases = Cases()
        said = {}
        for name in (name for name in vars(Cases) if name.count("_") > 1 and not name.startswith("_")):
            try:
                getattr(cases, name)()
                said[name] = "works"
            except Exception as error:
                said[name] = f"{type(error).__name__}: {error}"
        comfy_kit.answer(said)
