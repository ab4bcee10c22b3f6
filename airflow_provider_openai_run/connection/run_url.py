"""The URL of a run's page in the vendor's console.

============================= =========================================================================
endpoint                      page
============================= =========================================================================
``api.openai.com``            of a response, https://platform.openai.com/logs/<id>; threads and their
                              runs have had no page since 2026-08-26
Azure                         the portal's home page, https://ai.azure.com/: the URL of a run's own page
                              needs subscription, resource group and tenant, which no endpoint contains
any other                     none
with ``run_link_template``    the template's, whatever the endpoint
============================= =========================================================================

The template is an extra of the connection, such as
``"https://console.example/runs/{run_id}?thread={thread_id}"``; ``{thread_id}`` is empty for a response.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow_provider_openai_run.api.endpoints import azure_cloud, is_openai
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.connection.validation import FieldError, require_text

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.run_ref import RunRef

_PORTALS = {"azure.com": "https://ai.azure.com/", "azure.us": "https://ai.azure.us/"}
_PLACEHOLDERS = frozenset({"run_id", "thread_id"})


def run_url(ref: RunRef, base_url: str, template: str | None = None) -> str | None:
    """
    Return the URL of a run's page; None for endpoints without a known console.

    :param ref: the run.
    :param base_url: the API's base URL.
    :param template: the connection's ``run_link_template``.
    """
    if template is not None:
        run_id, thread_id = (quote(part or "", safe="") for part in (ref.run_id, ref.parent_id))
        return template.format(run_id=run_id, thread_id=thread_id)
    if is_openai(base_url):
        return api_of(ref).console_url(ref)
    return _PORTALS.get(azure_cloud(base_url) or "")


def parse_link_template(value: Json) -> str | None:
    """
    Return a ``run_link_template`` that makes a URL.

    :param value: the extra of the connection; None returns None.
    :raises FieldError: for a template of anything else.
    """
    if value is None:
        return None
    name = "extra run_link_template"
    template = require_text(name, value)
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError:
        raise FieldError(f"{name} has an unmatched brace") from None
    if not fields or any(field not in _PLACEHOLDERS or rest or conv for _, field, rest, conv in fields):
        raise FieldError(f"{name} must contain {{run_id}} or {{thread_id}}, and no other braces")
    if not _is_url(template):
        raise FieldError(f"{name} must be a URL with https:// or http://, a host and no white space")
    return template


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    is_printable = text.isprintable() and " " not in text and "{" not in parts.netloc
    return is_printable and bool(host) and parts.scheme in ("http", "https")
