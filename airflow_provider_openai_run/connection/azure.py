"""Azure: the shapes of its endpoints, and Entra ID in place of a key.

An endpoint is the connection's host. Azure serves two shapes of the API below it:

- **v1**, ``…/openai/v1`` (https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle): responses;
  no version is needed, and a key goes where OpenAI's does.
- **dated**, ``…/openai/threads?api-version=2024-05-01-preview`` (Azure OpenAI; a key goes into the header
  ``api-key``) and ``…/api/projects/<project>/threads?api-version=2025-05-01`` (Foundry's classic agents,
  which take Entra ID only): the extra ``azure_api_version`` says which.

A bare endpoint (``https://<resource>.openai.azure.com``) is completed: to ``/openai`` for a dated version, to
``/openai/v1`` otherwise.

With ``"auth_type": "azure_entra_id"`` in the connection's extra the requests carry a token of Entra ID, got
by ``DefaultAzureCredential`` of the package ``azure-identity``: from the environment, workload identity of
Kubernetes, a managed identity, or a developer's login, in this order. The official provider's hook knows no
such ``auth_type`` and refuses the connection; it reads none of the other extras below.

=============================== ======================================================================
extra                           meaning
=============================== ======================================================================
``auth_type``                   ``azure_entra_id``: a token instead of the password, which stays empty
``azure_api_version``           the query parameter ``api-version``, such as ``2025-05-01``
``azure_scope``                 whom the token is for, where the default is wrong (sovereign clouds)
``managed_identity_client_id``  the client id of a user-assigned managed or workload identity
``workload_identity_tenant_id`` the tenant of a workload identity
=============================== ======================================================================
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from openai import OpenAIError

from airflow_provider_openai_run.connection.validation import FieldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_openai_run.types.run import Json

AUTH_TYPE = "azure_entra_id"

_DATED = re.compile(r"\d{4}-\d{2}-\d{2}")
_VERSION = re.compile(r"[A-Za-z0-9.-]+")
_PROJECT = "/api/projects/"
_V1 = "/openai/v1"
_SCOPE = "https://cognitiveservices.azure.com/.default"
_SCOPE_OF_PROJECTS = "https://ai.azure.com/.default"
_NOT_INSTALLED = (
    f"auth_type {AUTH_TYPE!r} needs the package azure-identity; install airflow-provider-openai-run[azure]"
)
_LONGEST_REASON = 300


class EntraTokenError(OpenAIError):
    """
    Entra ID gave no token.

    :param message: one sentence.
    :param is_retryable: whether asking again later may help.
    """

    def __init__(self, message: str, *, is_retryable: bool) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable


def takes_api_key_header(base_url: str, version: str | None) -> bool:
    """
    Tell whether a key goes into the header ``api-key``, as only the dated shape of Azure OpenAI wants it.

    :param base_url: where the API is.
    :param version: the ``azure_api_version``.
    """
    path = urlsplit(base_url).path
    return version is not None and _PROJECT not in path and not path.rstrip("/").endswith(_V1)


def completed(endpoint: str, version: str | None, query: dict[str, Json]) -> str:
    """
    Give the base URL below an endpoint of Azure's.

    :param endpoint: the connection's host.
    :param version: the ``azure_api_version``.
    :param query: the ``default_query``, which may hold the version instead.
    :raises FieldError: for an endpoint and a version that do not go together.
    """
    said = query.get("api-version")
    if version is not None and said not in (None, version):
        raise FieldError("extra azure_api_version and default_query's 'api-version' differ; keep one")
    known = version or said
    dated = bool(_DATED.match(str(known))) if known else False
    path = urlsplit(endpoint).path.rstrip("/")
    if not path:
        return f"{endpoint.rstrip('/')}{'/openai' if dated else _V1}"
    if "/openai/deployments" in path:
        raise FieldError("host ends in a deployment; end it with '/openai', the deployment is the model")
    if path.endswith(_V1) and dated:
        raise FieldError(f"extra azure_api_version is {known!r}, but '{_V1}' takes none; leave it out")
    if known is None and (path.endswith("/openai") or (_PROJECT in path and not path.endswith(_V1))):
        raise FieldError(f"extra azure_api_version is missing, which the host's path {path!r} needs")
    return endpoint


def checked_version(value: Json) -> str | None:
    """
    Take an ``azure_api_version``.

    :param value: what the extra holds.
    :raises FieldError: for anything but a version.
    """
    if value is None or (isinstance(value, str) and _VERSION.fullmatch(value)):
        return value
    raise FieldError('extra azure_api_version must be text, such as "2025-05-01" or "preview"')


def scope_of(base_url: str) -> str:
    """
    Give whom a token is for.

    :param base_url: where the API is.
    """
    return _SCOPE_OF_PROJECTS if _PROJECT in urlsplit(base_url).path else _SCOPE


@lru_cache(maxsize=32)
def token_provider(scope: str, client_id: str | None, tenant_id: str | None) -> Callable[[], str]:
    """
    Give what gives a token: the one it has, until five minutes before that ends.

    There is one in a process for each identity, so that a new client takes no new token. It blocks while it
    asks for one.

    :param scope: whom the token is for.
    :param client_id: of a managed or workload identity; None leaves it to the environment.
    :param tenant_id: of a workload identity; None leaves it to the environment.
    :raises FieldError: without ``azure-identity``.
    """
    try:
        from azure.core.exceptions import AzureError, HttpResponseError
        from azure.identity import DefaultAzureCredential, get_bearer_token_provider
    except ImportError:
        raise FieldError(_NOT_INSTALLED) from None
    options: dict[str, Any] = {}
    if client_id is not None:
        options |= {"managed_identity_client_id": client_id, "workload_identity_client_id": client_id}
    if tenant_id is not None:
        options["workload_identity_tenant_id"] = tenant_id
    ask = get_bearer_token_provider(DefaultAzureCredential(**options), scope)
    # A signal may come while this very thread is asking.
    asking = threading.RLock()
    worked = False

    def token() -> str:
        nonlocal worked
        with asking:
            try:
                given = ask()
            except (AzureError, ValueError) as error:
                refused = isinstance(error, HttpResponseError) and error.status_code in (400, 401, 403)
                raise EntraTokenError(_told(error), is_retryable=worked and not refused) from None
            worked = True
            return given

    return token


def _told(error: Exception) -> str:
    """Give the reason in short; ``azure-identity`` has logged all that it tried."""
    tried = [line.strip() for line in str(error).splitlines() if line.startswith("\t")]
    # Whoever is left to the credentials of a developer's machine after this one most likely runs on a server.
    ended = [line for line in tried if line.startswith("ManagedIdentityCredential")] or tried[-1:]
    reason = " ".join((ended[0] if ended else str(error)).split())
    more = "…" if len(reason) > _LONGEST_REASON else ""
    names = f" (tried {', '.join(line.partition(':')[0] for line in tried)})" if tried else ""
    return f"Entra ID gave no token{names}: {reason[:_LONGEST_REASON]}{more}"
