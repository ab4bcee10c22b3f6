"""Azure endpoints, and the extras of a connection to one.

The connection's host is the endpoint. Azure serves two forms of the API below it:

- **v1**, ``…/openai/v1`` (https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle): responses.
  It needs no version, and takes a key as OpenAI does.
- **dated**, ``…/openai/threads?api-version=2024-05-01-preview`` (Azure OpenAI, which takes a key in the
  header ``api-key``) and ``…/api/projects/<project>/threads?api-version=2025-05-01`` (Foundry's classic
  agents, which take Entra ID only). The extra ``azure_api_version`` holds the version.

A bare endpoint (``https://<resource>.openai.azure.com``) is completed: to ``/openai`` for a dated version,
else to ``/openai/v1``.

With the extra ``"auth_type": "azure_entra_id"``, requests carry a token in place of a key, see
``connection/entra_id.py``. The official provider's hook does not know this
``auth_type`` and refuses the connection; it does not read the other extras below.

=============================== ======================================================================
extra                           meaning
=============================== ======================================================================
``auth_type``                   ``azure_entra_id``: use a token; the password stays empty
``azure_api_version``           the query parameter ``api-version``, such as ``2025-05-01``
``azure_scope``                 the token's scope, where the default is wrong (sovereign clouds)
``managed_identity_client_id``  the client id of a user-assigned managed identity or workload identity
``workload_identity_tenant_id`` the tenant of a workload identity
=============================== ======================================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_openai_run.connection.validation import FieldError

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.json import Json

AUTH_TYPE = "azure_entra_id"

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_VERSION = re.compile(r"[A-Za-z0-9.-]+")
_PROJECT_PATH = "/api/projects/"
_V1_PATH = "/openai/v1"
_SCOPE = "https://cognitiveservices.azure.com/.default"
_PROJECT_SCOPE = "https://ai.azure.com/.default"


def uses_api_key_header(base_url: str, version: str | None) -> bool:
    """
    Return whether a key goes into the header ``api-key``, which only Azure OpenAI's dated form requires.

    :param base_url: the API's base URL.
    :param version: the ``azure_api_version``.
    """
    path = urlsplit(base_url).path
    return version is not None and _PROJECT_PATH not in path and not path.rstrip("/").endswith(_V1_PATH)


def complete_base_url(endpoint: str, version: str | None, query: dict[str, Json]) -> str:
    """
    Return the base URL for an Azure endpoint.

    :param endpoint: the connection's host.
    :param version: the ``azure_api_version``.
    :param query: the ``default_query``, which may hold the version instead.
    :raises FieldError: if the endpoint and the version do not fit together.
    """
    query_version = query.get("api-version")
    if version is not None and query_version not in (None, version):
        raise FieldError("extra azure_api_version and default_query's 'api-version' differ; keep one")
    given = version or query_version
    is_dated = bool(_DATE.match(str(given or "")))
    path = urlsplit(endpoint).path.rstrip("/")
    if not path:
        return f"{endpoint.rstrip('/')}{'/openai' if is_dated else _V1_PATH}"
    if "/openai/deployments" in path:
        raise FieldError(
            "host ends in a deployment; end it with '/openai' and pass the deployment as the model"
        )
    if path.endswith(_V1_PATH) and is_dated:
        raise FieldError(f"extra azure_api_version is {given!r}, but '{_V1_PATH}' takes none; leave it out")
    if given is None and (
        path.endswith("/openai") or (_PROJECT_PATH in path and not path.endswith(_V1_PATH))
    ):
        raise FieldError(f"extra azure_api_version is missing, but the host's path {path!r} needs it")
    return endpoint


def parse_api_version(value: Json) -> str | None:
    """
    Return an ``azure_api_version``.

    :param value: the extra of the connection; None returns None.
    :raises FieldError: for anything but a version.
    """
    if value is None or (isinstance(value, str) and _VERSION.fullmatch(value)):
        return value
    raise FieldError('extra azure_api_version must be text, such as "2025-05-01" or "preview"')


def token_scope(base_url: str) -> str:
    """
    Return the default scope of a token.

    :param base_url: the API's base URL.
    """
    return _PROJECT_SCOPE if _PROJECT_PATH in urlsplit(base_url).path else _SCOPE
