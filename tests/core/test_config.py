"""Frozen dataclasses as plain dicts and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from moviegen_core.config import from_dict, to_dict
from moviegen_core.errors import ConfigError
from moviegen_core.models import catalog
from moviegen_core.train.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A part."""

    rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Every kind of field."""

    name: str
    steps: int | None = None
    inner: Inner = Inner()
    kinds: tuple[tuple[int, float], ...] = ((1, 0.5),)
    on: bool = False
    widths: dict[str, int] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)


def through_json(config):
    return from_dict(type(config), json.loads(json.dumps(to_dict(config))))


def test_config_comes_back_from_json_as_it_was():
    config = Outer(
        name="x", steps=3, inner=Inner(rate=2), kinds=((1, 2.0), (3, 4.5)), on=True, widths={"a": 2}, scales={"b": 0.5}
    )
    assert through_json(config) == config
    assert isinstance(through_json(config).kinds[0], tuple)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back_from_json_as_it_was(name):
    assert through_json(RECIPES[name].config) == RECIPES[name].config


@pytest.mark.parametrize(
    ("network", "preset"), [(name, preset) for name, entry in catalog.NETWORKS.items() for preset in entry.presets]
)
def test_every_preset_comes_back_from_json_as_it_was(network, preset):
    config = catalog.get(network).preset(preset)
    assert through_json(config) == config


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"name": "x", "colour": 1}, "no field colour; it has name"),
        ({}, "needs name"),
        ({"name": 3}, "Outer.name is 3, but needs text"),
        ({"name": "x", "steps": "fast"}, "Outer.steps is 'fast', but needs a whole number or null"),
        ({"name": "x", "steps": 1.5}, "steps is 1.5"),
        ({"name": "x", "steps": True}, "steps is True"),
        ({"name": "x", "on": 1}, "needs true or false"),
        ({"name": "x", "inner": {"rate": "high"}}, "Inner.rate is 'high', but needs a number"),
        ({"name": "x", "inner": 3}, r"Outer.inner is 3, but needs values by name \(rate"),
        ({"name": "x", "kinds": 3}, "Outer.kinds is 3"),
        ({"name": "x", "kinds": [[1, "a"]]}, "Outer.kinds"),
        ({"name": "x", "kinds": [[1, 2.0, 3.0]]}, "Outer.kinds"),
        ({"name": "x", "widths": {"a": "192"}}, r"Outer.widths is {'a': '192'}, but needs dict\[str, int\]"),
        ({"name": "x", "widths": 3}, "Outer.widths is 3"),
        ({"name": "x", "scales": 0.5}, r"Outer.scales is 0.5, but needs dict\[str, float\]"),
        ({"name": "x", "scales": {"a": "fast"}}, "Outer.scales"),
    ],
)
def test_value_that_does_not_fit_its_field_is_named(values, match):
    with pytest.raises(ConfigError, match=match):
        from_dict(Outer, values)
