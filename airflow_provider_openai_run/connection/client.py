"""OpenAI clients, built from what a connection says."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import openai
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from airflow_provider_openai_run.connection import azure
from airflow_provider_openai_run.connection.http_client import httpx, new_async_http_client, new_http_client
from airflow_provider_openai_run.connection.settings import read
from airflow_provider_openai_run.exceptions import InvalidConnectionError
from airflow_provider_openai_run.types.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_openai_run.connection.settings import ConnectionSettings, Fields

T = TypeVar("T")

#: What the OpenAI client takes for workload identity.
Identity = Any


def read_settings(connection: Fields, conn_id: str) -> ConnectionSettings:
    """
    Return the checked settings of a connection.

    :param connection: Airflow's.
    :param conn_id: its id, for the error.
    :raises InvalidConnectionError: one sentence that names the field that is wrong.
    """
    return _raise_invalid(lambda: read(connection), conn_id)


def build_client(settings: ConnectionSettings, conn_id: str, get_identity: Callable[[], Identity]) -> OpenAI:
    """
    Return a client for a connection.

    :param settings: of the connection.
    :param conn_id: its id, for the error.
    :param get_identity: returns the official hook's workload identity; called where the settings ask for it.
    :raises InvalidConnectionError: one sentence that names what is wrong.
    """
    return _raise_invalid(lambda: _new_client(settings, _identity(settings, get_identity)), conn_id)


async def build_async_client(
    settings: ConnectionSettings, conn_id: str, get_identity: Callable[[], Identity]
) -> AsyncOpenAI:
    """Return an async client, built in a thread: its TLS context takes 20 ms; see :func:`build_client`."""

    def build() -> AsyncOpenAI:
        return _new_async_client(settings, _identity(settings, get_identity))

    return await asyncio.to_thread(_raise_invalid, build, conn_id)


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


def _identity(settings: ConnectionSettings, get_identity: Callable[[], Identity]) -> Mapping[str, Any] | None:
    return get_identity() if settings.auth_type == "workload_identity" else None


def _new_client(settings: ConnectionSettings, identity: Mapping[str, Any] | None) -> OpenAI:
    arguments = _arguments(settings, identity)
    arguments["http_client"] = new_http_client(settings.proxy)
    if settings.takes_api_key_header:
        return AzureOpenAI(api_version=settings.azure_api_version, **arguments)
    if settings.auth_type == azure.AUTH_TYPE:
        arguments["api_key"] = _token_provider(settings)
    return OpenAI(**arguments)


def _new_async_client(settings: ConnectionSettings, identity: Mapping[str, Any] | None) -> AsyncOpenAI:
    arguments = _arguments(settings, identity)
    arguments["http_client"] = new_async_http_client(settings.proxy)
    if settings.takes_api_key_header:
        return AsyncAzureOpenAI(api_version=settings.azure_api_version, **arguments)
    if settings.auth_type == azure.AUTH_TYPE:
        provider = _token_provider(settings)

        async def token() -> str:
            # It sends a request when its token is about to expire.
            return await asyncio.to_thread(provider)

        arguments["api_key"] = token
    return AsyncOpenAI(**arguments)


def _arguments(settings: ConnectionSettings, identity: Mapping[str, Any] | None) -> dict[str, Any]:
    arguments = {"base_url": settings.base_url, **settings.options}
    if identity is not None:
        return {**arguments, "workload_identity": identity}
    return {**arguments, "api_key": settings.api_key}


def _token_provider(settings: ConnectionSettings) -> Callable[[], str]:
    scope = settings.azure_scope or azure.scope_of(settings.base_url or "")
    return azure.token_provider(
        scope, settings.managed_identity_client_id, settings.workload_identity_tenant_id
    )


def _raise_invalid(build: Callable[[], T], conn_id: str) -> T:
    try:
        return build()
    except (openai.OpenAIError, ValueError, TypeError, ImportError, httpx.InvalidURL) as error:
        reason = redact(str(error)).rstrip(".")
        raise InvalidConnectionError(f"Connection {conn_id!r}: {reason}.") from None
