"""The command: files, exit codes, one line for each problem; and the stock nodes on real files."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import av
import numpy as np
import pytest
import torch
from films import packets_of
from PIL import Image

from moviegen_core import cli
from moviegen_core.errors import MediaError
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.sound import read_sound, write_sound
from moviegen_host.__main__ import main
from moviegen_host.errors import HostError
from moviegen_host.run import run
from moviegen_host.session import Session, active
from moviegen_host.stock_nodes import LoadImage


@pytest.fixture
def saved(tmp_path):
    """Writes a workflow into a file."""

    def save(workflow):
        path = tmp_path / "flow.json"
        path.write_text(json.dumps(workflow))
        return path

    return save


def test_command_prints_the_files_it_wrote(saved, pack, tmp_path, api, capsys):
    path = saved(api(n1=("TestNumber", {"seed": 3}), n2=("TestSave", {"value": ["1", 0]})))
    code = main([str(path), "--pack", str(pack), "--output", str(tmp_path / "out"), "--set", "seed=9"])
    assert code == 0
    assert capsys.readouterr().out == f"{tmp_path}/out/value_00001.txt\n"
    assert (tmp_path / "out" / "value_00001.txt").read_text() == "9"


def test_every_node_tells_its_steps_and_the_files_alone_go_to_standard_output(saved, pack, tmp_path, api, capsys):
    nodes = {
        "n1": ("TestSteps", {"steps": 2}),
        "n2": ("TestSteps", {"steps": ["1", 0]}),
        "n3": ("TestSave", {"value": ["2", 0]}),
    }
    assert main([str(saved(api(**nodes))), "--pack", str(pack), "--output", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/out/value_00001.txt\n"
    assert [line.split(",")[0] for line in err.splitlines()] == [
        "moviegen: Steps: step 1/2",
        "moviegen: Steps: step 2/2",
    ] * 2
    assert all(line.endswith(" s left") for line in err.splitlines()[1::2])


def test_steps_of_a_long_node_are_told_ten_times(saved, pack, tmp_path, api, capsys):
    path = saved(api(n1=("TestSteps", {"steps": 400}), n2=("TestSave", {"value": ["1", 0]})))
    assert main([str(path), "--pack", str(pack), "--output", str(tmp_path / "out")]) == 0
    steps = [line.split()[3].rstrip(",") for line in capsys.readouterr().err.splitlines()]
    assert steps == [f"{step}/400" for step in range(40, 401, 40)]


def test_steps_are_one_line_on_a_terminal_and_what_follows_has_its_own(saved, pack, tmp_path, api, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    path = saved(api(n1=("TestSteps", {"steps": 3}), n2=("TestStepsAsync", {}), n3=("TestSave", {"value": ["1", 0]})))
    workflow = json.loads(path.read_text())
    workflow["4"] = {"class_type": "TestSave", "inputs": {"value": ["2", 0]}, "_meta": {"title": "Save"}}
    path.write_text(json.dumps(workflow))
    assert main([str(path), "--pack", str(pack), "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().err.split("\n")
    assert [line.count("\r") for line in lines] == [3, 1, 0]
    assert lines[0].split("\r")[-1].startswith("Steps: step 3/3, ")
    assert lines[1].strip() == "StepsAsync: step 1/2"


def test_moviegen_run_takes_a_workflow_from_its_folder_to_files(saved, tmp_path, api, capsys):
    Image.new("RGB", (6, 4), "red").save(tmp_path / "in.png")
    path = saved(api(n1=("LoadImage", {"image": "in.png"}), n2=("SaveImage", {"images": ["1", 0]})))
    assert cli.main(["run", str(path), "--list-settings"]) == 0
    assert "SaveImage.filename_prefix = 'ComfyUI'" in capsys.readouterr().out.splitlines()
    asked = ["--set", "filename_prefix=red", "--output", str(tmp_path / "out")]
    assert cli.main(["run", str(path), *asked]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out/red_00001_.png\n"
    assert cli.main(["run", str(path), *asked, "--input", str(tmp_path / "elsewhere")]) == 2
    assert f"there is no picture {tmp_path}/elsewhere/in.png" in capsys.readouterr().err


def test_command_answers_2_and_one_line_a_problem(saved, pack, tmp_path, api, capsys):
    path = saved(api(n1=("TestNumber", {"seed": -3}), n2=("TestSave", {"value": ["1", 0]}), n3=("TestSave", {})))
    assert main([str(path), "--pack", str(pack), "--output", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("moviegen: ") for line in lines)
    assert not (tmp_path / "out").exists()


def test_broken_film_given_as_a_workflow_is_told_in_one_line(pack, tmp_path, capsys):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no film")
    assert main([str(path), "--pack", str(pack)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("moviegen: ")
    assert "broken.mp4 cannot be read" in line


def test_command_lists_what_can_be_set(saved, pack, api, capsys):
    path = saved(api(n1=("TestNumber", {"seed": 3}), n2=("TestSave", {"value": ["1", 0]})))
    assert main([str(path), "--pack", str(pack), "--list-settings"]) == 0
    assert capsys.readouterr().out.splitlines() == ["Number.seed = 3", "Number.scale = 1.0", "Save.name = 'value'"]


def test_folder_without_a_pack_is_told(saved, tmp_path, api, capsys):
    assert main([str(saved(api(n1=("TestNumber", {})))), "--pack", str(tmp_path)]) == 2
    assert "give the folder of a pack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_library", "No module named 'no_such_library'); install what is missing"),
        ("import folder_paths", "or use the pack in ComfyUI if that is a part of it"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("def comfy_entrypoint():\n    return 1 / 0", "division by zero); repair the pack or leave it out"),
        ("NODE_CLASS_MAPPINGS = [1]", "repair the pack or leave it out"),
    ],
)
def test_pack_that_cannot_be_loaded_is_told_in_one_line(tmp_path, capsys, code, message):
    (tmp_path / "__init__.py").write_text(code)
    for _ in range(2):
        assert main(["flow.json", "--pack", str(tmp_path)]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"moviegen: {tmp_path} cannot be loaded (")
        assert message in line


def test_where_an_error_happened_is_told_only_when_it_is_asked_for(pack, tmp_path, capsys, monkeypatch):
    arguments = [str(tmp_path / "flow.json"), "--pack", str(pack)]
    sentence = f"moviegen: {tmp_path}/flow.json does not exist; check the name"
    monkeypatch.delenv("MOVIEGEN_DEBUG", raising=False)
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"{sentence}\n"
    monkeypatch.setenv("MOVIEGEN_DEBUG", "1")
    assert main(arguments) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == sentence
    assert "Traceback (most recent call last):" in rest


def test_file_names_count_up_and_stay_in_the_output_folder(pack, tmp_path, api):
    def workflow(name):
        return api(n1=("TestNumber", {"seed": 3}), n2=("TestSave", {"value": ["1", 0], "name": name}))

    for _ in range(2):
        run(workflow("sub/%width%x"), output=tmp_path, packs=[pack])
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["0x_00001.txt", "0x_00002.txt"]
    for name in ("../evil", "/evil", ""):
        with pytest.raises(HostError, match="leaves the output folder"):
            run(workflow(name), output=tmp_path, packs=[pack])


def test_file_names_are_not_given_twice_while_they_are_written(tmp_path):
    first, second = Session(tmp_path), Session(tmp_path)
    with first.new_files("a", ".mp4") as [film], second.new_files("a", ".mp4") as [other]:
        assert (film.name, other.name) == ("a_00001.mp4", "a_00002.mp4")
        other.touch()

    def next_name():
        with second.new_files("a", ".mp4") as [path]:
            return path.name

    with ThreadPoolExecutor(1) as pool:
        with first.new_files("a", ".png", count=3) as pictures:
            assert [picture.name for picture in pictures] == ["a_00003.png", "a_00004.png", "a_00005.png"]
            waiting = pool.submit(next_name)
            time.sleep(0.1)
            assert not waiting.done()
            pictures[2].touch()
        assert waiting.result() == "a_00006.mp4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_00002.mp4", "a_00005.png"]


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("../x", "leaves the output folder; use a plain name"),
        ("taken/x", "cannot save: {0}/taken is no writable folder; choose another"),
    ],
)
def test_name_that_cannot_be_written_is_told_before_the_work(film, pack, tmp_path, api, prefix, message):
    (tmp_path / "taken").write_text("a file")
    video = {"video": ["1", 0], "filename_prefix": prefix, "format": "auto", "codec": "auto"}
    workflow = api(n1=("LoadVideo", {"file": film.name}), n2=("SaveVideo", video))
    with pytest.raises(HostError) as raised:
        run(workflow, output=tmp_path, input_directory=tmp_path, packs=[pack])
    [problem] = raised.value.problems
    assert problem.endswith(message.format(tmp_path))


@pytest.fixture
def film(tmp_path):
    """A film with sound."""
    pixels = torch.linspace(-1, 1, 8).view(1, 8, 1, 1).expand(3, 8, 32, 48)
    waveform = torch.zeros(1, 24000)
    return write_movie(pixels, tmp_path / "in.mp4", 16, waveform=waveform, sample_rate=48000).path


def test_film_goes_through_the_stock_nodes_and_carries_its_workflow(film, pack, tmp_path, node, ui):
    nodes = [
        node(1, "LoadVideo", outputs=["VIDEO"], values=["in.mp4", "image"]),
        node(2, "GetVideoComponents", [("video", "VIDEO", 1)], ["IMAGE", "AUDIO", "FLOAT", "INT", "COMBO"]),
        node(
            3,
            "CreateVideo",
            [("images", "IMAGE", 2), ("audio", "AUDIO", 3), ("fps", "FLOAT", 4, "widget")],
            ["VIDEO"],
            [30.0, 8],
        ),
        node(4, "SaveVideo", [("video", "VIDEO", 5)], ["VIDEO"], ["video/made", "auto", "auto"]),
    ]
    links = [
        (1, 1, 0, 2, 0, "VIDEO"),
        (2, 2, 0, 3, 0, "IMAGE"),
        (3, 2, 1, 3, 1, "AUDIO"),
        (4, 2, 2, 3, 2, "FLOAT"),
        (5, 3, 0, 4, 0, "VIDEO"),
    ]
    workflow = ui(nodes, links)
    [path] = run(
        workflow, {"filename_prefix": "video/other"}, tmp_path / "out", input_directory=tmp_path, packs=[pack]
    ).written
    assert path == tmp_path / "out" / "video" / "other_00001_.mp4"
    movie = read_movie(path)
    assert (movie.fps, movie.num_frames, movie.waveform.shape) == (16, 8, (1, 24000))
    # What was set is in the workflow that the film carries, so that it can be dragged back into a graph.
    workflow["nodes"][3]["widgets_values"][0] = "video/other"
    assert movie.metadata["workflow"] == workflow
    assert movie.metadata["prompt"]["3"]["inputs"]["images"] == ["2", 0]
    again = run(path, None, tmp_path / "again", input_directory=tmp_path, packs=[pack])
    assert len(again.written) == 1


@pytest.mark.parametrize(
    ("inputs", "ending"),
    [
        ({"format": "mp4", "codec": "h264"}, "mp4"),
        ({"format": "mkv", "format.codec": "auto"}, "mkv"),
        (
            {
                "format": "mp4",
                "format.codec": "h264",
                "format.codec.encoding": "re-encode",
                "format.codec.encoding.crf": 40,
            },
            "mp4",
        ),
    ],
)
def test_film_is_saved_in_the_asked_format(film, pack, tmp_path, api, inputs, ending):
    workflow = api(n1=("LoadVideo", {"file": "in.mp4"}), n2=("SaveVideo", {"video": ["1", 0], **inputs}))
    [path] = run(workflow, output=tmp_path / "out", input_directory=tmp_path, packs=[pack]).written
    assert path.suffix == f".{ending}"
    assert read_movie(path).pixels().shape == (3, 8, 32, 48)


@pytest.mark.parametrize(("encoder", "name"), [("mpeg4", "in.avi"), ("libvpx-vp9", "in.mkv")])
def test_film_of_another_codec_is_encoded_anew_when_a_codec_is_asked_for(pack, tmp_path, api, encoder, name):
    with av.open(str(tmp_path / name), mode="w") as container:
        stream = container.add_stream(encoder, rate=16)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for level in range(40, 200, 20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    asked = {"format": "mp4", "format.codec": "h264", "format.codec.encoding": "auto"}
    workflow = api(n1=("LoadVideo", {"file": name}), n2=("SaveVideo", {"video": ["1", 0], **asked}))
    [path] = run(workflow, output=tmp_path / "out", input_directory=tmp_path, packs=[pack]).written
    assert packets_of(path).codec == "h264"
    levels = read_movie(path).pixels().add(1).mul(127.5).mean((0, 2, 3))
    assert (levels - torch.arange(40, 200, 20)).abs().max() < 4


@pytest.mark.parametrize("codec", ["auto", "h264"])
def test_film_of_the_codec_that_is_asked_for_is_copied_as_it_is(film, pack, tmp_path, api, codec):
    asked = {"format": "mkv", "format.codec": codec}
    workflow = api(n1=("LoadVideo", {"file": "in.mp4"}), n2=("SaveVideo", {"video": ["1", 0], **asked}))
    [path] = run(workflow, output=tmp_path / "out", input_directory=tmp_path, packs=[pack]).written
    made, given = packets_of(path), packets_of(film)
    assert made.codec == given.codec
    assert [one.content for one in made.packets] == [one.content for one in given.packets]


def test_format_that_needs_comfyui_is_told(film, pack, tmp_path, api):
    workflow = api(n1=("LoadVideo", {"file": "in.mp4"}), n2=("SaveVideo", {"video": ["1", 0], "format": "webm"}))
    with pytest.raises(HostError, match="choose the format mp4 or mkv"):
        run(workflow, output=tmp_path / "out", input_directory=tmp_path, packs=[pack])
    assert not list((tmp_path / "out").rglob("*.*"))


def test_pictures_are_loaded_with_their_mask_and_saved_with_their_workflow(pack, tmp_path, api):
    picture = Image.new("RGBA", (6, 4), (255, 0, 128, 255))
    picture.putpixel((0, 0), (1, 2, 3, 0))
    picture.save(tmp_path / "in.png")
    workflow = api(
        n1=("LoadImage", {"image": "in.png"}),
        n2=("SaveImage", {"images": ["1", 0]}),
        n3=("PreviewImage", {"images": ["1", 0]}),
    )
    result = run(workflow, output=tmp_path / "out", input_directory=tmp_path, packs=[pack])
    [path] = result.written
    with Image.open(path) as saved:
        assert saved.size == (6, 4)
        assert saved.getpixel((1, 1)) == (255, 0, 128)
        assert json.loads(saved.info["prompt"])["1"]["class_type"] == "LoadImage"
    assert result.report.shown["2"]["images"] == [{"filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output"}]
    assert result.report.shown["3"]["images"][0]["type"] == "temp"


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_of_16_bits_keeps_its_levels(tmp_path, ending):
    ramp = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save(tmp_path / f"in.{ending}")
    with active(Session(input_directory=tmp_path)):
        pixels, mask = LoadImage.execute(f"in.{ending}").args
    levels = torch.arange(1 << 16).div((1 << 16) - 1).view(1, 256, 256, 1)
    assert torch.equal(pixels, levels.expand(-1, -1, -1, 3))
    assert not mask.any()


def test_transparent_level_of_a_grey_picture_of_16_bits_is_in_its_mask(tmp_path):
    picture = Image.fromarray(np.array([[700, 701], [40_000, 700]], np.uint16))
    picture.save(tmp_path / "in.png", transparency=700)
    with active(Session(input_directory=tmp_path)):
        _, mask = LoadImage.execute("in.png").args
    assert mask.tolist() == [[[1, 0], [0, 1]]]


@pytest.mark.parametrize("kept", [0, 5, 60, 900], ids=["empty", "no picture", "damaged", "cut off"])
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "tif"])
def test_damaged_picture_is_told_in_one_sentence(pack, tmp_path, api, kept, ending):
    picture = Image.effect_noise((64, 64), 90).convert("RGB")
    picture.save(tmp_path / f"in.{ending}")
    (tmp_path / f"in.{ending}").write_bytes((tmp_path / f"in.{ending}").read_bytes()[:kept])
    workflow = api(n1=("LoadImage", {"image": f"in.{ending}"}), n2=("SaveImage", {"images": ["1", 0]}))
    with pytest.raises(HostError) as caught:
        run(workflow, output=tmp_path / "out", input_directory=tmp_path, packs=[pack])
    assert str(caught.value) == (
        f'"LoadImage" (node 1) failed: {tmp_path}/in.{ending} cannot be read as a picture; '
        "it may be empty, damaged or cut off: try another file"
    )


def test_picture_of_too_many_pixels_is_told(tmp_path, monkeypatch):
    Image.new("L", (8, 8)).save(tmp_path / "in.png")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 30)
    with active(Session(input_directory=tmp_path)), pytest.raises(MediaError, match="more than 60 pixels; make it sma"):
        LoadImage.execute("in.png")


def test_sounds_are_loaded_and_saved(pack, tmp_path, api):
    write_sound(torch.linspace(-0.5, 0.5, 8000).repeat(2, 1), 16000, tmp_path / "in.wav")
    workflow = api(
        n1=("LoadAudio", {"audio": "in.wav"}),
        n2=("SaveAudio", {"audio": ["1", 0]}),
        n3=("PreviewAudio", {"audio": ["1", 0]}),
    )
    [path] = run(workflow, output=tmp_path / "out", input_directory=tmp_path, packs=[pack]).written
    assert path == tmp_path / "out" / "audio" / "ComfyUI_00001.flac"
    samples, rate = read_sound(path)
    assert (samples.shape, rate) == ((2, 8000), 16000)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_interrupt_ends_with_130_and_leaves_no_file(saved, pack, tmp_path, api):
    path = saved(api(n1=("TestWait", {}), n2=("TestSave", {"value": ["1", 0]})))
    command = [sys.executable, "-m", "moviegen_host", str(path), "--pack", str(pack), "--output", str(tmp_path / "out")]
    environment = {**os.environ, "TEST_WAIT": str(tmp_path / "waiting")}
    # A shell that runs the tests in the background has its children ignore Ctrl-C.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True, preexec_fn=hear)
    try:
        while not (tmp_path / "waiting").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert message == "moviegen: stopped; no unfinished file was left\n"
    assert not (tmp_path / "out").exists()
