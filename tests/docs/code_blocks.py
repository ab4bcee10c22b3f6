"""The code on the pages, by page and language."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: All pages, by their paths relative to the repository.
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        *DOCS.rglob("*.md"),
        *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    ]
)
_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class CodeBlock:
    """
    A block of code on a page.

    :param page: the page's path, relative to the repository.
    :param number: its number on the page among the blocks of its language, from 1.
    :param language: what follows the backticks.
    :param code: its text.
    """

    page: str
    number: int
    language: str
    code: str

    @property
    def name(self) -> str:
        """The page and the number as a Python identifier."""
        return re.sub(
            r"\W", "_", f"{self.page.removeprefix('docs/').removesuffix('.md')}_{self.number}".lower()
        )

    def commands(self) -> list[list[str]]:
        """Return the command lines of a block of shell code, split into words."""
        lines = self.code.replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=True) for line in lines]
        return [line for line in words if line]


def code_blocks(*languages: str) -> list[CodeBlock]:
    """Return the blocks of all pages in some languages; of all languages if none is given."""
    return [
        block
        for page in PAGES
        for block in blocks_of((ROOT / page).read_text(encoding="utf-8"), page)
        if not languages or block.language in languages
    ]


def blocks_of(text: str, page: str = "page.md") -> list[CodeBlock]:
    """Return the blocks of a page's text."""
    found: list[CodeBlock] = []
    for language, code in _BLOCK.findall(text):
        number = 1 + sum(block.language == language for block in found)
        found.append(CodeBlock(page, number, language, code))
    return found
