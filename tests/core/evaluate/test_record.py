"""Figures of a bench in the manifest of the weights that it measured."""

import pytest

from moviegen_core import weights
from moviegen_core.errors import ConfigError
from moviegen_core.evaluate.record import check_recorded, record


@pytest.fixture
def folder(tmp_path):
    for name in ("tae", "audio", "sound_judge"):
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(name.encode())
        weights.register(f"nano/{name}", file, tmp_path, network=name, recipe="kept")
    return tmp_path


def test_numbers_of_a_report_stand_beside_what_the_entry_said_before(folder):
    report = {"model": "nano/tae", "psnr_db": 31.23456, "worst": float("inf"), "by_frame": [1.0, 2.0], "clips": 4}
    assert record("tae", report, folder) == ["nano/tae"]
    entry = weights.shipped(folder)["nano/tae"]
    assert (entry.evaluation, entry.recipe) == ({"psnr_db": 31.2346, "clips": 4}, "kept")


def test_sounds_tell_of_the_model_and_real_sounds_of_the_judge(folder):
    accuracy = {"kind": 0.9, "mood": 1.0}
    sources = {
        "real": {"heard": {"accuracy": accuracy, "commonest mistakes": {"a heard as b": 3}}},
        "generated": {"sync": {"recall": 0.5}, "length": {"1/1": {"0.5": 0}}},
    }
    assert record("sound", {"model": "nano", "sources": sources}, folder) == ["nano/audio", "nano/sound_judge"]
    assert weights.shipped(folder)["nano/audio"].evaluation == {"sync": {"recall": 0.5}}
    assert weights.shipped(folder)["nano/sound_judge"].evaluation == {"accuracy": accuracy}


def test_films_are_entered_beside_the_sounds_that_were_generated(folder):
    report = {"model": "nano", "sources": {"generated": {"sync": {"recall": 0.5}}}, "films": {"films": 3}}
    assert record("sound", report, folder) == ["nano/audio"]
    assert weights.shipped(folder)["nano/audio"].evaluation == {"sync": {"recall": 0.5}, "films": {"films": 3}}


def test_real_sounds_alone_leave_what_is_told_of_the_model(folder):
    record("sound", {"model": "nano", "sources": {"generated": {"sync": {"recall": 0.5}}}}, folder)
    report = {"model": "nano", "candidates": 4, "sources": {"real": {"sync": {"recall": 1.0}}}}
    assert record("sound", report, folder) == []
    assert weights.shipped(folder)["nano/audio"].evaluation == {"sync": {"recall": 0.5}}


def test_guidance_that_is_not_the_recommended_one_is_entered_with_the_figures(folder):
    report = {"model": "nano", "picture_guidance": 7.0, "sources": {"generated": {"sync": {"recall": 0.5}}}}
    record("sound", report, folder)
    assert weights.shipped(folder)["nano/audio"].evaluation == {"sync": {"recall": 0.5}, "picture_guidance": 7.0}


def test_text_encoders_each_get_what_was_read_off_them(folder):
    weights.register("nano/ul2", folder / "tae.safetensors", folder, network="text")
    assert record("text", {"model": "nano", "clips": 40, "ul2": {"place": 0.75}}, folder) == ["nano/ul2"]
    assert weights.shipped(folder)["nano/ul2"].evaluation == {"place": 0.75}


@pytest.mark.parametrize("bench", ["loss", "path", "words"])
def test_bench_that_only_explains_is_refused_before_it_measures(bench):
    with pytest.raises(ConfigError, match="leave --record out"):
        check_recorded(bench)


@pytest.mark.parametrize("bench", ["tae", "judge", "video", "codec", "match", "sound", "text"])
def test_bench_whose_figures_are_entered_is_not_refused_but_for_other_weights(bench):
    check_recorded(bench)
    with pytest.raises(ConfigError, match="not shipped"):
        check_recorded(bench, "mine")


def test_figures_of_another_file_beside_the_shipped_ones_are_refused():
    with pytest.raises(ConfigError, match="recorded for nano/tae alone"):
        check_recorded("tae", "nano/candidate.safetensors")


def test_weights_that_are_not_shipped_get_no_figures(folder):
    assert record("video", {"model": "nano", "test": {"thing": 0.5}}, folder) == []
    with pytest.raises(ConfigError, match="not shipped"):
        record("tae", {"model": "/my/tae.safetensors", "psnr_db": 3.0}, folder)
