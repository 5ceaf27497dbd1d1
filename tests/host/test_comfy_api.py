"""The stand-in behaves as nodes expect of ComfyUI."""

import io as buffers
import subprocess
import sys
from fractions import Fraction

import pytest
import torch

from moviegen_host import comfy_api
from moviegen_host.errors import Cancelled
from moviegen_host.session import Session, active


@pytest.fixture(scope="module")
def latest():
    """`comfy_api.latest`."""
    comfy_api.install()
    return sys.modules["comfy_api.latest"]


def test_importing_the_host_loads_neither_torch_nor_the_library():
    heavy = "{'torch', 'moviegen_core', 'comfy_api', 'av'}"
    code = f"import sys, moviegen_host.run, moviegen_host.__main__; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_stand_in_refuses_to_replace_a_real_comfyui(tmp_path):
    (tmp_path / "comfy_api").mkdir()
    (tmp_path / "comfy_api" / "__init__.py").touch()
    code = "from moviegen_host import comfy_api\ntry: comfy_api.install()\nexcept Exception as error: print(error)"
    answer = subprocess.check_output([sys.executable, "-c", code], text=True, env={"PYTHONPATH": str(tmp_path)})
    assert "queue the workflow there" in answer


def test_state_cannot_be_set_on_a_running_node(latest):
    class Node(latest.io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return latest.io.Schema(node_id="Node")

        @classmethod
        def execute(cls):
            cls.state = 1

    with pytest.raises(AttributeError, match="keep state in an output"):
        Node.PREPARE_CLASS_CLONE(None).execute()


def test_hidden_value_that_was_not_given_is_none(latest):
    clone = latest.io.ComfyNode.PREPARE_CLASS_CLONE({"hidden_inputs": {latest.io.Hidden.unique_id: "7"}})
    assert clone.hidden.unique_id == "7"
    assert clone.hidden.prompt is None
    assert latest.io.ComfyNode.hidden.unique_id is None


def test_unknown_keyword_is_refused_as_comfyui_does(latest):
    with pytest.raises(TypeError):
        latest.io.Int.Input("steps", maximum=3)


def test_two_inputs_of_one_name_are_refused(latest):
    class Node(latest.io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return latest.io.Schema(node_id="Node", inputs=[latest.io.Int.Input("a"), latest.io.Int.Input("a")])

    with pytest.raises(ValueError, match="more than one input is called a"):
        Node.GET_SCHEMA()


def test_custom_types_have_their_own_name(latest):
    kind = latest.io.Custom("MOVIEGEN_TASK")
    assert kind.Input("task").get_io_type() == "MOVIEGEN_TASK"
    assert kind.Output().io_type == "MOVIEGEN_TASK"
    assert latest.io.Image.Input("image").get_io_type() == "IMAGE"


def test_film_in_memory_and_film_in_a_buffer_agree(latest, tmp_path):
    images = torch.linspace(0, 1, 5).view(5, 1, 1, 1).expand(5, 32, 48, 3)
    parts = latest.Types.VideoComponents(images=images, frame_rate=Fraction(24000, 1001))
    video = latest.InputImpl.VideoFromComponents(parts)
    assert (video.get_dimensions(), video.get_frame_count()) == ((48, 32), 5)
    source = video.get_stream_source()
    assert isinstance(source, buffers.BytesIO)
    other = latest.InputImpl.VideoFromFile(source)
    assert (other.get_dimensions(), other.get_frame_count()) == ((48, 32), 5)
    assert other.get_frame_rate() == Fraction(24000, 1001)
    assert (other.get_components().images - images).abs().max() < 0.05


def test_film_in_memory_stops_being_written_when_the_run_is_stopped(latest, tmp_path):
    parts = latest.Types.VideoComponents(images=torch.zeros(40, 32, 48, 3), frame_rate=Fraction(24))
    stopped = Session()
    stopped.cancel.set()
    with active(stopped), pytest.raises(Cancelled):
        latest.InputImpl.VideoFromComponents(parts).save_to(tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_progress_outside_a_run_is_harmless(latest):
    latest.ComfyAPISync().execution.set_progress(1, 2)
