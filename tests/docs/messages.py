"""The messages of the package, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import airflow_provider_openai_run

PACKAGE = Path(airflow_provider_openai_run.__path__[0])

#: Packages whose messages are not on the page: the sandbox is a test server, and a web page is not an error.
_EXCLUDED = ("sandbox", "run_page")
_LOG_METHODS = frozenset({"warning", "error", "exception"})
_MIN_WORDS = 4


@cache
def literals() -> tuple[str, ...]:
    """Return all strings in the source except docstrings, split where values are inserted."""
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


def messages() -> Iterator[tuple[str, str]]:
    """Yield the module and the longest text of each message of an error or a warning."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        if not module.startswith(_EXCLUDED):
            for text in messages_in(path.read_text(encoding="utf-8")):
                yield module, text


def messages_in(source: str) -> Iterator[str]:
    """
    Yield the longest text of each message in a source.

    A message is what is raised or logged, or the first argument of an error's constructor. If it has no text
    of its own, each value that the same function assigns to its variables is a message.
    """
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            expressions = [one for node in _walk(function) for one in _message_expressions(node)]
            for expression in [*expressions, *_assigned(function, expressions)]:
                if text := _longest_text(expression):
                    yield text


def _walk(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of the functions in it."""
    for node in ast.iter_child_nodes(function):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _walk(node)


def _message_expressions(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Raise(exc=ast.expr() as raised):
            yield raised
            if isinstance(raised, ast.Call) and raised.args:
                yield raised.args[0]
        case ast.Call(func=ast.Attribute(attr=method), args=[message, *_]) if method in _LOG_METHODS:
            yield message
        case ast.Call(func=constructor, args=[message, *_]) if _makes_errors(constructor):
            yield message


def _makes_errors(function: ast.expr) -> bool:
    """Return whether a function is an error's class, or an expression such as ``type(error)``."""
    return isinstance(function, ast.Call) or ast.unparse(function).endswith("Error")


def _assigned(function: ast.AST, expressions: list[ast.expr]) -> Iterator[ast.expr]:
    """Yield the values that a function assigns to the variables of strings."""
    names = {
        node.id
        for expression in expressions
        if isinstance(expression, ast.Name | ast.JoinedStr) and not _longest_text(expression)
        for node in ast.walk(expression)
        if isinstance(node, ast.Name)
    }
    for node in _walk(function):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ) if name in names:
                yield value


def _longest_text(expression: ast.expr) -> str:
    """Return the longest text between the values in a string; an empty one if it has too few words."""
    texts = [
        part.strip(" .:;,'")
        for node in ast.walk(expression)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for part in node.value.replace("%d", "%s").replace("%.1f", "%s").split("%s")
    ]
    longest = max(texts, key=len, default="")
    return longest if len(longest.split()) >= _MIN_WORDS else ""
