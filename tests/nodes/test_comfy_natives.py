"""Our MODEL, CLIP and VAE under stock nodes of a real ComfyUI. Run with `pytest -m comfy`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def measured(weights, comfy) -> dict[str, Any]:
    """What tests/nodes/comfy_natives.py measured inside ComfyUI."""
    return comfy.measure("comfy_natives.py", Path(weights["video"]).parent)


def test_sockets_hold_comfyuis_own_classes(measured):
    assert measured["types"] == [True, True, True]


@pytest.mark.parametrize(
    "check",
    [
        "video_sampler",
        "video_sampler_with_less_noise",
        "video_sampler_from_a_clip",
        "sampler_custom_advanced",
        "zero_out_is_null",
        "concatenated_conditioning",
        "ksampler",
    ],
)
def test_our_euler_and_comfyuis_agree(check, measured):
    assert measured[check] <= 1e-4 * max(1.0, measured["scale"])


def test_conditions_are_asked_one_by_one_on_a_cpu_unless_a_patch_looks_in(measured):
    rows, apart = measured["conditions_apart"]
    assert rows == [[1], [2]]
    assert apart <= 1e-4 * max(1.0, measured["scale"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the setting is glibc's")
def test_large_buffers_are_used_again_on_a_cpu(measured):
    # 32,768 by default, in pages of 4 KB.
    assert measured["page_faults"] < 10_000


def test_negative_makes_no_difference_without_guidance(measured):
    assert measured["video_sampler_without_guidance"] == 0.0


def test_encoders_that_sounds_do_not_need_are_missed_by_prompts_alone(measured):
    assert measured["left_out_encoders_told"] == [0, 0, 2]


def test_midpoint_is_another_solver(measured):
    assert 0 < measured["midpoint_moves_the_result"] < 5 * measured["scale"]


def test_core_scheduler_is_a_special_case_of_ours(measured):
    assert measured["basic_scheduler"] <= 1e-6


def test_clip_text_encode_gives_what_our_node_gives(measured):
    assert measured["text_encode"] == 0.0


def test_text_is_read_in_bf16_where_the_device_has_it_and_in_fp32_elsewhere(measured):
    best, asked = [["torch.bfloat16", True], ["torch.float32", True]], [["torch.bfloat16", True]] * 2
    wanted = {"fp16_text_enc": best, "bf16_text_enc": asked, "fp8_e4m3fn_text_enc": best}
    assert measured["text_precision"] == wanted


def test_what_comfyui_does_not_stream_follows_the_text_encoders(measured):
    assert measured["text_loaded_in_part"] == [["cpu"], ["meta"]]


def test_other_stock_samplers_and_conditioning_nodes_work(measured):
    assert measured["other_samplers_are_finite"]
    assert measured["averaged_conditioning_is_finite"]


def test_stock_vae_nodes_decode_and_encode(measured):
    assert measured["vae_decode"] <= 1e-5
    assert measured["vae_decode_shape"] == [24, 32, 48, 3]
    assert measured["vae_decode_tiled_shape"] == [72, 96, 128, 3]
    assert measured["vae_encode"] <= 1e-5
    assert measured["vae_encode_shape"] == [1, 16, 3, 4, 6]


def test_stock_tiled_encoding_puts_every_tile_in_its_place(measured):
    shape, apart = measured["vae_encode_tiled"]
    assert shape == [1, 16, 6, 12, 16]
    assert apart["one"] == 0.0
    # Tiles see less around them than the whole does; a latent one cell off is another one.
    assert max(apart["in space"], apart["in time"]) < 0.3 < apart["moved"]


def test_sizes_that_are_no_whole_patches_are_padded(measured):
    assert measured["odd_sizes"] == [1, 16, 2, 3, 5]


def test_stock_empty_latents_are_fitted(measured):
    assert measured["empty_latent_of_a_picture_model"] == [2, 16, 1, 4, 6]
    assert measured["empty_latent_of_coarser_latents"] == [[1, 16, 3, 4, 6], [1, 16, 3, 4, 6]]


def test_memory_is_asked_for_a_whole_batch_and_its_windows(measured):
    assert measured["memory_for_a_batch_in_wide_windows"] == 4 * 256 / 32


def test_context_of_another_family_is_refused(measured):
    assert "Load Text Encoders (Movie Gen)" in measured["context_of_another_family"]


def test_sampler_shows_pictures_and_stops_within_one_step(measured):
    shown = measured["previews_and_interrupt"]
    assert [value for value, _, _ in shown] == [1, 2]
    assert all(picture == [3 * 6 * 8, 4 * 8] for _, _, picture in shown)


def test_encoding_stops_between_its_windows(measured):
    assert measured["encoded_windows_and_interrupt"] == [[0, 40, None]]


def test_stock_encoding_and_decoding_stop_between_windows(measured):
    assert measured["stock_windows_and_interrupt"] == {"encoder": 1, "decoder": 1}


def test_vae_and_clip_can_be_moved_to_another_device(measured):
    if measured["on_another_device"] is None:
        pytest.skip("this ComfyUI makes no clones for other devices")
    cloned, whole, decoded, encoded = measured["on_another_device"]
    assert cloned == whole == [True, True]
    assert decoded == encoded == 0.0


def test_plain_patchers_can_be_made_of_all_three(measured):
    assert measured["clones_that_are_not_dynamic"] == dict.fromkeys(("model", "clip", "vae"), "ModelPatcher")


def test_weights_may_come_after_the_layers(measured):
    empty, sampled, decoded = measured["late_weights"]
    assert empty
    assert sampled == decoded == 0.0


def test_memory_figures_count_the_keys_and_values_that_are_held(measured):
    context = measured["held_context"]
    assert context["sizes"]
    assert 0 < context["held"] <= context["said"] == context["estimated"] < 1.2 * context["held"]


def test_pictures_have_the_models_own_colours(measured):
    assert measured["previews"] == [[2 * 6 * 8, 4 * 8], [255, 0, 0], None]


def test_our_empty_latent_fits_other_models(measured):
    ratios, shape = measured["our_empty_latent_for_another_model"]
    assert shape == [1, 48, 6 if len(ratios) == 2 else 3, 2, 3]


def test_any_sampler_shows_a_strip_of_the_clip(measured):
    assert measured["stock_preview"] == [4 * 6, 4]  # four frames side by side, one pixel a latent


def test_decode_to_video_streams_our_autoencoder_and_others(measured):
    assert measured["decode_to_video"] == {"ours": 56, "causal": 33, "picture": 3}
    assert measured["decode_to_video_gap"] < 0.03


def test_our_modules_go_with_their_last_user(measured):
    assert measured["outlives_its_last_user"] == []


def test_renamed_nodes_are_replaced(measured):
    assert measured["node_replacement"] == ["MovieGenPlanFrames", {"seconds": 2.0, "family": "wan"}]
