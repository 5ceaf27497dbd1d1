"""What the judges share: one loss over all attributes."""

import pytest
import torch

from moviegen_core.train.objectives.labels import attribute_loss


def test_attributes_add_up_and_tell_how_often_each_was_answered_rightly():
    scores = {"thing": torch.eye(4) * 50.0, "place": torch.zeros(4, 3)}
    batch = {"thing": torch.tensor([0, 1, 2, 0]), "place": torch.tensor([0, 1, 2, 2])}
    told = attribute_loss(scores, batch)
    assert set(told) == {"loss", "thing_accuracy", "place_accuracy"}
    assert told["thing_accuracy"] == 0.75
    assert told["place_accuracy"] == 0.25
    alone = [attribute_loss({name: rows}, batch)["loss"] for name, rows in scores.items()]
    assert told["loss"] == pytest.approx(float(sum(alone)))
    assert alone[1] == pytest.approx(float(torch.tensor(3.0).log()))  # every answer is as likely


def test_certainty_costs_a_little_even_where_it_is_right():
    right = torch.arange(2)
    sure, modest = (attribute_loss({"thing": torch.eye(2) * size}, {"thing": right})["loss"] for size in (50.0, 4.0))
    assert 0 < modest < sure
