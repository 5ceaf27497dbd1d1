"""Runs inside a real ComfyUI (its folder is the working directory): measures the sound model under stock nodes.

usage: comfy_sound_natives.py PACK WEIGHTS; the last line printed is a JSON object of measured values.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path

# Python put this script's folder first; ComfyUI's own modules must be found there instead.
sys.path[0] = os.getcwd()
sys.path.append(str(Path(__file__).parent))

import comfy_kit  # noqa: E402 - before anything of ComfyUI
from comfy_kit import WEIGHTS, call, core, custom, gap, held_context, late_layers, load_pack, pressed  # noqa: E402

# isort: split
import av  # noqa: E402
import comfy.model_base  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.patcher_extension  # noqa: E402
import comfy.sampler_helpers  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402
from comfy_api.latest import io  # noqa: E402
from comfy_extras import nodes_apg as apg  # noqa: E402
from comfy_extras import nodes_audio as audio  # noqa: E402
from comfy_extras import nodes_cfg as cfg  # noqa: E402
from comfy_extras import nodes_context_windows as context_windows  # noqa: E402
from comfy_extras import nodes_easycache as easycache  # noqa: E402
from comfy_extras import nodes_slg as slg  # noqa: E402

NODES, PACKAGE = load_pack()  # publishes moviegen_core

# isort: split
from moviegen_core.models import loading  # noqa: E402
from moviegen_core.pipelines import sound, sound_scoring  # noqa: E402

STEPS, SCALE, SEED, FRAMES = 8, 3.0, 5, 40
LENGTH = 63  # sound frames of 40 pictures at 16 fps
TEXT_DIM = 32
TOLD = {"prompt": {"1": {"class_type": "MovieGenSoundDecode"}}, "extra_pnginfo": {"workflow": {"nodes": []}}}


class OurNoise:
    """NOISE for stock samplers as our sampler draws it, or the part `own` of it."""

    def __init__(self, own=slice(None)):
        self.seed, self.own = SEED, own

    def generate_noise(self, latent):
        return sound.make_noise(1, 128, LENGTH, SEED)[:, :, self.own]


class Checks:
    """Measures one thing per method; every method's name is a key of the result."""

    def __init__(self) -> None:
        self.nodes, self.host, self.convert = NODES, PACKAGE.runtime.host, PACKAGE.sound_convert
        roles = ("ul2", "metaclip", "byt5")
        self.clip = self.host.load_clip({role: WEIGHTS / f"{role}.safetensors" for role in roles})
        self.model = self.host.load_audio_model(WEIGHTS / "audio.safetensors", "auto")
        self.vae = self.host.load_sound_vae(WEIGHTS / "audio_codec.safetensors", "auto")
        eyes = ("metaclip_vision", "sound_match")
        self.eyes = self.host.load_frame_encoders({part: WEIGHTS / f"{part}.safetensors" for part in eyes})
        self.network = loading.load(WEIGHTS / "audio.safetensors").float()
        images = torch.rand(FRAMES, 24, 32, 3)
        self.positive, self.negative, self.latent = self.ours(
            "VideoToSound", self.clip, self.eyes, images=images, fps=16.0, text="a red ball bounces"
        )
        self.expected = self.pipeline()

    def ours(self, name, *given, **named):
        result = self.nodes[f"MovieGen{name}"].PREPARE_CLASS_CLONE(None).execute(*given, **named).args
        return result[0] if len(result) == 1 else result

    def given(self, positive=None):
        tensor, values = (positive or self.positive)[0]
        return self.convert.conditioning(tensor, values.get(self.convert.FRAMES), None, 1, TEXT_DIM)

    def pipeline(self, network=None, **options):
        """What moviegen_core samples on its own."""
        given = {"seed": SEED, "steps": STEPS, "guidance_scale": SCALE, "solver": "euler", **options}
        run = sound.long_sound if {"method", "window_seconds"} & set(given) else sound.sample_sound
        return run(network or self.network, given.pop("conditioning", None) or self.given(), LENGTH, **given)

    def sampled(self, model=None, **options):
        given = {"positive": self.positive, "negative": self.negative, "latent": self.latent, "seed": SEED}
        given |= {"steps": STEPS, "cfg": SCALE, "solver": "euler", "temperature": 1.0, "picture_cfg": 0.0}
        return self.ours("SoundSampler", model=model or self.model, **{**given, **options})["samples"]

    def advanced(self, model=None, sampler="euler", latent=None, positive=None, negative=None, noise=None):
        """CFGGuider, KSamplerSelect and SamplerCustomAdvanced."""
        return call(
            custom.SamplerCustomAdvanced,
            noise or OurNoise(),
            call(custom.CFGGuider, model or self.model, positive or self.positive, negative or self.negative, SCALE),
            call(custom.KSamplerSelect, sampler),
            torch.linspace(1, 0, STEPS + 1),
            latent or self.latent,
        )["samples"]

    def scale(self):
        return float(self.expected.std())

    def types(self):
        return [isinstance(self.model, comfy.model_patcher.ModelPatcher), isinstance(self.vae, comfy.sd.VAE)]

    def sound_sampler(self):
        return gap(self.sampled(), self.expected)

    def sound_sampler_without_negative(self):
        return gap(self.sampled(negative=None), self.expected)

    def less_noise(self):
        return gap(self.sampled(temperature=0.5), self.pipeline(temperature=0.5))

    def pictures_apart(self):
        return gap(self.sampled(picture_cfg=5.0), self.pipeline(picture_guidance=5.0))

    def pictures_apart_in_blended_windows(self):
        model = self.ours("LongSound", self.model, "multidiffusion", 1.0, 0.4)
        options = {"method": "multidiffusion", "window_seconds": 1.0, "context_seconds": 0.4}
        return gap(self.sampled(model, picture_cfg=5.0), self.pipeline(picture_guidance=5.0, **options))

    def pictures_apart_matter(self):
        return gap(self.sampled(picture_cfg=5.0), self.expected)

    def pictures_apart_of_words_alone(self):
        """Where nothing is shown there is nothing to guide apart."""
        words = [[self.positive[0][0], {}]]
        return gap(self.sampled(positive=words, picture_cfg=5.0), self.sampled(positive=words))

    def midpoint(self):
        return gap(self.sampled(solver="midpoint"), self.pipeline(solver="midpoint"))

    def sampler_custom_advanced(self):
        return gap(self.advanced(), self.sampled())

    def guidance_matters(self):
        return gap(self.sampled(cfg=1.0), self.expected)

    def frames_matter(self):
        return gap(self.sampled(positive=[[self.positive[0][0], {}]]), self.expected)

    def ksampler(self):
        """KSampler with the simple scheduler takes our even steps."""
        theirs = core.KSampler().sample(
            self.model, SEED, STEPS, SCALE, "euler", "simple", self.positive, self.negative, self.latent
        )[0]["samples"]
        drawn = call(custom.RandomNoise, SEED)
        return gap(theirs, self.advanced(noise=drawn))

    def other_samplers_are_finite(self):
        found = (self.advanced(sampler=name) for name in ("dpmpp_2m", "uni_pc", "heun"))
        return all(bool(samples.isfinite().all()) for samples in found)

    def zero_out_leaves_the_pictures(self):
        """ConditioningZeroOut takes the words away and keeps what is seen."""
        zeroed = core.ConditioningZeroOut().zero_out(self.positive)[0]
        wanted = self.pipeline(conditioning=self.given(zeroed), negative=None)
        return [gap(self.sampled(positive=zeroed), wanted), gap(wanted, self.expected)]

    def clip_text_encode(self):
        """Stock CLIP Text Encode makes a condition that the sound model reads."""
        positive = core.CLIPTextEncode().encode(self.clip, "a red ball")[0]
        return bool(self.advanced(positive=positive).isfinite().all())

    def lora(self):
        """A LoRA on the MODEL gives what merged weights give."""
        weight = loading.load(WEIGHTS / "audio.safetensors").float()
        narrow = weight.blocks[1].narrow.weight
        up, down = 0.3 * torch.randn(narrow.shape[0], 2), 0.3 * torch.randn(2, narrow.shape[1])
        key = "diffusion_model.blocks.1.narrow"
        lora = {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}
        patched, _ = comfy.sd.load_lora_for_models(self.model, None, lora, 1.0, 0.0)
        with torch.no_grad():
            narrow += up @ down
        merged = self.pipeline(weight)
        return [gap(self.sampled(patched), merged), gap(merged, self.expected)]

    def patch_hooks(self):
        """Calls that block patches, a replaced block and a wrapper get in one run; both conditions share a batch."""
        seen = {"double_block": 0, "replace": 0, "wrapper": 0}
        model = self.model.clone()

        def count(name, result):
            seen[name] += 1
            return result

        model.set_model_patch(lambda values: count("double_block", {"img": values["img"]}), "double_block")
        model.set_model_patch_replace(
            lambda values, extra: count("replace", extra["original_block"](values)), "dit", "double_block", 1
        )
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        model.add_wrapper_with_key(
            kind, "test", lambda executor, *given, **options: count("wrapper", executor(*given, **options))
        )
        result = gap(self.advanced(model), self.expected)
        return {**seen, "gap": result}

    def model_patches(self):
        """Core's MODEL nodes -> how far they move the sound; -1 where it is not finite."""
        moved = {}
        for name, patched in {
            "EasyCache": call(easycache.EasyCacheNode, self.model, 0.2, 0.15, 0.95, False),
            "APG": call(apg.APG, self.model, 1.0, 5.0, 0.0),
            "CFGZeroStar": call(cfg.CFGZeroStar, self.model),
            "CFGNorm": call(cfg.CFGNorm, self.model, 1.0),
            "SkipLayerGuidanceDiT": call(slg.SkipLayerGuidanceDiT, self.model, 3.0, 0.0, 1.0, "1", "", 0),
        }.items():
            samples = self.advanced(patched)
            moved[name] = gap(samples, self.expected) if bool(samples.isfinite().all()) else -1.0
        return moved

    def long_forms(self):
        """Our sampler against the core, by method; multi-diffusion with stock samplers too."""
        found = {}
        for method in sound.METHODS:
            model = self.ours("LongSound", self.model, method, 1.0, 0.4)
            wanted = self.pipeline(method=method, window_seconds=1.0, context_seconds=0.4)
            found[method] = gap(self.sampled(model), wanted)
            if method == "multidiffusion":
                found["stock"] = gap(self.advanced(model), wanted)
        return found

    def stock_extend(self):
        """A stock sampler in windows against the same sampler called by hand, window after window."""
        model = self.ours("LongSound", self.model, "extend", 1.0, 0.4)
        made = torch.zeros(1, 128, LENGTH)
        slices = self.host.windows_of(model).slices(LENGTH)
        for number, own in enumerate(slices):
            mask = torch.ones(1, 1, own.stop - own.start)
            begun = made[:, :, own.start : slices[number - 1].stop if number else own.start].clone()
            mask[:, :, : sound.standing(begun.shape[2])] = 0.0
            part = {"samples": made[:, :, own].clone(), "noise_mask": mask}
            tensor, values = self.positive[0]
            seen = [[tensor, {**values, self.convert.FRAMES: values[self.convert.FRAMES][:, :, own]}]]
            made[:, :, own] = sound.crossed(begun, self.advanced(latent=part, positive=seen, noise=OurNoise(own)))
        return [len(slices), gap(self.advanced(model), made), gap(made, self.expected)]

    def stock_context_windows(self):
        """Core's Context Windows on axis 2: windows as long as the sound change nothing, short ones do."""
        given = {"context_schedule": "standard_static", "context_stride": 1, "closed_loop": False, "dim": 2}
        given |= {"fuse_method": "pyramid", "freenoise": False}
        node = context_windows.ContextWindowsManualNode
        whole = call(node, self.model, context_length=LENGTH, context_overlap=8, **given)
        short = call(node, self.model, context_length=25, context_overlap=10, **given)
        return [gap(self.advanced(whole), self.expected), gap(self.advanced(short), self.expected)]

    def known(self):
        """A LATENT that is known in part: what stays, what core makes of it, and with stock samplers."""
        waveform = 0.3 * torch.randn(1, 2, 48000)
        known = {"waveform": waveform, "sample_rate": 48000}
        latent = self.ours("ExtendSound", known, self.vae, self.latent, context_seconds=60.0)
        mask = latent["noise_mask"][0] < 0.5
        given = self.given().with_context(latent["samples"], mask)
        wanted = self.pipeline(conditioning=given)
        mine, stock = self.sampled(latent=latent), self.advanced(latent=latent)
        kept = gap(mine[:, :, mask[0]], latent["samples"][:, :, mask[0]])
        deaf = gap(wanted, self.pipeline())
        return {"ours": gap(mine, wanted), "stock": gap(stock, wanted), "kept": kept, "heard": deaf}

    def whole_encoders(self):
        """How the frame encoders ask ComfyUI for their place."""
        manage, asked = comfy.model_management, []
        load = manage.load_models_gpu
        manage.load_models_gpu = lambda *given, **named: asked.append(named) or load(*given, **named)
        try:
            self.host.frame_encoders(self.eyes)
        finally:
            manage.load_models_gpu = load
        return asked

    def candidates(self):
        """The best of three is one of the three that the seeds give."""
        three = [self.sampled(seed=SEED + number) for number in range(3)]
        best = self.sampled(candidates=3, frame_encoders=self.eyes, vae=self.vae)
        eyes = self.host.frame_encoders(self.eyes)
        scorer = sound_scoring.MatchScorer(match=eyes.motion, codec=self.host.sound_codec(self.vae, LENGTH))
        scores = [float(scorer(one, self.given())[0]) for one in three]
        return gap(best, three[scores.index(max(scores))])

    def decoded_lengths(self):
        """Samples that Sound Decode and VAE Decode Audio give."""
        latent = {**self.latent, "samples": self.expected}
        stock = call(audio.VAEDecodeAudio, self.vae, latent)["waveform"].shape[-1]
        return [self.ours("SoundDecode", latent, self.vae, "stereo")["waveform"].shape[-1], stock]

    def player(self):
        """What Sound Decode shows: folder and tags of each file, of a run that core has told of its workflow."""
        node = self.nodes["MovieGenSoundDecode"]
        asked = {io.Hidden[name]: value for name, value in TOLD.items() if io.Hidden[name] in node.GET_SCHEMA().hidden}
        shown = node.PREPARE_CLASS_CLONE({"hidden_inputs": asked}).execute(self.latent, self.vae).ui.as_dict()
        found = []
        for one in shown["audio"]:
            with av.open(str(Path(folder_paths.get_temp_directory()) / one["subfolder"] / one["filename"])) as file:
                tags = {key.lower(): json.loads(value) for key, value in file.metadata.items() if value[0] == "{"}
            found.append([one["type"] if isinstance(one["type"], str) else one["type"].value, tags])
        return found

    def refusals(self):
        """What is said, by what was given."""
        drawn = call(custom.RandomNoise, SEED)
        asked = {
            "video latent": lambda: self.advanced(latent={"samples": torch.zeros(1, 16, 2, 3, 4)}, noise=drawn),
            "another length": lambda: self.advanced(latent={"samples": torch.zeros(1, 128, 9)}, noise=drawn),
            "another length with ours": lambda: self.sampled(latent={"samples": torch.zeros(1, 128, 9)}),
            "another length in windows": lambda: self.advanced(
                self.ours("LongSound", self.model, "extend", 1.0, 0.4),
                latent={"samples": torch.zeros(1, 128, 40)},
                noise=drawn,
            ),
            "other text": lambda: self.advanced(positive=[[torch.randn(1, 77, 768), {}]]),
            "video model": lambda: self.sampled(self.host.load_model(WEIGHTS / "video.safetensors", "auto")),
        }
        found = {}
        for name, work in asked.items():
            try:
                work()
                found[name] = "accepted"
            except Exception as error:
                found[name] = str(error)
        return found

    def previews_and_interrupt(self):
        """Pictures shown, and steps done after the cancel button was pressed in the second one."""
        shown = []

        def hook(value, total, preview, node_id=None):
            shown.append((value, total, None if preview is None else list(preview[1].size)))
            if value == 2:
                comfy.model_management.interrupt_current_processing(True)

        comfy.utils.set_progress_bar_global_hook(hook)
        try:
            self.sampled()
        except comfy.model_management.InterruptProcessingException:
            return shown
        finally:
            comfy.utils.set_progress_bar_global_hook(None)
            comfy.model_management.interrupt_current_processing(False)
        return "not interrupted"

    def stock_chunks_and_interrupt(self):
        """Chunks that stock nodes and ours work on when the cancel button is pressed in the first."""
        codec, found = self.vae.first_stage_model.codec, {}
        sound = {"waveform": 0.1 * torch.randn(1, 1, 25 * 48000), "sample_rate": 48000}
        latent = {"samples": torch.randn(1, 128, 25 * 25)}
        asked = {
            "encoder": [lambda: call(audio.VAEEncodeAudio, self.vae, sound)],
            "decoder": [
                lambda: call(audio.VAEDecodeAudio, self.vae, latent),
                lambda: self.ours("SoundDecode", latent, self.vae),
            ],
        }
        for part, works in asked.items():
            found[part] = [pressed(getattr(codec, part), work) for work in works]
        return found

    def on_another_device(self):
        """The codec as Select VAE Device moves it: whether it is another one, and the gap."""
        if not hasattr(self.vae.patcher, "deepclone_multigpu"):
            return None
        vae = copy.copy(self.vae)
        vae.patcher = vae.patcher.clone().deepclone_multigpu(new_load_device=torch.device("cpu", 0))
        vae.first_stage_model, vae.device = vae.patcher.model, torch.device("cpu", 0)
        latent = {**self.latent, "samples": self.expected}
        both = [call(audio.VAEDecodeAudio, one, latent)["waveform"] for one in (vae, self.vae)]
        return [vae.first_stage_model is not self.vae.first_stage_model, gap(*both)]

    def late_weights(self):
        """Gaps of a MODEL and a VAE whose layers hold nothing until their weights are loaded."""
        with late_layers():
            empty = self.model.model.model_config.get_model(None).diffusion_model
            model = self.host.load_audio_model(WEIGHTS / "audio.safetensors", "auto")
            vae = self.host.load_sound_vae(WEIGHTS / "audio_codec.safetensors", "auto")
        both = [call(audio.VAEDecodeAudio, one, {"samples": self.expected})["waveform"] for one in (vae, self.vae)]
        return [empty.latent_in.weight is None, gap(self.sampled(model), self.sampled()), gap(*both)]

    def held_context(self):
        """Bytes of the text's keys and values in one run of both conditions, and what the model says they take."""
        base = self.model.model
        held = held_context(base.diffusion_model, self.advanced)
        shape = list(self.latent["samples"].shape)
        conds = [comfy.sampler_helpers.convert_cond(one)[0] for one in (self.positive, self.negative)]
        plain = comfy.model_base.BaseModel.memory_required(base, [2 * shape[0], *shape[1:]])
        estimated, _ = comfy.sampler_helpers.estimate_memory(self.model, shape, {"both": conds})
        return [held, estimated - plain]

    def fp8_memory(self):
        """Bytes of weights in fp32 and fp8, and whether fp8 makes sound."""
        small = self.host.load_audio_model(WEIGHTS / "audio.safetensors", "fp8_e4m3fn")
        return [self.model.model_size(), small.model_size(), bool(self.sampled(small).isfinite().all())]


def main() -> None:
    """Every check, in order of definition."""
    torch.manual_seed(0)
    with torch.inference_mode():
        checks = Checks()
        skip = ("ours", "given", "pipeline", "sampled", "advanced")
        names = [name for name in vars(Checks) if not name.startswith("_") and name not in skip]
        comfy_kit.answer({name: getattr(checks, name)() for name in names})


main()
