"""What the package can say to a person, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import airflow_provider_openai_run

PACKAGE = Path(airflow_provider_openai_run.__path__[0])

#: Those who use the sandbox have it before them; what the page shows is no error.
_ELSEWHERE = ("sandbox", "run_page")
_LOUD = frozenset({"warning", "error", "exception"})
_FEWEST_WORDS = 4


@cache
def literals() -> tuple[str, ...]:
    """All texts that stand in the source, but for docstrings, between the places where values go."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        found += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        ]
    return tuple(found)


def complaints() -> Iterator[tuple[str, str]]:
    """The longest text of each error that is raised, and of each warning that is logged, with its module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        if module.startswith(_ELSEWHERE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said = _said_by(node)
            texts = [
                part.strip(" .:;,'")
                for inner in (ast.walk(said) if said else ())
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
                for part in inner.value.replace("%d", "%s").replace("%.1f", "%s").split("%s")
            ]
            longest = max(texts, key=len, default="")
            if len(longest.split()) >= _FEWEST_WORDS:
                yield module, longest


def _said_by(node: ast.AST) -> ast.expr | None:
    if isinstance(node, ast.Raise):
        return node.exc
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.value if node.targets[0].id in {"msg", "message", "told"} else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LOUD:
        return node.args[0] if node.args else None
    return None
