import json
import logging
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from moviegen_core.cli import main
from moviegen_core.errors import CheckpointError, ConfigError, MovieGenError
from moviegen_core.models import catalog, conversion, loading
from moviegen_core.models.text import TextConfig, build_network, load_text_encoder, save_text_encoder
from moviegen_core.models.text import checkpoint as files
from moviegen_core.models.text.presets import FULL, NANO
from moviegen_core.models.text.tokenizer import ByteTokenizer, LibraryTokenizer
from moviegen_core.train.vocabulary import build_tokenizer

VOCABULARY = 1024
T5 = TextConfig(
    family="t5",
    vocab_size=VOCABULARY,
    dim=16,
    num_layers=2,
    num_heads=2,
    head_dim=8,
    mlp_dim=24,
    activation="gated-silu",
    max_tokens=32,
)
CLIP = TextConfig(
    family="clip",
    vocab_size=VOCABULARY,
    dim=16,
    num_layers=2,
    num_heads=2,
    head_dim=8,
    mlp_dim=24,
    activation="quick_gelu",
    max_tokens=77,
    norm_eps=1e-5,
)
PROMPTS = ["a red ball", "two blue birds fly over the beach, slowly"]


def tokenizer(family: str) -> LibraryTokenizer:
    return LibraryTokenizer(build_tokenizer(PROMPTS, family, VOCABULARY), family)


def network(config: TextConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(config).eval()


def hugging_face_folder(folder: Path, config: TextConfig) -> torch.nn.Module:
    """What a user has: config.json, model.safetensors with more than the encoder, tokenizer.json."""
    built = network(config)
    state = {key: value.contiguous() for key, value in files.public_state(built).items()}
    if config.family == "t5":
        state |= {"decoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(2, 2), "lm_head.weight": torch.zeros(2)}
        settings = built.config.to_dict() | {"model_type": "t5"}
    else:
        state |= {"vision_model.post_layernorm.weight": torch.zeros(2), "logit_scale": torch.zeros(())}
        settings = {"model_type": "clip", "text_config": built.config.to_dict()}
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(settings, default=str))
    (folder / "tokenizer.json").write_text(tokenizer(config.family).tokenizer.to_str())
    return built


@pytest.mark.parametrize(("role", "config"), [("ul2", T5), ("metaclip", CLIP)])
def test_a_hugging_face_folder_gives_the_features_of_the_plain_network(role, config, tmp_path):
    built = hugging_face_folder(tmp_path / role, config)
    encoder = load_text_encoder(role, tmp_path / role, positions=None)
    features, mask = encoder.encode(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([tokenizer(config.family).encode(prompt)])
        with torch.no_grad():
            expected = built(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(features[row, : ids.shape[1]], expected, atol=1e-5, rtol=1e-5)
        assert mask[row].sum() == ids.shape[1]
        assert features[row, ids.shape[1] :].abs().sum() == 0


@pytest.mark.parametrize(("role", "config"), [("ul2", T5), ("metaclip", CLIP)])
def test_a_file_is_read_by_the_config_and_tokenizer_beside_it(role, config, tmp_path):
    hugging_face_folder(tmp_path, config)
    expected = load_text_encoder(role, tmp_path, positions=None)
    tensors = load_file(tmp_path / "model.safetensors")
    for name, factor in (("other.safetensors", 2), ("another.safetensors", 1)):
        save_file({key: factor * value for key, value in tensors.items()}, tmp_path / name)
    same, other = (
        load_text_encoder(role, tmp_path / name, positions=None)
        for name in ("another.safetensors", "other.safetensors")
    )
    assert same.config == other.config == expected.config
    torch.testing.assert_close(same.encode(PROMPTS)[0], expected.encode(PROMPTS)[0])
    for key, value in expected.network.state_dict().items():
        torch.testing.assert_close(other.network.state_dict()[key], 2 * value)


@pytest.mark.parametrize(("role", "config"), [("ul2", T5), ("metaclip", CLIP)])
def test_our_own_file_holds_config_and_tokenizer(role, config, tmp_path):
    built = network(config)
    path = tmp_path / "encoder.safetensors"
    save_text_encoder(path, role, config, built, tokenizer(config.family), dtype=torch.float32)
    encoder = load_text_encoder(role, path, positions=None)
    assert encoder.config == config
    ids, mask = encoder.tokenize(PROMPTS)
    with torch.no_grad():
        expected = built(input_ids=ids, attention_mask=mask.long()).last_hidden_state * mask[..., None]
    torch.testing.assert_close(encoder.encode(PROMPTS)[0], expected)


def test_last_layers_of_t5_stay_exact_in_half_precision(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_text_encoder(path, "ul2", T5, network(T5), tokenizer("t5"), dtype=torch.float32)
    half = load_text_encoder("ul2", path, dtype=torch.float16)
    dtypes = {name.rpartition(".wo.")[1]: value.dtype for name, value in half.network.named_parameters()}
    assert dtypes == {".wo.": torch.float32, "": torch.float16}
    exact = load_text_encoder("ul2", path).encode(PROMPTS)[0]
    torch.testing.assert_close(half.encode(PROMPTS)[0].float(), exact, rtol=0.02, atol=0.02)


def test_encoders_are_frozen_and_in_eval_mode(tmp_path):
    save_text_encoder(tmp_path / "b.safetensors", "byt5", NANO["byt5"], network(NANO["byt5"]), ByteTokenizer())
    encoder = load_text_encoder("byt5", tmp_path / "b.safetensors")
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.encode(["HI"])[0].requires_grad
    assert next(encoder.parameters()).dtype == torch.float32  # stored in half precision, computed in fp32


def as_openclip(state):
    """A CLIP tower as OpenCLIP and MetaCLIP store it: q, k and v are one projection."""
    names = {
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.embeddings.": "",
        "text_model.final_layer_norm": "ln_final",
        "text_model.encoder.layers": "transformer.resblocks",
        "layer_norm": "ln_",
        "self_attn": "attn",
        "q_proj.": "in_proj_",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    renamed = {}
    for key, value in state.items():
        if "q_proj" in key:
            value = torch.cat([state[key.replace("q_proj", f"{letter}_proj")] for letter in "qkv"])
        if "k_proj" not in key and "v_proj" not in key:
            for ours, theirs in names.items():
                key = key.replace(ours, theirs)
            renamed[key] = value
    return renamed


def test_openclip_tower_comes_in_under_the_public_names():
    state = files.public_state(network(CLIP))
    there = as_openclip(state)
    assert {"transformer.resblocks.1.attn.in_proj_weight", "token_embedding.weight", "ln_final.bias"} <= set(there)
    back = files.from_openclip(there)
    assert set(back) == set(state)
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_a_metaclip_file_in_its_original_layout_loads(tmp_path):
    built = hugging_face_folder(tmp_path / "hf", CLIP)
    folder = tmp_path / "original"
    folder.mkdir()
    there = as_openclip(files.public_state(built))
    there |= {"visual.proj": torch.zeros(2), "text_projection": torch.zeros(2), "logit_scale": torch.zeros(())}
    save_file({key: value.contiguous() for key, value in there.items()}, folder / "model.safetensors")
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text((tmp_path / "hf" / name).read_text())
    ours = load_text_encoder("metaclip", folder, positions=None).encode(PROMPTS)[0]
    torch.testing.assert_close(ours, load_text_encoder("metaclip", tmp_path / "hf", positions=None).encode(PROMPTS)[0])


def test_a_short_position_table_is_extended_and_announced(tmp_path, caplog):
    built = hugging_face_folder(tmp_path, CLIP)
    with caplog.at_level(logging.WARNING):
        encoder = load_text_encoder("metaclip", tmp_path)
    assert "interpolated to 256" in caplog.text
    assert encoder.config.max_tokens == 256
    assert encoder.encode(["ball " * 300])[0].shape[1] == 256
    table = files.public_state(built)["text_model.embeddings.position_embedding.weight"]
    extended = files.extend_positions(table, 256)
    torch.testing.assert_close(extended[[0, -1]], table[[0, -1]])
    torch.testing.assert_close(files.extend_positions(table, 77), table)


def test_a_tied_embedding_under_its_other_name_is_accepted(tmp_path):
    hugging_face_folder(tmp_path, T5)
    tensors = load_file(tmp_path / "model.safetensors")
    expected = load_text_encoder("ul2", tmp_path).encode(PROMPTS)[0]
    tensors["encoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    torch.testing.assert_close(load_text_encoder("ul2", tmp_path).encode(PROMPTS)[0], expected)


def test_byt5_reads_bytes():
    assert ByteTokenizer().encode("Aé") == [ord("A") + 3, 0xC3 + 3, 0xA9 + 3, 1]


def test_presets_have_the_published_widths_and_the_nano_ones_fit_six_megabytes():
    counts = {name: catalog.count_parameters(catalog.build("text", name)) for name in catalog.get("text").presets}
    assert [FULL[role].dim for role in ("ul2", "metaclip", "byt5")] == [4096, 1280, 1472]
    assert counts["byt5"] == 217_657_472  # the encoder of google/byt5-small
    assert counts["metaclip"] == pytest.approx(694e6, rel=0.01)
    assert 2 * sum(counts[f"nano-{role}"] for role in NANO) < 6e6


def pickled(folder: Path, shards: int = 0) -> Path:
    """Put the folder's weights into one pickle, or into `shards` with an index, in place of safetensors."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if not shards:
        torch.save(tensors, folder / "pytorch_model.bin")
        return folder / "pytorch_model.bin"
    places = {key: f"pytorch_model-{number % shards}.bin" for number, key in enumerate(tensors)}
    for name in set(places.values()):
        torch.save({key: value for key, value in tensors.items() if places[key] == name}, folder / name)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    return index


@pytest.mark.parametrize("shards", [0, 2])
@pytest.mark.parametrize(("role", "config"), [("ul2", T5), ("metaclip", CLIP), ("byt5", T5)])
def test_a_folder_that_holds_only_pickles_is_converted(role, config, shards, tmp_path):
    folder = tmp_path / "model"
    hugging_face_folder(folder, config)
    expected = load_text_encoder(role, folder).encode(PROMPTS)[0]
    source, target = pickled(folder, shards), tmp_path / "ours" / f"{role}.safetensors"
    with pytest.raises(CheckpointError, match="moviegen convert"):
        load_text_encoder(role, folder)
    assert main(["convert", str(source), str(target), "--network", "text", "--preset", role]) == 0
    torch.testing.assert_close(load_text_encoder(role, target).encode(PROMPTS)[0], expected)
    assert {path.name for path in target.parent.iterdir()} == {target.name}


def test_a_shards_decoder_is_let_go_before_the_next_shard_is_opened(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    hugging_face_folder(folder, T5)
    expected = load_text_encoder("ul2", folder).encode(PROMPTS)[0]
    tensors = load_file(folder / "model.safetensors")
    tensors |= {f"decoder.block.{number}.weight": torch.zeros(2) for number in range(9)}
    save_file(tensors, folder / "model.safetensors")
    opened, held, load = [], [], torch.load

    def watched(*arguments, **settings):
        held.append(sum(tensor() is not None for tensor in opened))
        content = load(*arguments, **settings)
        opened.extend(weakref.ref(value) for key, value in content.items() if key.startswith("decoder."))
        return content

    monkeypatch.setattr(torch, "load", watched)
    conversion.convert(pickled(folder, 3), tmp_path / "ours.safetensors", network="text", config="ul2")
    assert held == [0, 0, 0]
    assert len(opened) == 10
    torch.testing.assert_close(load_text_encoder("ul2", tmp_path / "ours.safetensors").encode(PROMPTS)[0], expected)


@pytest.mark.parametrize(
    ("change", "preset", "message"),
    [
        ("nothing", None, "with --preset ul2, metaclip, byt5"),
        ("nothing", "metaclip", "choose another folder"),
        ("no tokenizer", "ul2", "put tokenizer.json or spiece.model beside"),
        ("no config", "ul2", "give the Hugging Face folder with its config.json"),
    ],
)
def test_a_pickle_that_does_not_tell_its_encoder_is_refused(change, preset, message, tmp_path):
    hugging_face_folder(tmp_path, T5)
    source = pickled(tmp_path)
    if change != "nothing":
        (tmp_path / {"no tokenizer": "tokenizer.json", "no config": "config.json"}[change]).unlink()
    with pytest.raises(MovieGenError, match=message) as refusal:
        conversion.convert(source, tmp_path / "ours.safetensors", network="text", config=preset)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "ours.safetensors").exists()


def test_convert_overwrites_nothing_unless_forced_and_its_source_never(tmp_path, capsys):
    hugging_face_folder(tmp_path, T5)
    source, target = tmp_path / "model.safetensors", tmp_path / "ours.safetensors"
    target.write_text("mine")
    before, kind = source.read_bytes(), ["--network", "text", "--preset", "ul2"]
    assert main(["convert", str(source), str(target), *kind]) == 2
    assert "exists already; choose another name, or add --force" in capsys.readouterr().err
    assert target.read_text() == "mine"
    for force in ([], ["--force"]):
        assert main(["convert", str(source), str(source), *kind, *force]) == 2
        assert "would be overwritten; choose another name" in capsys.readouterr().err
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(load_file(source), source.name)}))
    assert main(["convert", str(index), str(source), *kind, "--force"]) == 2
    assert "would be overwritten; choose another name" in capsys.readouterr().err
    assert source.read_bytes() == before
    assert main(["convert", str(source), str(target), *kind, "--force"]) == 0
    assert loading.read_header(target).network == "text"


def test_a_text_encoder_is_not_loaded_as_a_network_of_ours(tmp_path):
    path = save_text_encoder(tmp_path / "t.safetensors", "byt5", NANO["byt5"], network(NANO["byt5"]), ByteTokenizer())
    with pytest.raises(CheckpointError, match=r"use models\.text\.checkpoint"):
        loading.load(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing folder", "does not exist"),
        ("pickle", "pickle"),
        ("cut off", "cut off"),
        ("no config", "no config.json"),
        ("other model", "choose another folder"),
        ("no tokenizer", "put tokenizer.json or spiece.model"),
        ("other shape", r"have another shape \(shared.weight .*with its config.json"),
        ("lost key", r"1 are missing \(encoder.final_layer_norm.weight\).*with its config.json"),
        ("whole numbers", r"whole numbers \(shared.weight\)"),
    ],
)
def test_unfit_folders_are_refused_in_one_line(damage, message, tmp_path):
    folder = tmp_path / "model"
    hugging_face_folder(folder, T5)
    weights = folder / "model.safetensors"
    if damage == "missing folder":
        folder = tmp_path / "elsewhere"
    elif damage == "pickle":
        weights.unlink()
        folder = folder / "pytorch_model.bin"
        torch.save({}, folder)
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "other model":
        (folder / "config.json").write_text('{"model_type": "bert"}')
    elif damage == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    else:
        tensors = load_file(weights)
        if damage == "other shape":
            tensors["shared.weight"] = tensors["shared.weight"][:, :8].contiguous()
        elif damage == "whole numbers":
            tensors["shared.weight"] = tensors["shared.weight"].to(torch.int8)
        else:
            del tensors["encoder.final_layer_norm.weight"]
        save_file(tensors, weights)
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_text_encoder("ul2", folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("role", "config"), [("ul2", T5), ("metaclip", CLIP)])
@pytest.mark.parametrize("scale", ["scaled_fp8", "LAYER.scale_weight", "LAYER.weight_scale", "LAYER.comfy_quant"])
def test_a_quantised_file_is_refused_by_its_cause(role, config, scale, tmp_path):
    hugging_face_folder(tmp_path, config)
    tensors = load_file(tmp_path / "model.safetensors")
    layer = next(key for key in tensors if key.endswith(("q.weight", "q_proj.weight")) and "decoder" not in key)
    tensors[layer] = tensors[layer].to(torch.float8_e4m3fn)
    tensors[scale.replace("LAYER", layer.removesuffix(".weight"))] = torch.ones(1)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"quantised with scales.*give the unquantised file") as refusal:
        load_text_encoder(role, tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_single_file_that_is_no_preset_is_refused(tmp_path):
    hugging_face_folder(tmp_path, T5)
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"give the Hugging Face folder with its config.json"):
        load_text_encoder("ul2", tmp_path / "model.safetensors")


def test_the_file_of_another_role_is_refused(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_text_encoder(path, "ul2", T5, network(T5), tokenizer("t5"))
    with pytest.raises(CheckpointError, match="holds 'ul2', but the text encoder 'byt5' is needed"):
        load_text_encoder("byt5", path)
    with pytest.raises(ConfigError, match="use one of ul2, metaclip, byt5"):
        load_text_encoder("t5", path)
