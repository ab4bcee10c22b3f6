"""OpenAI clients, made of what a connection says."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import openai
from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from airflow_provider_openai_run.api.http import redact
from airflow_provider_openai_run.connection import azure
from airflow_provider_openai_run.connection.settings import read
from airflow_provider_openai_run.connection.transport import InvalidURL
from airflow_provider_openai_run.exceptions import InvalidConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_openai_run.connection.settings import ConnectionSettings, Fields
    from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

T = TypeVar("T")


def connect(hook: OpenAIRunHook) -> OpenAI:
    """
    Make a client of a hook's connection.

    :param hook: it is told what the connection says beside.
    :raises InvalidConnectionError: for what is wrong with it, as one sentence that names the field.
    """
    connection = hook.get_connection(hook.conn_id)
    hook.settings = settings = _read(connection, hook.conn_id)
    # Airflow masks its secrets from here on.
    extra = connection.extra_dejson
    return _or_invalid(lambda: _new_client(settings, _identity(hook, settings, extra)), hook.conn_id)


async def aconnect(hook: OpenAIRunHook) -> AsyncOpenAI:
    """
    Make an async client of a hook's connection: in a thread, since its TLS context takes 20 ms.

    :param hook: it is told what the connection says beside.
    :raises InvalidConnectionError: for what is wrong with it, as one sentence that names the field.
    """
    connection = await get_async_connection(hook.conn_id, hook=hook)
    hook.settings = settings = _read(connection, hook.conn_id)
    extra = await get_async_extra_dejson(connection)

    def make() -> AsyncOpenAI:
        return _new_async_client(settings, _identity(hook, settings, extra))

    return await asyncio.to_thread(_or_invalid, make, hook.conn_id)


@contextmanager
def another(client: OpenAI, settings: ConnectionSettings | None, *, seconds: float) -> Iterator[OpenAI]:
    """
    Give a client like the one there is, with connections of its own that no interrupted call has locked.

    :param client: the one there is.
    :param settings: what its connection says.
    :param seconds: how long a request may take.
    """
    with openai.DefaultHttpxClient(proxy=settings.proxy if settings else None) as http_client:
        yield client.copy(http_client=http_client, max_retries=0, timeout=seconds)


def _read(fields: Fields, conn_id: str) -> ConnectionSettings:
    return _or_invalid(lambda: read(fields), conn_id)


def _identity(
    hook: OpenAIRunHook, settings: ConnectionSettings, extra: dict[str, Any]
) -> Mapping[str, Any] | None:
    if settings.auth_type != "workload_identity":
        return None
    identity: Mapping[str, Any] = hook._build_workload_identity(extra)  # noqa: SLF001 - the official hook's own
    return identity


def _new_client(settings: ConnectionSettings, identity: Mapping[str, Any] | None) -> OpenAI:
    arguments = _arguments(settings, identity)
    if settings.proxy is not None:
        arguments["http_client"] = openai.DefaultHttpxClient(proxy=settings.proxy)
    if settings.takes_api_key_header:
        return AzureOpenAI(api_version=settings.azure_api_version, **arguments)
    if settings.auth_type == azure.AUTH_TYPE:
        arguments["api_key"] = _token_provider(settings)
    return OpenAI(**arguments)


def _new_async_client(settings: ConnectionSettings, identity: Mapping[str, Any] | None) -> AsyncOpenAI:
    arguments = _arguments(settings, identity)
    if settings.proxy is not None:
        arguments["http_client"] = openai.DefaultAsyncHttpxClient(proxy=settings.proxy)
    if settings.takes_api_key_header:
        return AsyncAzureOpenAI(api_version=settings.azure_api_version, **arguments)
    if settings.auth_type == azure.AUTH_TYPE:
        provider = _token_provider(settings)

        async def token() -> str:
            # It asks the network when the token it has is about to end.
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


def _or_invalid(make: Callable[[], T], conn_id: str) -> T:
    try:
        return make()
    except (openai.OpenAIError, ValueError, TypeError, ImportError, InvalidURL) as error:
        told = redact(str(error)).rstrip(".")
        raise InvalidConnectionError(f"Connection {conn_id!r}: {told}.") from None
