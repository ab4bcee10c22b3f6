from __future__ import annotations

import pytest

from airflow_provider_openai_run.run_page.markdown import MAX_CHARACTERS, render_markdown
from tests.browser.hostile import MARKDOWN_ATTACKS


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**bold** and `code`", "<p><strong>bold</strong> and <code>code</code></p>\n"),
        ("# One\n## Two\n###### Six", "<h3>One</h3>\n<h4>Two</h4>\n<h6>Six</h6>\n"),
        ("~~old~~", "<p><s>old</s></p>\n"),
        ("```python\nx < 1\n```", "<pre><code>x &lt; 1\n</code></pre>\n"),
        ("<b>&amp;</b>", "<p>&lt;b&gt;&amp;&lt;/b&gt;</p>\n"),
    ],
)
def test_markdown_becomes_html(text: str, html: str) -> None:
    assert render_markdown(text) == html


def test_a_table_has_no_inline_styles() -> None:
    html = render_markdown("| a | b |\n|--:|:-:|\n| 1 | 2 |")
    assert "<td>1</td>" in html
    assert "style" not in html


def test_a_link_to_the_web_opens_elsewhere_and_shows_where_it_leads() -> None:
    html = render_markdown("[docs](https://a.example/x?a=1&b=2)")
    assert 'href="https://a.example/x?a=1&amp;b=2"' in html
    assert 'rel="noopener noreferrer nofollow" target="_blank"' in html
    assert 'title="https://a.example/x?a=1&amp;b=2"' in html


def test_a_title_cannot_hide_where_a_link_leads() -> None:
    assert 'title="https://a.example"' in render_markdown('[docs](https://a.example "https://b.example")')


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "/relative", "mailto:a@b.example"]
)
def test_any_other_link_is_shown_as_text(url: str) -> None:
    html = render_markdown(f"[click]({url})")
    assert "<a" not in html
    assert url in html


def test_an_image_is_a_link_and_is_not_loaded() -> None:
    html = render_markdown('![a "chart" <b>](https://a.example/c.png)')
    assert "<img" not in html
    assert "a &quot;chart&quot; &lt;b&gt; (image)</a>" in html


@pytest.mark.parametrize("attack", MARKDOWN_ATTACKS)
def test_hostile_markdown_has_no_element_or_attribute_of_its_own(attack: str) -> None:
    html = render_markdown(attack).lower()
    for part in ("<script", "<img", "<style", "<iframe", "<svg", 'href="javascript', ' onerror="', "class="):
        assert part not in html


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "**a" * 20_000, "> " * 30_000, "|a" * 20_000 + "\n" + "|-" * 20_000]
)
def test_a_long_text_is_cut_before_it_is_rendered(text: str) -> None:
    assert len(render_markdown(text)) < 20 * MAX_CHARACTERS
