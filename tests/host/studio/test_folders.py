"""Files that pages read and write: never outside the folders, never of a wrong kind."""

import asyncio
import io

import aiohttp
import numpy as np
import pytest
from PIL import Image


def png():
    """A picture's bytes."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


async def upload(client, name, content, **fields):
    """POST /api/upload/image -> status, reason or answer."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("image", content, filename=name)
    for key, value in fields.items():
        form.add_field(key, value)
    async with client.post("/api/upload/image", data=form) as answer:
        return answer.status, (await answer.json()) if answer.status == 200 else answer.reason


def test_part_of_a_film_is_served_for_seeking(visit, home):
    async def scenario(client):
        (home / "output/film.mp4").write_bytes(bytes(range(100)))
        part = await client.get("/api/view?filename=film.mp4", headers={"Range": "bytes=10-19"})
        return part.status, part.headers, await part.read()

    status, headers, content = visit(scenario)
    assert (status, content) == (206, bytes(range(10, 20)))
    assert headers["Content-Range"] == "bytes 10-19/100"
    assert headers["Content-Type"] == "video/mp4"


def test_picture_is_served_smaller_in_the_quality_that_is_asked_for(visit, home):
    async def scenario(client):
        (home / "output/a.png").write_bytes(png())
        answers = [await client.get(f"/api/view?filename=a.png&preview={one}") for one in ("webp", "webp;", "jpeg;75")]
        return [(answer.status, answer.content_type) for answer in answers]

    assert visit(scenario) == [(200, "image/webp"), (200, "image/webp"), (200, "image/jpeg")]


def test_picture_wider_than_a_webp_can_be_is_shrunk_to_it(visit, home):
    async def scenario(client):
        Image.new("RGB", (20_000, 4)).save(home / "output/wide.png")
        answer = await client.get("/api/view?filename=wide.png&preview=webp")
        return answer.status, await answer.read()

    status, content = visit(scenario)
    assert status == 200
    assert Image.open(io.BytesIO(content)).size == (16383, 3)


def test_preview_of_a_damaged_picture_is_refused(visit, home):
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(stream, "PNG")

    async def scenario(client):
        answers = []
        for kept in (0, 60, 900):
            (home / "output/a.png").write_bytes(stream.getvalue()[:kept])
            answers.append(await client.get("/api/view?filename=a.png&preview=webp"))
        return [(answer.status, await answer.text()) for answer in answers]

    assert visit(scenario) == [(415, "a.png cannot be read as a picture")] * 3


@pytest.mark.parametrize("quality", ["²", "high", "0", "101", "-5", "9" * 5000], ids=lambda text: text[:4])
def test_quality_that_no_picture_can_have_is_refused(visit, home, quality):
    async def scenario(client):
        (home / "output/a.png").write_bytes(png())
        answer = await client.get("/api/view", params={"filename": "a.png", "preview": f"webp;{quality}"})
        return answer.status, await answer.text()

    status, text = visit(scenario)
    assert status == 400
    assert "use 1 to 100, as in webp;90" in text


def test_page_among_the_results_is_downloaded_not_opened(visit, home):
    async def scenario(client):
        (home / "output/evil.html").write_text("<script>")
        answer = await client.get("/view?filename=evil.html")
        return answer.headers

    headers = visit(scenario)
    assert headers["Content-Disposition"] == "attachment"
    assert headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "query",
    [
        "filename=../../secret.txt",
        "filename=secret.txt&subfolder=../..",
        "filename=/etc/passwd",
        "filename=secret.txt&subfolder=/etc",
        "filename=link.txt",
        "filename=..%2F..%2Fsecret.txt&type=temp",
        "filename=../../secret.txt [input]",
        "filename=a%00b",
        "filename=x&type=somewhere",
    ],
)
def test_view_reads_nothing_outside_its_folders(visit, home, tmp_path, query):
    (tmp_path / "secret.txt").write_text("secret")

    async def scenario(client):
        (home / "output/link.txt").symlink_to(tmp_path / "secret.txt")
        answer = await client.get(f"/api/view?{query}")
        return answer.status, await answer.text()

    status, text = visit(scenario)
    assert status in (400, 403, 404)
    assert text != "secret"


def test_upload_keeps_both_of_two_files_with_one_name(visit, home):
    async def scenario(client):
        first = await upload(client, "a.png", png())
        again = await upload(client, "a.png", png())
        stream = io.BytesIO()
        Image.new("RGB", (4, 4), "red").save(stream, "PNG")
        other = await upload(client, "a.png", stream.getvalue())
        return first, again, other

    first, again, other = visit(scenario)
    assert first == again == (200, {"name": "a.png", "subfolder": "", "type": "input"})
    assert other[1]["name"] == "a (1).png"
    assert sorted(file.name for file in (home / "input").iterdir()) == ["a (1).png", "a.png"]


def test_upload_keeps_all_of_several_that_come_at_once(visit, home):
    def picture(grey):
        stream = io.BytesIO()
        Image.new("L", (4, 4), grey).save(stream, "PNG")
        return stream.getvalue()

    async def scenario(client):
        return await asyncio.gather(*(upload(client, "a.png", picture(grey)) for grey in range(6)))

    names = [said["name"] for _, said in visit(scenario)]
    assert len(set(names)) == 6
    shown = {name: Image.open(home / "input" / name).getpixel((0, 0)) for name in names}
    assert [shown[name] for name in names] == list(range(6))


async def upload_in_pieces(client, pieces):
    """The same as `upload`, of a form that arrives piece by piece."""

    async def arriving():
        for piece in pieces:
            yield piece
            await asyncio.sleep(0.1)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with client.post("/api/upload/image", data=arriving(), headers=headers) as answer:
        return answer.status, (await answer.json()) if answer.status == 200 else answer.reason


def test_field_that_arrives_in_pieces_is_read_whole(visit, home):
    field = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    first = field % (b"image", b'; filename="a.png"') + png() + b"\r\n" + field % (b"subfolder", b"")

    async def scenario(client):
        return await upload_in_pieces(client, [first + b"holi", b"days/2", b"026\r\n--x--\r\n"])

    assert visit(scenario) == (200, {"name": "a.png", "subfolder": "holidays/2026", "type": "input"})
    assert (home / "input/holidays/2026/a.png").read_bytes() == png()


def test_field_beyond_the_limit_is_refused_not_cut(visit, home):
    async def scenario(client):
        return await upload(client, "a.png", png(), subfolder="x" * 4097)

    assert visit(scenario) == (400, "the field 'subfolder' exceeds 4096 bytes; shorten it")
    assert list((home / "input").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.png", b"", "is empty"),
        ("broken.png", png()[:40], "is damaged"),
        ("broken.mp4", b"no film at all", "is damaged"),
        ("script.html", b"<script>", "choose a picture, film or sound"),
        ("program", b"MZ", "choose a picture, film or sound"),
    ],
    ids=["empty", "damaged picture", "damaged film", "page", "program"],
)
def test_upload_of_a_useless_file_is_refused_and_leaves_nothing(visit, home, name, content, reason):
    async def scenario(client):
        return await upload(client, name, content)

    status, said = visit(scenario)
    assert status == 400
    assert reason in said
    assert list((home / "input").iterdir()) == []
    assert not list(home.glob(".upload_*"))


def test_upload_beyond_the_limit_is_refused(visit, monkeypatch, home):
    monkeypatch.setattr("moviegen_host.studio.media.LARGEST_UPLOAD", 1000)

    async def scenario(client):
        return await upload(client, "big.png", b"x" * 5000)

    assert visit(scenario)[0] == 413
    assert list((home / "input").iterdir()) == []


def test_upload_that_announces_gigabytes_is_refused_before_it_is_sent(visit, home):
    async def scenario(client):
        reader, writer = await asyncio.open_connection(client.host, client.port)
        head = f"POST /api/upload/image HTTP/1.1\r\nHost: {client.host}:{client.port}\r\n"
        head += "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000000000\r\n\r\n"
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        return answer.decode()

    assert "413 the file exceeds 512 MiB" in visit(scenario)
    assert list((home / "input").iterdir()) == []


def test_picture_that_would_fill_the_memory_is_refused(visit, monkeypatch, home):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 30)

    async def scenario(client):
        return await upload(client, "bomb.png", png())  # 64 pixels, more than twice as many

    status, said = visit(scenario)
    assert (status, "is damaged" in said) == (400, True)
    assert list((home / "input").iterdir()) == []


def test_upload_cannot_leave_the_input_folder(visit, home, tmp_path):
    async def scenario(client):
        by_name = await upload(client, "../../out.png", png())
        by_folder = await upload(client, "in.png", png(), subfolder="../../..")
        into_results = await upload(client, "in.png", png(), type="output")
        return by_name, by_folder[0], into_results[0]

    by_name, by_folder, into_results = visit(scenario)
    assert by_name[1]["name"] == "out.png"
    assert (by_folder, into_results) == (403, 403)
    assert not (tmp_path / "out.png").exists()


def test_load_node_reads_nothing_outside_the_input_folder(visit, tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": str(tmp_path / "secret.png")}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }

    async def scenario(client):
        answer = await client.post("/api/prompt", json={"prompt": prompt})
        return answer.status, await answer.json()

    status, answer = visit(scenario)
    assert status == 400
    assert "outside the input folder" in answer["node_errors"]["1"]["errors"][0]["message"]


def test_settings_and_workflows_survive_a_restart(visit):
    async def first(client):
        await client.post("/api/settings/Comfy.Locale", json="de")
        await client.post("/api/settings", json={"Comfy.Grid": 3})
        saved = await client.post("/api/userdata/workflows%2Fmine.json?overwrite=false&full_info=true", data="{}")
        again = await client.post("/api/userdata/workflows%2Fmine.json?overwrite=false", data="{}")
        return (await saved.json())["path"], again.status

    async def second(client):
        settings = await (await client.get("/api/settings")).json()
        listed = await (await client.get("/api/userdata?dir=workflows&recurse=true&full_info=true")).json()
        moved = await client.post("/api/userdata/workflows%2Fmine.json/move/workflows%2Fb%2Fyours.json")
        content = await (await client.get("/api/userdata/workflows%2Fb%2Fyours.json")).text()
        gone = await client.delete("/api/userdata/workflows%2Fb%2Fyours.json")
        return settings, listed, moved.status, content, gone.status

    assert visit(first) == ("workflows/mine.json", 409)
    settings, listed, moved, content, gone = visit(second)
    assert (settings["Comfy.Locale"], settings["Comfy.Grid"], settings["Comfy.TutorialCompleted"]) == ("de", 3, True)
    assert [one["path"] for one in listed] == ["mine.json"]
    assert (moved, content, gone) == (200, "{}", 204)


def test_userdata_cannot_leave_its_folder(visit, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")

    async def scenario(client):
        name = "/api/userdata/..%2F..%2Fsecret.txt"
        answers = [await client.get(name), await client.post(name, data="x"), await client.delete(name)]
        answers.append(await client.get("/api/userdata?dir=..%2F.."))
        answers.append(await client.post("/api/userdata/x.json/move/..%2F..%2Fx.json"))
        return [answer.status for answer in answers]

    assert visit(scenario) == [403] * 5
    assert (tmp_path / "secret.txt").read_text() == "secret"


def test_link_to_nothing_is_left_out_of_the_list(visit, home):
    async def scenario(client):
        (home / "user/workflows/a.json").write_text("{}")
        (home / "user/workflows/.#a.json").symlink_to("user@machine.1234")
        answer = await client.get("/api/v2/userdata?path=workflows")
        return answer.status, await answer.json()

    status, listed = visit(scenario)
    assert (status, [one["name"] for one in listed]) == (200, ["a.json"])


def test_damaged_settings_do_not_keep_the_editor_from_starting_and_are_kept(visit, home, caplog):
    user, damages = home / "user", ['{"Comfy.Locale": "de",}', "[]", '{"a": "\udcff"}', "[" * 100_000]
    user.mkdir(parents=True)

    async def scenario(client):
        for number, damage in enumerate(damages):
            (user / "comfy.settings.json").write_bytes(damage.encode("utf-8", "surrogateescape"))
            if number:
                assert (await (await client.get("/api/settings")).json())["Comfy.TutorialCompleted"] is True
            assert (await client.post("/api/settings/Comfy.Grid", json=number)).status == 200
        return await (await client.get("/api/settings")).json()

    settings = visit(scenario)
    assert (settings["Comfy.TutorialCompleted"], settings["Comfy.Grid"]) == (True, 3)
    names = ["comfy.settings.damaged.json", *(f"comfy.settings.damaged ({number}).json" for number in (1, 2, 3))]
    assert [(user / name).read_text("utf-8", "surrogateescape") for name in names] == damages
    told = [line.getMessage() for line in caplog.records if "is damaged" in line.getMessage()]
    assert [line.rpartition(" called ")[2] for line in told] == [f"{name}; defaults are used" for name in names]


def test_settings_that_cannot_be_read_are_not_written_over(visit, home):
    (home / "user/comfy.settings.json").mkdir(parents=True)

    async def scenario(client):
        answers = [await client.get("/api/settings"), await client.post("/api/settings", json={"Comfy.Grid": 3})]
        return [(answer.status, await answer.text()) for answer in answers]

    for status, text in visit(scenario):
        assert status == 500
        assert "make it readable or move it away" in text


def test_settings_are_changed_as_settings_only(visit, home):
    async def scenario(client):
        await client.post("/api/settings/Comfy.Locale", json="de")
        await client.post("/api/userdata/x.json", data="{}")
        settings = "/api/userdata/comfy.settings.json"
        answers = [await client.post(settings, data="{}"), await client.delete(settings)]
        answers.append(await client.post("/api/userdata/x.json/move/comfy.settings.json"))
        answers.append(await client.post(f"{settings}/move/y.json"))
        locale = await (await client.get("/api/settings/Comfy.Locale")).json()
        kept = sorted(file.name for file in (home / "user").glob("*.json"))
        return [answer.status for answer in answers], locale, kept

    names = ["comfy.settings.json", "comfy.templates.json", "x.json"]
    assert visit(scenario) == ([403] * 4, "de", names)
