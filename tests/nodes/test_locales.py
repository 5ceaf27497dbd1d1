"""Every text of every node, in every language."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LANGUAGES = ("en", "zh", "ja", "fr", "de", "es")


@pytest.fixture(scope="module")
def locales(registry):
    """scripts/locales.py."""
    spec = importlib.util.spec_from_file_location("moviegen_locales", ROOT / "scripts" / "locales.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_english_is_what_the_nodes_say(locales):
    assert locales.read("en") == locales.english(), "run python scripts/locales.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_has_every_text_and_no_other(language, locales):
    assert locales.lacking(language, locales.english()) == []


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_translations_are_not_english_and_keep_their_numbers(language, locales):
    wanted, given = locales.texts(locales.english()), locales.texts(locales.read(language))
    same, numbers = [], []
    for place, text in wanted.items():
        if place.endswith(("tooltip", "description")):
            if given[place] == text:
                same.append(place)
            if sorted(re.findall(r"\d{2,}", given[place])) != sorted(re.findall(r"\d{2,}", text)):
                numbers.append(place)
    assert same == []
    assert numbers == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_are_written_as_the_script_writes_them(language):
    path = ROOT / "locales" / language / "nodeDefs.json"
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n"
