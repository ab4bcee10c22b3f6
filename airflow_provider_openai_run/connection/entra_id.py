"""Entra ID tokens in place of an API key.

They come from ``DefaultAzureCredential`` of the package ``azure-identity``. It tries, in this order: the
environment, Kubernetes workload identity, managed identity, and a developer's login.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from openai import OpenAIError

from airflow_provider_openai_run.connection.azure import AUTH_TYPE
from airflow_provider_openai_run.connection.validation import FieldError

if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_INSTALLED = (
    f"auth_type {AUTH_TYPE!r} needs the package azure-identity; install airflow-provider-openai-run[azure]"
)
_MAX_REASON_LENGTH = 300


class EntraTokenError(OpenAIError):
    """
    Entra ID issued no token.

    :param message: one sentence.
    :param is_retryable: whether a later attempt may succeed.
    """

    def __init__(self, message: str, *, is_retryable: bool) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable


@lru_cache(maxsize=32)
def token_provider(scope: str, client_id: str | None, tenant_id: str | None) -> Callable[[], str]:
    """
    Return a function that returns a token, and requests a new one five minutes before the old one expires.

    A process has one such function for each identity, so that a new client needs no new token. It blocks
    while it requests one, and raises :class:`EntraTokenError` if there is none.

    :param scope: the token's scope.
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
    request_token = get_bearer_token_provider(DefaultAzureCredential(**options), scope)
    # Reentrant: a signal handler may need a token while its own thread is requesting one.
    lock = threading.RLock()
    has_worked = False

    def get_token() -> str:
        nonlocal has_worked
        with lock:
            try:
                token = request_token()
            except (AzureError, ValueError) as error:
                is_refused = isinstance(error, HttpResponseError) and error.status_code in (400, 401, 403)
                raise EntraTokenError(_summary(error), is_retryable=has_worked and not is_refused) from None
            has_worked = True
            return token

    return get_token


def _summary(error: Exception) -> str:
    """Return the reason in one sentence; ``azure-identity`` has logged all attempts."""
    attempts = [line.strip() for line in str(error).splitlines() if line.startswith("\t")]
    # The credentials after this one are those of a developer's machine, which says nothing about a server.
    decisive = [line for line in attempts if line.startswith("ManagedIdentityCredential")] or attempts[-1:]
    reason = " ".join((decisive[0] if decisive else str(error)).split())
    if len(reason) > _MAX_REASON_LENGTH:
        reason = f"{reason[:_MAX_REASON_LENGTH]}…"
    names = f" (tried {', '.join(line.partition(':')[0] for line in attempts)})" if attempts else ""
    return f"Entra ID issued no token{names}: {reason}"
