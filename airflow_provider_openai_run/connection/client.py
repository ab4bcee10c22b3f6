"""Build OpenAI clients from the settings of a connection."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import openai
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from airflow_provider_openai_run.connection import azure, entra_id
from airflow_provider_openai_run.connection.http_client import httpx, new_async_http_client, new_http_client
from airflow_provider_openai_run.connection.settings import invalid_connection_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_openai_run.connection.settings import ConnectionSettings

T = TypeVar("T")

#: The argument ``workload_identity`` of the OpenAI client.
WorkloadIdentity = Any


def build_client(
    settings: ConnectionSettings, conn_id: str, get_workload_identity: Callable[[], WorkloadIdentity]
) -> OpenAI:
    """
    Return a client for a connection.

    :param settings: the connection's settings.
    :param conn_id: its id, for the error.
    :param get_workload_identity: returns the official hook's workload identity; called only for settings with
        that ``auth_type``.
    :raises InvalidConnectionError: one sentence that names what is wrong.
    """

    def build() -> OpenAI:
        arguments = _arguments(settings, get_workload_identity)
        arguments["http_client"] = new_http_client(settings.proxy)
        if settings.uses_api_key_header:
            return AzureOpenAI(api_version=settings.azure_api_version, **arguments)
        if settings.auth_type == azure.AUTH_TYPE:
            arguments["api_key"] = _token_provider(settings)
        return OpenAI(**arguments)

    return _raise_invalid(build, conn_id, settings.secrets)


async def build_async_client(
    settings: ConnectionSettings, conn_id: str, get_workload_identity: Callable[[], WorkloadIdentity]
) -> AsyncOpenAI:
    """Return an async client, built in a thread: its TLS context takes 20 ms; see :func:`build_client`."""

    def build() -> AsyncOpenAI:
        arguments = _arguments(settings, get_workload_identity)
        arguments["http_client"] = new_async_http_client(settings.proxy)
        if settings.uses_api_key_header:
            return AsyncAzureOpenAI(api_version=settings.azure_api_version, **arguments)
        if settings.auth_type == azure.AUTH_TYPE:
            provider = _token_provider(settings)

            async def get_token() -> str:
                # It sends a request when its token is about to expire.
                return await asyncio.to_thread(provider)

            arguments["api_key"] = get_token
        return AsyncOpenAI(**arguments)

    return await asyncio.to_thread(_raise_invalid, build, conn_id, settings.secrets)


@contextmanager
def dedicated_client(client: OpenAI, proxy: str | None, *, timeout: float) -> Iterator[OpenAI]:
    """
    Yield a copy of a client with its own connection pool, which no interrupted call has locked.

    :param client: the client to copy.
    :param proxy: the URL of the connection's proxy; None leaves it to the environment.
    :param timeout: how long a request may take, in seconds.
    """
    with new_http_client(proxy) as http_client:
        yield client.copy(http_client=http_client, max_retries=0, timeout=timeout)


def _arguments(
    settings: ConnectionSettings, get_workload_identity: Callable[[], WorkloadIdentity]
) -> dict[str, Any]:
    if settings.auth_type == "workload_identity":
        credentials = {"workload_identity": get_workload_identity()}
    else:
        credentials = {"api_key": settings.api_key}
    return {"base_url": settings.base_url, **settings.options, **credentials}


def _token_provider(settings: ConnectionSettings) -> Callable[[], str]:
    scope = settings.azure_scope or azure.token_scope(settings.base_url or "")
    return entra_id.token_provider(
        scope, settings.managed_identity_client_id, settings.workload_identity_tenant_id
    )


def _raise_invalid(build: Callable[[], T], conn_id: str, secrets: Iterable[str] = ()) -> T:
    try:
        return build()
    except (openai.OpenAIError, ValueError, TypeError, ImportError, httpx.InvalidURL) as error:
        raise invalid_connection_error(conn_id, error, secrets) from None
