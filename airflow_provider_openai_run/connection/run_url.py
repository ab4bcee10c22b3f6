"""The address of a run's page in the vendor's console.

=========================== =========================================================================
the connection's endpoint   the page
=========================== =========================================================================
``api.openai.com``          of a response: https://platform.openai.com/logs/<id>; threads and their runs
                            have had no page since 2026-08-26
Azure                       https://ai.azure.com/, the portal's front door: a page of a run there is named
                            by subscription, resource group and tenant, which no endpoint tells
any other                   none
with ``run_link_template``  what the template says, whatever the endpoint
=========================== =========================================================================

The template is an extra of the connection, such as
``"https://console.example/runs/{run_id}?thread={thread_id}"``; ``{thread_id}`` is empty for a response.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow_provider_openai_run.api.endpoints import azure_cloud, is_openai
from airflow_provider_openai_run.api.registry import api_of

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.run import Json
    from airflow_provider_openai_run.types.run_ref import RunRef

_FOUNDRY = {"azure.com": "https://ai.azure.com/", "azure.us": "https://ai.azure.us/"}
_NAMES = frozenset({"run_id", "thread_id"})


def run_url(ref: RunRef, base_url: str, template: str | None = None) -> str | None:
    """
    Give the page of a run; None for servers that have none we know.

    :param ref: the run.
    :param base_url: where the API is.
    :param template: of the connection, as :func:`checked_template` gave it.
    """
    run_id, thread_id = (quote(value or "", safe="") for value in (ref.run_id, ref.parent_id))
    if template is not None:
        return template.format(run_id=run_id, thread_id=thread_id)
    if is_openai(base_url):
        return api_of(ref).console_url(ref)
    return _FOUNDRY.get(azure_cloud(base_url) or "")


def checked_template(value: Json) -> str | None:
    """
    Take a ``run_link_template``.

    :param value: what the connection's extra holds.
    :raises ValueError: for what makes no address of a page, saying why.
    """
    if value is None:
        return None
    name = "extra run_link_template"
    if not isinstance(value, str):
        msg = f"{name} must be text, such as 'https://console.example/runs/{{run_id}}'"
        raise ValueError(msg)  # noqa: TRY004 - a wrong value like the others
    try:
        parsed = list(string.Formatter().parse(value))
    except ValueError:
        raise ValueError(f"{name} has a brace without its other half") from None
    places = [(place, form, conversion) for _, place, form, conversion in parsed if place is not None]
    if any(place not in _NAMES or form or conversion for place, form, conversion in places):
        raise ValueError(f"{name} may hold {{run_id}} and {{thread_id}}, and no other braces")
    if not places:
        raise ValueError(f"{name} holds neither {{run_id}} nor {{thread_id}}")
    if not _is_address(value):
        raise ValueError(f"{name} must begin with https:// or http:// and a host, and hold no white space")
    return value


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text and "{" not in parts.netloc
    return is_plain and bool(host) and parts.scheme in ("http", "https")
