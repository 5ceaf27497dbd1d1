"""What the documents name exists: files, anchors, commands with their options and settings, recipes, benches."""

from __future__ import annotations

import inspect
import re
import runpy
import shlex
from pathlib import Path

import pytest

from moviegen_core import evaluate, weights
from moviegen_core.cli import build_parser
from moviegen_core.errors import ConfigError
from moviegen_core.train import run

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "AGENTS.md", "CHANGELOG.md")] + sorted((ROOT / "docs").glob("*.md"))
LINE = re.compile(r"^moviegen .*", re.MULTILINE)
MENTION = re.compile(r"`moviegen ([a-z]+)([^`]*)`")
NAMED = re.compile(r"moviegen (train|evaluate) ([a-z][\w-]*)([^`\n]*)")
SETTINGS_ALONE = re.compile(r"`(--set [^`]+)`")
SETTING = re.compile(r"--set ([a-z][\w.-]*)=([^\s`]*)")
BENCHMARK = re.compile(r"python (benchmarks/\w+\.py)((?: [^`\n#]+)?)")
PATHS = re.compile(
    r"(?<![\w/.])(?:moviegen_core|moviegen_host|nodes|scripts|benchmarks|workflows|tests|web|docs)/[\w/.-]+"
)


def pages(pattern):
    """(page, match) of a pattern in every document, for parametrize."""
    found = [(page, match) for page in PAGES for match in pattern.finditer(page.read_text(encoding="utf-8"))]
    return [pytest.param(page, match, id=f"{page.name}: {match[0][:60]}") for page, match in found]


def slugs(page):
    """Anchors of a page, as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "link"), pages(re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)")))
def test_link_leads_somewhere(page, link):
    target = (page.parent / link[1]).resolve() if link[1] else page
    assert target.exists()
    if link[2]:
        assert link[2] in slugs(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page):
    named = {match[0].rstrip(".") for match in PATHS.finditer(page.read_text(encoding="utf-8"))}
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:^|`)make ([a-z]+)(?=\s{2}|`|$)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets


@pytest.mark.parametrize(("page", "command"), pages(LINE))
def test_command_line_is_understood(page, command):
    words = shlex.split(re.sub(r"\s\[[^\]]*\]", "", command[0]), comments=True)[1:]
    arguments = build_parser().parse_args(words)
    settings = dict(text.partition("=")[::2] for text in getattr(arguments, "settings", []))
    if words[0] == "train":
        for name, values in run.settings_by_recipe(settings, run.names(arguments.recipe)).items():
            run.with_settings(run.RECIPES[name].config, values)
    if words[0] == "evaluate":
        assert set(settings) <= set(inspect.signature(evaluate.bench(arguments.bench)).parameters)
    if words[0] == "run":
        assert (ROOT / arguments.workflow).is_file()


@pytest.mark.parametrize(("page", "command"), pages(MENTION))
def test_command_named_in_passing_has_the_options_that_are_named(page, command, capsys):
    with pytest.raises(SystemExit) as stopped:
        build_parser().parse_args([command[1], "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert [option for option in re.findall(r"--[a-z-]+", command[0]) if option not in shown] == []
    if command[1] in ("train", "evaluate") and (name := re.match(r"\s+([a-z][\w-]*)", command[2])):
        assert run.names(name[1]) if command[1] == "train" else evaluate.bench(name[1])


def has_settings(kind, name, settings):
    """Whether a bench or recipe has all of the settings, and takes their values."""
    if kind == "evaluate":
        return set(settings) <= set(inspect.signature(evaluate.bench(name)).parameters)
    try:
        for recipe, values in run.settings_by_recipe(settings, run.names(name)).items():
            run.with_settings(run.RECIPES[recipe].config, values)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(("page", "command"), pages(NAMED))
def test_bench_or_recipe_has_the_settings_that_are_named(page, command):
    assert has_settings(command[1], command[2], dict(SETTING.findall(command[3])))


@pytest.mark.parametrize(("page", "command"), pages(SETTINGS_ALONE))
def test_settings_without_a_command_are_those_of_one_on_the_page(page, command):
    settings = dict(SETTING.findall(command[1]))
    named = {(match[1], match[2]) for match in NAMED.finditer(page.read_text(encoding="utf-8"))}
    assert any(has_settings(kind, name, settings) for kind, name in named)


@pytest.mark.parametrize(("page", "command"), pages(BENCHMARK))
def test_benchmark_has_the_options_that_are_named(page, command):
    source = (ROOT / command[1]).read_text(encoding="utf-8")
    known = re.findall(r'add_argument\(\s*"(--[a-z-]+)"', source)
    known += [f"--no-{name}" for name in re.findall(r'"--([a-z-]+)", action=argparse.BooleanOptional', source)]
    assert [option for option in re.findall(r"--[a-z-]+", command[2]) if option not in known] == []


def test_readme_names_every_workflow_and_document():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    wanted = [f"workflows/{file.name}" for file in (ROOT / "workflows").glob("*.json")]
    wanted += [f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")]
    assert [name for name in wanted if name not in text] == []


def test_models_that_the_readme_names_are_those_that_are_shipped():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(nano/\w+)`", text)) == set(weights.shipped())


def test_examples_of_the_toybox_run_as_they_are_printed(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/toybox.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    script = tmp_path / "examples.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    names = runpy.run_path(str(script))
    assert names["frames"].shape == (64, 128, 128, 3)
    told = re.search(r"^toybox\.sound_labels\(scene\)  # (.*)$", "\n".join(blocks), re.MULTILINE)
    assert repr(names["toybox"].sound_labels(names["scene"])).replace("'", '"') == told[1]
    assert [event.kind for event in names["scene"].events]  # something hits, as the example says
