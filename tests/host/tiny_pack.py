"""Nodes that are easy to reason about; CALLS holds what ran, in order."""

import os
import sys
import time
from pathlib import Path

from comfy_api.latest import ComfyAPI, ComfyAPISync, ComfyExtension, io, ui

CALLS = []


def schema(node_id, inputs=(), outputs=(), **more):
    return io.Schema(node_id=node_id, display_name=node_id[4:], inputs=list(inputs), outputs=list(outputs), **more)


class Number(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        seed = io.Int.Input("seed", default=1, min=0, max=2**64 - 1, control_after_generate=True)
        return schema("TestNumber", [seed, io.Float.Input("scale", default=1.0, min=0.0, max=10.0)], [io.Int.Output()])

    @classmethod
    def execute(cls, seed, scale):
        CALLS.append(("Number", seed))
        return io.NodeOutput(int(seed * scale))


class Add(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        numbers = [io.Int.Input("a", default=0), io.Int.Input("b", optional=True, default=0)]
        return schema("TestAdd", numbers, [io.Int.Output("sum")])

    @classmethod
    async def execute(cls, a, b=0):
        CALLS.append(("Add", a, b))
        return (a + b,)


class Text(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        words = io.String.Input("text", multiline=True, default="")
        style = io.Combo.Input("style", options=["plain", "loud"], default="plain")
        return schema("TestText", [words, style], [io.String.Output()])

    @classmethod
    def execute(cls, text, style):
        return io.NodeOutput(text.upper() if style == "loud" else text)


class Save(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        value = io.MultiType.Input("value", [io.Int, io.String])
        return schema("TestSave", [value, io.String.Input("name", default="value")], is_output_node=True)

    @classmethod
    def execute(cls, value, name):
        from moviegen_host import session

        CALLS.append(("Save", value))
        with session.current().new_files(name, ".txt") as [path]:
            path.write_text(str(value))
        return io.NodeOutput(ui=ui.SavedImages([ui.saved(path)]))


class Fail(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema("TestFail", [io.Int.Input("a")], [io.Int.Output()])

    @classmethod
    def execute(cls, a):
        raise KeyError("inner")


class Exit(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema("TestExit", [io.Int.Input("code")], [io.Int.Output()])

    @classmethod
    def validate_inputs(cls, code):
        return 1 // code > -1 if code < 2 else True

    @classmethod
    def execute(cls, code):
        sys.exit(code)


class Steps(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema("TestSteps", [io.Int.Input("steps", default=4)], [io.Int.Output()])

    @classmethod
    def execute(cls, steps):
        for step in range(steps):
            CALLS.append(("Steps", step))
            ComfyAPISync().execution.set_progress(step + 1, steps, preview_image="picture")
        return io.NodeOutput(steps)


class StepsAsync(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema("TestStepsAsync", [], [io.Int.Output()])

    @classmethod
    async def execute(cls):
        await ComfyAPI().execution.set_progress(1, 2)
        return io.NodeOutput(1)


class Pair(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            "TestPair", [io.Int.Input("low", default=0, max=5), io.Int.Input("high", default=1)], [io.Int.Output()]
        )

    @classmethod
    def validate_inputs(cls, low, high):
        return True if low is None or low < high else f"low {low} must be below high {high}"

    @classmethod
    def execute(cls, low, high):
        return io.NodeOutput(high - low)


class Stamp(io.ComfyNode):
    stamp = 0

    @classmethod
    def define_schema(cls):
        return schema("TestStamp", [], [io.Int.Output()])

    @classmethod
    def fingerprint_inputs(cls):
        return STAMP[0]

    @classmethod
    def execute(cls):
        CALLS.append(("Stamp", STAMP[0]))
        return io.NodeOutput(7)


STAMP = [1]


class Numbers(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema("TestNumbers", [io.Int.Input("count", default=3)], [io.Int.Output(is_output_list=True)])

    @classmethod
    def execute(cls, count):
        return io.NodeOutput(list(range(count)))


class Sum(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            "TestSum", [io.Int.Input("a"), io.Int.Input("times", default=1)], [io.Int.Output()], is_input_list=True
        )

    @classmethod
    def execute(cls, a, times):
        return io.NodeOutput(sum(a) * times[0])


class Switch(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        sides = [io.Int.Input("yes", lazy=True), io.Int.Input("no", lazy=True)]
        return schema("TestSwitch", [io.Boolean.Input("which", default=True), *sides], [io.Int.Output()])

    @classmethod
    def check_lazy_status(cls, which, yes, no):
        return ["yes" if which else "no"]

    @classmethod
    def execute(cls, which, yes, no):
        return io.NodeOutput(yes if which else no)


class Grow(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        template = io.Autogrow.TemplatePrefix(io.Int.Input("item"), prefix="item", min=1, max=4)
        return schema("TestGrow", [io.Autogrow.Input("items", template=template)], [io.String.Output()])

    @classmethod
    def execute(cls, items):
        return io.NodeOutput(repr(items))


class Format(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        crf = io.Int.Input("crf", default=20, min=0, max=51)
        options = [io.DynamicCombo.Option("gif", []), io.DynamicCombo.Option("mp4", [crf])]
        return schema(
            "TestFormat",
            [io.DynamicCombo.Input("format", options=options), io.Int.Input("last", default=5)],
            [io.String.Output()],
        )

    @classmethod
    def execute(cls, format, last):
        return io.NodeOutput(f"{format} {last}")


class Hidden(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema("TestHidden", [], [io.String.Output()], hidden=[io.Hidden.unique_id, io.Hidden.prompt])

    @classmethod
    def execute(cls):
        return io.NodeOutput(f"{cls.hidden.unique_id} {sorted(cls.hidden.prompt)} {cls.hidden.extra_pnginfo}")


class Block(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema("TestBlock", [], [io.Int.Output()])

    @classmethod
    def execute(cls):
        return io.NodeOutput(None, block_execution="nothing to do")


class Same(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        template = io.MatchType.Template("any")
        return schema(
            "TestSame", [io.MatchType.Input("it", template=template)], [io.MatchType.Output(template=template)]
        )

    @classmethod
    def execute(cls, it):
        return io.NodeOutput(it)


class Wait(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema("TestWait", [], [io.Int.Output()])

    @classmethod
    def execute(cls):
        Path(os.environ["TEST_WAIT"]).touch()
        time.sleep(60)
        return io.NodeOutput(1)


class Pack(ComfyExtension):
    async def on_load(self):
        renamed = [{"new_id": "a", "old_id": "left"}, {"new_id": "b", "old_id": "right"}]
        rule = io.NodeReplace("TestAdd", "OldPlus", old_widget_ids=["unused", "right"], input_mapping=renamed)
        await ComfyAPI().node_replacement.register(rule)

    async def get_node_list(self):
        return [
            Number,
            Add,
            Text,
            Save,
            Fail,
            Exit,
            Steps,
            StepsAsync,
            Pair,
            Stamp,
            Numbers,
            Sum,
            Switch,
            Grow,
            Format,
            Hidden,
            Block,
            Same,
            Wait,
        ]


async def comfy_entrypoint():
    return Pack()
