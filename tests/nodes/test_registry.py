"""What the Comfy Registry and ComfyUI-Manager read of this pack."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib")  # Python 3.11

ROOT = Path(__file__).parents[2]
# Names of the packages in the requirements.txt of ComfyUI 0.19.0.
BROUGHT = set(Path(__file__).with_name("comfyui_0_19_requirements.txt").read_text(encoding="utf-8").split())
ARCHIVE_MEGABYTES = 60  # the shipped models are most of it


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def packed() -> list[str]:
    """What `comfy node pack` takes: files known to git, less those of .comfyignore."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        pytest.skip("not a checkout")
    patterns = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    left_out = [f"{one}*" if one.endswith("/") else one for one in patterns]
    names = [name for name in done.stdout.splitlines() if not any(fnmatch.fnmatch(name, one) for one in left_out)]
    return [name for name in names if (ROOT / name).is_file()]


def asked(lines):
    """Names of the packages that lines of requirements name, as PyPI compares them."""
    stripped = [line.partition("#")[0].strip() for line in lines]
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in stripped if line}


def test_manager_is_asked_for_nothing_that_comfyui_0_19_does_not_bring():
    assert asked((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()) <= BROUGHT


def test_library_needs_nothing_that_comfyui_0_19_does_not_bring(project):
    assert asked(project["project"]["dependencies"]) <= BROUGHT


def test_registry_finds_what_it_asks_for(project):
    about, comfy = project["project"], project["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", about["name"])
    assert "comfyui" not in about["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["version"])
    assert about["urls"]["Repository"].startswith("https://")
    assert comfy["PublisherId"]
    assert comfy["DisplayName"]
    assert comfy["requires-comfyui"] == ">=0.19.0"
    # One of another kind, and the registry reads no accelerator at all.
    assert {one for one in about["classifiers"] if one.startswith("Environment")} == {
        "Environment :: GPU :: NVIDIA CUDA"
    }
    assert "web" not in comfy  # WEB_DIRECTORY serves it; both would load every script twice


def test_archive_holds_the_pack_and_leaves_out_what_only_builds_it(packed):
    folders = {name.split("/")[0] for name in packed}
    needed = {"__init__.py", "nodes", "moviegen_core", "web", "locales", "subgraphs", "workflows", "requirements.txt"}
    assert needed <= folders
    assert not folders & {"tests", "benchmarks", "scripts", ".ci", ".github", "Makefile"}
    assert "moviegen_core/weights/nano/manifest.json" in packed


def test_archive_is_of_sane_size(packed):
    size = sum((ROOT / name).stat().st_size for name in packed) / 1e6
    assert size < ARCHIVE_MEGABYTES, f"{size:.1f} MB"


def test_a_new_version_is_published_by_the_workflow():
    text = (ROOT / ".github" / "workflows" / "publish_action.yml").read_text(encoding="utf-8")
    assert "Comfy-Org/publish-node-action" in text
    assert "paths: [pyproject.toml]" in text
    assert "secrets.REGISTRY_ACCESS_TOKEN" in text
