"""What every node declares, and how the pack is loaded."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
NODES = [
    "MovieGenModelLoader",
    "MovieGenTextEncoderLoader",
    "MovieGenTAELoader",
    "MovieGenTextEncode",
    "MovieGenEmptyVideoLatent",
    "MovieGenLinearQuadraticSigmas",
    "MovieGenVideoSampler",
    "MovieGenTAEDecode",
    "MovieGenTAEEncode",
    "MovieGenAudioModelLoader",
    "MovieGenFrameEncodersLoader",
    "MovieGenSoundVAELoader",
    "MovieGenEmptySoundLatent",
    "MovieGenVideoToSound",
    "MovieGenExtendSound",
    "MovieGenFillSound",
    "MovieGenLongSound",
    "MovieGenSoundSampler",
    "MovieGenSoundDecode",
    "MovieGenSetVideoAudio",
    "MovieGenFitAudio",
    "MovieGenMixAudio",
    "MovieGenNormaliseLoudness",
    "MovieGenStereoFromMono",
    "MovieGenPlanFrames",
    "MovieGenTakeLatentTail",
    "MovieGenJoinLatents",
    "MovieGenAnchorColour",
    "MovieGenJoinClips",
    "MovieGenDecodeToVideo",
]


def test_pack_gives_its_nodes_in_order(part):
    assert [node.define_schema().node_id for node in part("catalog").NODES] == NODES


@pytest.mark.parametrize("name", NODES)
def test_node_explains_itself(name, nodes):
    schema = nodes[name].define_schema()
    assert schema.description
    assert schema.search_aliases
    assert schema.category.startswith("MovieGen/")
    assert schema.display_name
    assert all(one.tooltip for one in [*schema.inputs, *schema.outputs])
    assert sum(one.has_widget for one in schema.inputs) <= 8


@pytest.mark.parametrize("name", NODES)
def test_node_has_a_help_page_whose_table_names_its_inputs_and_no_others(name, nodes):
    page = (ROOT / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
    [table] = re.findall(r"^\| input \|.*\n\|[- |]+\n((?:\| .*\n)+)", page, re.MULTILINE)
    named = [word for row in table.splitlines() for word in row.split("|")[1].strip().split(", ")]
    assert sorted(named) == sorted(one.id for one in nodes[name].define_schema().inputs)


@pytest.mark.parametrize("name", NODES)
def test_help_page_shows_a_picture_below_its_title(name):
    folder = ROOT / "web" / "docs"
    title, picture = (folder / f"{name}.md").read_text(encoding="utf-8").splitlines()[:2]
    found = re.fullmatch(r"!\[.{20,}\]\((\w+\.jpg)\)", picture)
    assert title.startswith("# ")
    assert found, f"{name}.md: {picture}"
    with Image.open(folder / found[1]) as image:
        image.load()
        assert image.width >= 480
    assert (folder / found[1]).stat().st_size < 150_000


def test_node_ids_are_literals_in_classes_that_inherit_directly():
    found = []
    for path in sorted((ROOT / "nodes").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "io.ComfyNode" for base in node.bases):
                found += [
                    word.value.value
                    for word in ast.walk(node)
                    if isinstance(word, ast.keyword) and word.arg == "node_id"
                ]
    assert sorted(found) == sorted(NODES)


def test_shipped_models_are_the_first_choice_of_every_loader(nodes):
    loaders = {"ModelLoader": 1, "TextEncoderLoader": 3, "TAELoader": 1, "AudioModelLoader": 1}
    loaders |= {"FrameEncodersLoader": 2, "SoundVAELoader": 1}
    for name, count in ((f"MovieGen{name}", count) for name, count in loaders.items()):
        combos = nodes[name].define_schema().inputs[:count]
        assert [combo.options[0] for combo in combos] == ["nano (shipped)"] * count


def test_importing_the_pack_imports_nothing_heavy():
    code = (
        "import importlib.util, json, sys\n"
        f"spec = importlib.util.spec_from_file_location('a.pack', {str(ROOT / '__init__.py')!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "before = set(sys.modules)\n"
        "spec.loader.exec_module(module)\n"
        "loaded = sorted(name for name in set(sys.modules) - before if name.split('.')[0] in "
        "('torch', 'numpy', 'moviegen_core', 'nodes', 'comfy_api'))\n"
        "module.publish_core()\n"
        "import moviegen_core\n"
        "print(json.dumps([loaded, module.WEB_DIRECTORY, moviegen_core.__file__, 'torch' in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded, web, core, torch_loaded = json.loads(result.stdout)
    assert loaded == []
    assert (ROOT / web).is_dir()
    assert Path(core) == ROOT / "moviegen_core" / "__init__.py"
    assert not torch_loaded


def test_second_copy_of_the_pack_is_refused(tmp_path):
    code = (
        "import importlib.util, sys, types\n"
        "other = types.ModuleType('moviegen_core')\n"
        f"other.__file__ = {str(tmp_path / 'moviegen_core' / '__init__.py')!r}\n"
        "sys.modules['moviegen_core'] = other\n"
        f"spec = importlib.util.spec_from_file_location('a_pack', {str(ROOT / '__init__.py')!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "module.publish_core()\n"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert "keep one copy of this pack" in result.stderr
