"""What a public function raises stands in its docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "moviegen_core"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(node: ast.AST | None) -> str | None:
    """The last part of a name or of a call of one: `errors.ShapeError("...")` gives ShapeError."""
    if isinstance(node, ast.Call):
        return name_of(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def error_names(trees: list[ast.Module]) -> set[str]:
    """MovieGenError and all classes that are made of it."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    known, before = {"MovieGenError"}, 0
    while len(known) > before:
        before = len(known)
        known |= {node.name for node in classes if known & {name_of(base) for base in node.bases}}
    return known


def public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions of a module and methods of its classes whose names begin with no underscore."""
    for node in tree.body:
        if isinstance(node, (*DEFINITIONS, ast.ClassDef)) and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield from public(node)
            else:
                yield node


def raised(node: ast.AST) -> Iterator[str]:
    """Names of what the body of a function raises, without functions and classes inside of it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and (name := name_of(child.exc)):
            yield name
        if not isinstance(child, (*DEFINITIONS, ast.ClassDef, ast.Lambda)):
            yield from raised(child)


def unnamed(files: dict[str, str]) -> list[str]:
    """Every error that a public function raises and its docstring does not name, as "file:line function: error"."""
    trees = {name: ast.parse(text, name) for name, text in files.items()}
    known = error_names(list(trees.values()))
    return [
        f"{name}:{function.lineno} {function.name}: {error}"
        for name, tree in trees.items()
        for function in public(tree)
        for error in sorted(known.intersection(raised(function)))
        if error not in (ast.get_docstring(function) or "")
    ]


def test_public_functions_name_the_errors_that_they_raise():
    files = {path.relative_to(CORE).as_posix(): path.read_text(encoding="utf-8") for path in CORE.rglob("*.py")}
    assert sorted(unnamed(files)) == []


ERRORS = "class MovieGenError(Exception): ...\nclass ShapeError(MovieGenError): ...\n"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f():\n    'No word.'\n    raise ShapeError('x')", ["f"]),
        ("def f():\n    raise errors.ShapeError", ["f"]),
        ("class A:\n    async def f(self):\n        if self:\n            raise ShapeError('x')", ["f"]),
        ("def f():\n    'ShapeError for all.'\n    raise ShapeError('x')", []),
        ("def f():\n    'The inner one raises.'\n    def g():\n        raise ShapeError('x')\n    return g", []),
        ("def _f():\n    raise ShapeError('x')\nclass _A:\n    def f(self):\n        raise ShapeError('x')", []),
        ("def f():\n    'Not ours.'\n    raise ValueError('x')", []),
    ],
)
def test_unnamed_error_is_found_where_the_function_itself_raises_it(code, found):
    assert [line.split()[1] for line in unnamed({"a.py": code, "errors.py": ERRORS})] == [f"{name}:" for name in found]
