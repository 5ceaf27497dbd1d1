"""Runs inside a real ComfyUI (its folder is the working directory): measures our natives under stock nodes.

usage: comfy_natives.py PACK WEIGHTS; the last line printed is a JSON object of measured values.
"""

from __future__ import annotations

import copy
import gc
import inspect
import logging
import os
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

# Python put this script's folder first; ComfyUI's own modules must be found there instead.
sys.path[0] = os.getcwd()
sys.path.append(str(Path(__file__).parent))

import comfy_kit  # noqa: E402 - before anything of ComfyUI
from comfy_kit import SCALE, SEED, STEPS, WEIGHTS, Kit, call, core, custom, gap, held_context, late_layers, pressed  # noqa: E402  # noqa: E402

# isort: split
import comfy.latent_formats  # noqa: E402
import comfy.model_base  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.sampler_helpers  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import latent_preview  # noqa: E402
import torch  # noqa: E402
from app.node_replace_manager import NodeReplaceManager  # noqa: E402
from comfy.cli_args import args  # noqa: E402
from comfy_api.latest import io  # noqa: E402


class Checks(Kit):
    """Measures one thing per method; every method's name is a key of the result."""

    def scale(self):
        return float(self.expected.std())

    def types(self):
        kinds = (comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE)
        return [isinstance(one, kind) for one, kind in zip((self.model, self.clip, self.vae), kinds, strict=True)]

    def video_sampler(self):
        return gap(self.sampled(), self.expected)

    def video_sampler_without_guidance(self):
        return gap(self.sampled(cfg=1.0), self.sampled(cfg=1.0, negative=self.negative))

    def video_sampler_with_less_noise(self):
        return gap(self.sampled(temperature=0.5), self.pipeline(temperature=0.5))

    def video_sampler_from_a_clip(self):
        held = torch.randn(self.latent["samples"].shape, generator=torch.Generator().manual_seed(5))
        start = float(1.0 - self.ours("MovieGenLinearQuadraticSigmas", STEPS, 1000, "slope_continuous", 0.5)[0])
        made = self.sampled(latent={"samples": held}, denoise=0.5)
        return gap(made, self.pipeline(steps=2 * STEPS, source=held, source_time=start))

    def midpoint_moves_the_result(self):
        return gap(self.sampled(solver="midpoint"), self.expected)

    def sampler_custom_advanced(self):
        return gap(self.advanced(), self.expected)

    def ksampler(self):
        """KSampler's own linear_quadratic is ours with N = 20 steps."""
        mine = self.ours("MovieGenLinearQuadraticSigmas", STEPS, 20 * STEPS)
        theirs = core.KSampler().sample(
            self.model, SEED, STEPS, SCALE, "euler", "linear_quadratic", self.positive, self.negative, self.latent
        )[0]
        return gap(theirs["samples"], self.advanced(sigmas=mine))

    def basic_scheduler(self):
        mine = self.ours("MovieGenLinearQuadraticSigmas", STEPS, 20 * STEPS)
        return gap(call(custom.BasicScheduler, self.model, "linear_quadratic", STEPS, 1.0), mine)

    def other_samplers_are_finite(self):
        found = (self.advanced(sampler=name) for name in ("dpmpp_2m", "uni_pc", "heun"))
        return all(bool(samples.isfinite().all()) for samples in found)

    def text_encode(self):
        mine = self.ours("MovieGenTextEncode", self.clip, 'a red ball bounces "HI"', 16.0)
        return gap(mine[0][0], self.positive[0][0])

    def text_precision(self):
        """What encoders compute in, by ComfyUI's flag, on a device with bf16 and one without, and if it is finite."""
        manage, found = comfy.model_management, {}
        asked = manage.should_use_bf16
        for flag in ("fp16_text_enc", "bf16_text_enc", "fp8_e4m3fn_text_enc"):
            for able in (True, False):
                setattr(args, flag, True)
                manage.should_use_bf16 = lambda *given, able=able, **named: able
                try:
                    clip = self.host.load_clip({"ul2": WEIGHTS / "ul2.safetensors"})
                finally:
                    manage.should_use_bf16 = asked
                    setattr(args, flag, False)
                context = core.CLIPTextEncode().encode(clip, "a red ball bounces")[0][0][0]
                dtype = next(clip.cond_stage_model.parameters()).dtype
                found.setdefault(flag, []).append([str(dtype), bool(context.isfinite().all())])
        return found

    def text_loaded_in_part(self):
        """Devices of what is streamed, and of all else, when ComfyUI has loaded nothing and says where to work."""
        clip = self.host.load_clip({"metaclip": WEIGHTS / "metaclip.safetensors", "ul2": WEIGHTS / "ul2.safetensors"})
        module = clip.cond_stage_model
        module.set_clip_options({"execution_device": torch.device("meta")})
        streamed, rest = set(), {one.device.type for one in module.buffers()}
        for part in module.modules():
            places = {one.device.type for one in part.parameters(recurse=False)}
            (streamed if hasattr(part, "comfy_cast_weights") else rest).update(places)
        return [sorted(streamed), sorted(rest)]

    def left_out_encoders_told(self):
        """Lines of the log once the encoder of sounds is loaded, has read a caption, and has read a prompt."""
        log, lines, counts = logging.getLogger("moviegen_core.conditioning.text"), [], []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        log.addHandler(handler)
        log.setLevel(logging.WARNING)
        clip = self.host.load_clip({"ul2": WEIGHTS / "ul2.safetensors"})
        counts.append(len(lines))
        self.host.encode_caption(clip, "rain")
        counts.append(len(lines))
        core.CLIPTextEncode().encode(clip, "a red ball")
        counts.append(len(lines))
        log.removeHandler(handler)
        return counts

    def zero_out_is_null(self):
        zeroed = core.ConditioningZeroOut().zero_out(self.positive)[0]
        return gap(self.advanced(negative=zeroed), self.expected)

    def concatenated_conditioning(self):
        """ConditioningConcat adds tokens: the same as asking the network with both."""
        other = core.CLIPTextEncode().encode(self.clip, "a blue cube")[0]
        both = core.ConditioningConcat().concat(self.positive, other)[0]
        return gap(self.sampled(positive=both), self.pipeline(conditioning=both[0][0]))

    def conditions_apart(self):
        """Rows asked at once, plain and where a patch looks in, and how far apart the results are."""
        network, looked = self.model.model.diffusion_model, self.model.clone()
        looked.set_model_patch(lambda given: given, "double_block")
        rows, found, read = [], [], network.read_context

        def watched(context, x):
            rows[-1].add(len(x))
            return read(context, x)

        network.read_context = watched
        try:
            for model in (self.model, looked):
                rows.append(set())
                found.append(self.advanced(model))
        finally:
            del network.read_context
        return [[sorted(one) for one in rows], gap(*found)]

    def page_faults(self):
        """Of 128 MB in tensors, once the heap has grown to hold them; Linux only."""
        if not sys.platform.startswith("linux"):
            return None
        import resource

        rounds = []
        for _ in range(8):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            [torch.ones(2**23) for _ in range(4)]
            rounds.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        return min(rounds[1:])

    def averaged_conditioning_is_finite(self):
        other = core.CLIPTextEncode().encode(self.clip, "a blue cube")[0]
        mixed = core.ConditioningAverage().addWeighted(self.positive, other, 0.5)[0]
        return bool(self.sampled(positive=mixed).isfinite().all())

    def vae_decode(self):
        mine = self.ours("MovieGenTAEDecode", {"samples": self.expected}, self.vae)
        return gap(core.VAEDecode().decode(self.vae, {"samples": self.expected})[0], mine)

    def vae_decode_shape(self):
        return list(core.VAEDecode().decode(self.vae, {"samples": self.expected})[0].shape)

    def vae_decode_tiled_shape(self):
        samples = {"samples": torch.randn(1, 16, 9, 12, 16)}
        return list(core.VAEDecodeTiled().decode(self.vae, samples, 64, 32, 32, 8)[0].shape)

    def vae_encode(self):
        images = torch.rand(20, 32, 48, 3)
        mine = self.ours("MovieGenTAEEncode", images, self.vae)["samples"]
        return gap(core.VAEEncode().encode(self.vae, images)[0]["samples"], mine)

    def vae_encode_shape(self):
        return list(core.VAEEncode().encode(self.vae, torch.rand(20, 32, 48, 3))[0]["samples"].shape)

    def vae_encode_tiled(self):
        """Shape in tiles, and how far on average from the whole, in tiles that hold the clip and in smaller ones."""
        images = torch.rand(48, 96, 128, 3)
        whole = core.VAEEncode().encode(self.vae, images)[0]["samples"]

        def tiled(tile, overlap, frames, shared):
            return core.VAEEncodeTiled().encode(self.vae, images, tile, overlap, frames, shared)[0]["samples"]

        found = {"one": tiled(128, 32, 64, 8), "in space": tiled(64, 32, 64, 8), "in time": tiled(128, 32, 32, 8)}
        found["moved"] = whole.roll((1, 1), (3, 4))
        apart = {name: float((one - whole).abs().mean() / whole.std()) for name, one in found.items()}
        return [list(tiled(64, 32, 32, 8).shape), apart]

    def odd_sizes(self):
        return list(self.advanced(latent={"samples": torch.zeros(1, 16, 2, 3, 5)}).shape)

    def empty_latent_of_coarser_latents(self):
        """Shapes that our sampler and core's make of an empty latent of a model with 16 x 16 pixels a latent."""
        empty = {"samples": torch.zeros(1, 48, 3, 2, 3), "downscale_ratio_spacial": 16}
        stock = core.KSampler().sample(
            self.model, SEED, 1, 1.0, "euler", "simple", self.positive, self.negative, empty
        )[0]["samples"]
        return [list(self.sampled(latent=empty, steps=1, cfg=1.0).shape), list(stock.shape)]

    def memory_for_a_batch_in_wide_windows(self):
        """How many times the memory of one clip in our own windows is asked for."""
        shape = (4, 16, 32, 4, 4)
        asked = self.vae.memory_of_windows(self.vae.memory_used_decode, shape, 256, 256)
        return asked / self.vae.memory_used_decode(shape, self.vae.vae_dtype)

    def our_empty_latent_for_another_model(self):
        """Size of ours as core fits it to latents of 16 x 16 pixels and 4 frames."""
        model = self.model.clone()
        coarse = SimpleNamespace(
            latent_channels=48, latent_dimensions=3, spacial_downscale_ratio=16, temporal_downscale_ratio=4
        )
        model.add_object_patch("latent_format", coarse)
        known = inspect.signature(comfy.sample.fix_empty_latent_channels).parameters
        ratios = {name: self.latent[name] for name in self.convert.EMPTY_RATIOS if name in known}
        empty = comfy.sample.fix_empty_latent_channels(model, self.latent["samples"], **ratios)
        return [list(ratios), list(empty.shape)]

    def empty_latent_of_a_picture_model(self):
        return list(self.advanced(latent={"samples": torch.zeros(2, 4, 4, 6)}).shape)

    def context_of_another_family(self):
        try:
            self.sampled(positive=[[torch.randn(1, 77, 768), {}]])
        except Exception as error:
            return str(error)
        return "accepted"

    def previews(self):
        """Pictures that our sampler draws: of our MODEL, in the colours of another, with none known."""
        other, blank = self.model.clone(), self.model.clone()
        other.model, blank.model = SimpleNamespace(), SimpleNamespace()
        red = SimpleNamespace(
            latent_rgb_factors=[[1.0, -1.0, -1.0]] * 16, latent_rgb_factors_bias=None, latent_rgb_factors_reshape=None
        )
        other.add_object_patch("latent_format", red)
        blank.add_object_patch("latent_format", comfy.latent_formats.LatentFormat())
        estimate = torch.ones(1, 16, 2, 4, 6)
        ours, red, unknown = (self.host.previewer(one)(estimate) for one in (self.model, other, blank))
        return [list(ours.size), list(red.getpixel((0, 0))), unknown]

    def stock_preview(self):
        """Size of the picture that core's own samplers show."""
        args.preview_method = latent_preview.LatentPreviewMethod.Latent2RGB
        previewer = latent_preview.get_previewer(torch.device("cpu"), self.model.model.latent_format)
        return list(previewer.decode_latent_to_preview(torch.randn(2, 16, 8, 4, 6)).size)

    def decode_to_video(self):
        """Frames written with our autoencoder, with one whose first latent frame is a picture, and with a picture's."""
        decode = self.nodes["MovieGenDecodeToVideo"].execute

        def causal_frames(count):
            return 4 * count - 3

        causal = SimpleNamespace(
            latent_dim=3,
            upscale_ratio=(causal_frames, 8, 8),
            decode=lambda part: torch.rand(1, causal_frames(part.shape[2]), 16, 24, 3),
        )
        picture = SimpleNamespace(latent_dim=2, upscale_ratio=8, decode=lambda part: torch.rand(1, 16, 24, 3))
        videos = {
            "ours": decode({"samples": torch.randn(1, 16, 7, 2, 3)}, self.vae, 16.0),
            "causal": decode({"samples": torch.randn(1, 16, 9, 2, 3)}, causal, 16.0),
            "picture": decode({"samples": torch.randn(3, 4, 2, 3)}, picture, 16.0),
        }
        return {name: video.args[0].get_frame_count() for name, video in videos.items()}

    def decode_to_video_gap(self):
        """Difference in brightness to VAE Decode, frame by frame."""
        samples = {"samples": 0.3 * torch.randn(1, 16, 3, 4, 6)}
        images = core.VAEDecode().decode(self.vae, samples)[0]
        video = self.nodes["MovieGenDecodeToVideo"].execute(samples, self.vae, 16.0, crf=1.0).args[0]
        return gap(video.get_components().images.mean((1, 2, 3)), images.mean((1, 2, 3)))

    def node_replacement(self):
        """What ComfyUI makes of a prompt that names a node by an old id."""
        rule = {
            "new_node_id": "MovieGenPlanFrames",
            "old_node_id": "MovieGenOldPlan",
            "input_mapping": [{"new_id": "seconds", "old_id": "duration"}, {"new_id": "family", "set_value": "wan"}],
        }
        manager = NodeReplaceManager()
        manager.register(io.NodeReplace(**rule))
        prompt = {"1": {"class_type": "MovieGenOldPlan", "inputs": {"duration": 2.0}, "_meta": {}}}
        core.NODE_CLASS_MAPPINGS["MovieGenPlanFrames"] = self.nodes["MovieGenPlanFrames"]
        manager.apply_replacements(prompt)
        return [prompt["1"]["class_type"], prompt["1"]["inputs"]]

    def outlives_its_last_user(self):
        """Which of our modules wait for a full garbage collection when nobody holds them any more."""
        roles = ("ul2", "metaclip", "byt5")
        holders = {
            "text encoders": (
                self.host.load_clip({role: WEIGHTS / f"{role}.safetensors" for role in roles}),
                "cond_stage_model",
            ),
            "transformer": (self.host.load_model(WEIGHTS / "video.safetensors", "auto"), "model"),
            "autoencoder": (self.host.load_vae(WEIGHTS / "tae.safetensors", "auto"), "first_stage_model"),
        }
        core.CLIPTextEncode().encode(holders["text encoders"][0], "a red ball bounces")
        modules = {name: weakref.ref(getattr(*pair)) for name, pair in holders.items()}
        comfy.model_management.unload_all_models()
        gc.collect()
        gc.disable()
        try:
            holders.clear()
            return [name for name, module in modules.items() if module() is not None]
        finally:
            gc.enable()

    def previews_and_interrupt(self):
        """Pictures shown, and steps done after the cancel button was pressed in the second one."""
        return self._interrupted(self.sampled)

    def stock_windows_and_interrupt(self):
        """Windows that stock VAE Encode and VAE Decode work on when the cancel button is pressed in the first."""
        tae, found = self.vae.network, {}
        asked = {
            "encoder": lambda: core.VAEEncode().encode(self.vae, torch.rand(100, 32, 48, 3)),
            "decoder": lambda: core.VAEDecode().decode(self.vae, {"samples": torch.randn(1, 16, 12, 4, 6)}),
        }
        for part, work in asked.items():
            found[part] = pressed(getattr(tae, part), work)
        return found

    def on_another_device(self):
        """VAE and CLIP as Select VAE Device and Select CLIP Device move them: gaps, and whether the clone worked."""
        if not hasattr(self.vae.patcher, "deepclone_multigpu"):
            return None
        vae, clip = copy.copy(self.vae), self.clip.clone()
        place = torch.device("cpu", 0)
        vae.patcher = vae.patcher.clone().deepclone_multigpu(new_load_device=place)
        vae.first_stage_model, vae.device = vae.patcher.model, place
        clip.patcher = clip.patcher.deepclone_multigpu(new_load_device=place)
        moved = [vae.network is not self.vae.network, clip.cond_stage_model is not self.clip.cond_stage_model]
        works = [vae.patcher.model is vae.first_stage_model, clip.patcher.model is clip.cond_stage_model]
        samples = {"samples": self.expected}
        decoded = gap(core.VAEDecode().decode(vae, samples)[0], core.VAEDecode().decode(self.vae, samples)[0])
        encoded = core.CLIPTextEncode().encode(clip, 'a red ball bounces "HI"')[0][0][0]
        return [moved, works, decoded, gap(encoded, self.positive[0][0])]

    def clones_that_are_not_dynamic(self):
        """Whether core can make a plain patcher of each of ours, as it does where weights must be whole."""
        patchers = {"model": self.model, "clip": self.clip.patcher, "vae": self.vae.patcher}
        return {
            name: type(one.cached_patcher_init[0](*one.cached_patcher_init[1], disable_dynamic=True)).__name__
            for name, one in patchers.items()
        }

    def late_weights(self):
        """Gaps of a MODEL and a VAE whose layers hold nothing until their weights are loaded."""
        with late_layers():
            empty = self.model.model.model_config.get_model(None).diffusion_model
            model = self.host.load_model(WEIGHTS / "video.safetensors", "auto")
            vae = self.host.load_vae(WEIGHTS / "tae.safetensors", "auto")
        samples = {"samples": self.expected}
        decoded = [core.VAEDecode().decode(one, samples)[0] for one in (vae, self.vae)]
        return [empty.patch_in.weight is None, gap(self.sampled(model), self.sampled()), gap(*decoded)]

    def held_context(self):
        """Bytes of keys and values in one run of both conditions, and what the model says they take."""
        base, looked = self.model.model, self.model.clone()
        looked.set_model_patch(lambda given: given, "double_block")  # both conditions share a batch
        held = held_context(base.diffusion_model, lambda: self.advanced(looked))
        shape = list(self.latent["samples"].shape)
        conds = [comfy.sampler_helpers.convert_cond(one)[0] for one in (self.positive, self.negative)]
        shapes = {"c_crossattn": [base.extra_conds_shapes(**one)["c_crossattn"] for one in conds]}
        seen = [base.extra_conds(**one, noise=self.latent["samples"])["c_crossattn"] for one in conds]
        pair = [2 * shape[0], *shape[1:]]
        plain = comfy.model_base.BaseModel.memory_required(base, pair)
        estimated, _ = comfy.sampler_helpers.estimate_memory(self.model, shape, {"both": conds})
        return {
            "held": held,
            "said": base.memory_required(pair, cond_shapes=shapes) - plain,
            "estimated": estimated - plain,
            "sizes": [one.size() for one in seen] == shapes["c_crossattn"],
        }

    def encoded_windows_and_interrupt(self):
        """What TAE Encode reports when the cancel button is pressed in its first window."""
        return self._interrupted(lambda: self.ours("MovieGenTAEEncode", torch.rand(40, 32, 48, 3), self.vae, 16), 0)

    def _interrupted(self, work, moment=2):
        """What `work` reports until the cancel button is pressed at `moment`."""
        shown = []

        def hook(value, total, preview, node_id=None):
            shown.append((value, total, None if preview is None else list(preview[1].size)))
            if value == moment:
                comfy.model_management.interrupt_current_processing(True)

        comfy.utils.set_progress_bar_global_hook(hook)
        try:
            work()
        except comfy.model_management.InterruptProcessingException:
            return shown
        finally:
            comfy.utils.set_progress_bar_global_hook(None)
            comfy.model_management.interrupt_current_processing(False)
        return "not interrupted"


if __name__ == "__main__":
    with torch.inference_mode():
        checks = Checks()
        names = [name for name in vars(Checks) if not name.startswith("_")]
        comfy_kit.answer({name: getattr(checks, name)() for name in names})
