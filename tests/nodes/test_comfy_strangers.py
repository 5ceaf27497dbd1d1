"""Our models and those of others, wrongly connected in a real ComfyUI. Run with `pytest -m comfy`."""

from __future__ import annotations

import pytest

WORKS = "works"
SAID = {
    "prompt_of_others_in_ksampler": "connect Load Text Encoders (Movie Gen)",
    "picture_latent_in_ksampler": "connect Empty Video Latent",
    "sound_latent_in_ksampler": "connect Empty Video Latent",
    "clip_latent_for_the_sound_model": "Empty Sound Latent",
    "empty_picture_latent_in_ksampler": WORKS,
    "picture_model_in_our_sampler": "connect a flow-matching model",
    "our_model_with_eps_sampling_in_our_sampler": "connect a flow-matching model",
    "sound_model_in_our_sampler": "connect Load Movie Gen Model",
    "flow_model_in_our_sampler": WORKS,
    "model_of_pooled_text_without_a_negative_in_our_sampler": WORKS,
    "picture_model_in_the_sound_sampler": "connect Load Movie Gen Audio Model",
    "our_sound_model_with_v_sampling_in_the_sound_sampler": "connect a flow-matching model",
    "candidates_of_another_sound_model_in_the_sound_sampler": "set candidates and beams to 1",
    "picture_latent_in_vae_decode": "is not of this video model",
    "sound_latent_in_vae_decode": "is not of this video model",
    "picture_latent_in_vae_decode_tiled": "is not of this video model",
    "clip_latent_in_vae_decode_audio": "Empty Sound Latent",
    "picture_vae_in_tae_decode": "use VAE Decode",
    "picture_vae_in_tae_encode": "use VAE Encode",
    "picture_latent_in_tae_decode": "is not of this video model",
    "picture_latent_in_decode_to_video": "connect the VAE of the model that made the latent",
    "clip_latent_in_decode_to_video_with_a_picture_vae": "connect the VAE of the model that made the latent",
    "our_clip_in_a_node_of_flux": "encode the prompt with CLIP Text Encode",
    "sound_text_for_the_video_model": WORKS,
}


@pytest.fixture(scope="module")
def said(weights, sound_weights, tmp_path_factory, comfy) -> dict[str, str]:
    """What tests/nodes/comfy_strangers.py heard inside ComfyUI."""
    folder = tmp_path_factory.mktemp("strangers")
    for part, path in {**weights, **sound_weights}.items():
        (folder / f"{part}.safetensors").symlink_to(path)
    return comfy.measure("comfy_strangers.py", folder)


@pytest.mark.parametrize("case", SAID)
def test_stranger_works_or_is_answered_in_one_sentence(case, said):
    assert SAID[case] in said[case]
    assert len(said[case].splitlines()) == 1
    assert said[case] == WORKS or said[case].startswith(("ShapeError: ", "BackendError: "))


def test_every_case_is_judged(said):
    assert said.keys() == SAID.keys()
