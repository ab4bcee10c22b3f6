"""Markdown of a model as HTML that is safe to show: no raw HTML, no images, links to the web only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML

if TYPE_CHECKING:
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

#: Longer texts are cut before they are rendered, which takes a second for a hostile text of this length.
MAX_CHARACTERS = 20_000

#: The page's own headings have the levels 1 and 2.
_FIRST_HEADING_LEVEL = 3
_LAST_HEADING_LEVEL = 6


def render_markdown(text: str) -> str:
    """
    Return the HTML of a Markdown text, cut to :data:`MAX_CHARACTERS`.

    :param text: any text.
    """
    html: str = _parser().render(text[:MAX_CHARACTERS])
    return html


class _Renderer(RendererHTML):
    """Markdown as HTML, for a page that allows no inline styles and loads nothing."""

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:  # noqa: ANN401
        """Return a link in place of an image, whose host would learn who looks at the page."""
        url = str(tokens[idx].attrs.get("src", ""))
        label = self.renderInlineAsText(tokens[idx].children, options, env) or url
        link = f'<a href="{escape(url)}" rel="noopener noreferrer nofollow" target="_blank">'
        return f"{link}{escape(label)} (image)</a>"


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer)
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.push("page", lambda state: _adapt(state.tokens))
    # Any other scheme, or none, is shown as the text it is.
    parser.validateLink = _is_web_link  # type: ignore[method-assign]
    return parser


def _is_web_link(url: str) -> bool:
    return url.lower().startswith(("https://", "http://"))


def _adapt(tokens: list[Token]) -> None:
    """Fit headings, links and tables into the page."""
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            level = int(token.tag[1]) + _FIRST_HEADING_LEVEL - 1
            token.tag = f"h{min(level, _LAST_HEADING_LEVEL)}"
        elif token.type == "link_open":
            token.attrs |= {"rel": "noopener noreferrer nofollow", "target": "_blank"}
            token.attrs["title"] = token.attrs["href"]
        elif token.type in {"th_open", "td_open"}:
            # The alignment is an inline style, which the Content-Security-Policy forbids.
            token.attrs.pop("style", None)
        elif token.type == "fence":
            # Its first word would become a class.
            token.info = ""
        if token.children:
            _adapt(token.children)
