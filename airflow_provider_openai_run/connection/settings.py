"""The settings that an ``openai`` connection holds, checked before a client is built from them.

The official provider's fields keep their meaning. What it would ignore, or fail on later, raises an error
that names the field. The official hook reads none of our extras: ``proxy``, ``run_link_template`` and those
of :mod:`airflow_provider_openai_run.connection.azure`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from airflow_provider_openai_run.api.endpoints import azure_cloud, is_openai
from airflow_provider_openai_run.api.parsing import text_or_none
from airflow_provider_openai_run.connection import azure
from airflow_provider_openai_run.connection.run_url import parse_link_template
from airflow_provider_openai_run.connection.validation import (
    FieldError,
    require_base_url,
    require_headers,
    require_key,
    require_number,
    require_object,
    require_text,
    require_url,
)
from airflow_provider_openai_run.exceptions import InvalidConnectionError
from airflow_provider_openai_run.types.redaction import redact, secrets_in_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from airflow_provider_openai_run.types.json import Json

_WORKLOAD_IDENTITY = "workload_identity"
_AUTH_TYPES = ("api_key", _WORKLOAD_IDENTITY, azure.AUTH_TYPE)
_WORKLOAD_FIELDS = ("identity_provider_id", "service_account_id", "workload_identity_provider")
_ENTRA_FIELDS = ("azure_scope", "managed_identity_client_id", "workload_identity_tenant_id")
#: Extras that belong to one ``auth_type``.
_USED_ONLY_WITH = {
    **dict.fromkeys((*_WORKLOAD_FIELDS, "api_version"), _WORKLOAD_IDENTITY),
    **dict.fromkeys(_ENTRA_FIELDS, azure.AUTH_TYPE),
}
_EXTRAS = frozenset(
    {
        *("auth_type", "openai_client_kwargs", "refresh_buffer_seconds", "token_file_path", "resource"),
        *("object_id", "client_id", "msi_res_id", "audience", "token_provider", "token_type"),
        *("proxy", "run_link_template", "azure_api_version", *_USED_ONLY_WITH),
    }
)
#: Names that other clients have, and what to write instead.
_INSTEAD = {
    "azure_endpoint": "write the endpoint into host",
    "azure_ad_token": "write the token into the password",
    "azure_ad_token_provider": f'set the extra "auth_type": "{azure.AUTH_TYPE}"',
    "azure_deployment": "pass the deployment as the model",
    "http_client": "for a proxy, set the extra 'proxy'",
    "proxies": "set the extra 'proxy'",
}
_OPTION_CHECKS: dict[str, Callable[[str, Json], object]] = {
    **dict.fromkeys(("organization", "project", "admin_api_key", "webhook_secret"), require_text),
    "base_url": require_base_url,
    "api_key": require_key,
    "default_headers": require_headers,
    "default_query": require_object,
    "max_retries": functools.partial(require_number, whole=True),
    "timeout": functools.partial(require_number, zero=False),
}
_USER_INFO = re.compile(r"(?<=://)[^/?#]*@")


class AirflowConnection(Protocol):
    """The fields of an Airflow connection that are read."""

    conn_id: str
    host: str | None
    schema: str | None
    port: int | None
    password: str | None
    extra: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """
    The settings of a connection.

    :param base_url: the API's base URL; None leaves it to the client.
    :param api_key: the key; None if another credential or the environment takes its place.
    :param options: further options of the OpenAI client, by its own names.
    :param auth_type: ``api_key``, ``workload_identity`` or ``azure_entra_id``.
    :param azure_api_version: the query parameter ``api-version``; None sends none.
    :param azure_scope: the scope of an Entra ID token; None for the endpoint's default.
    :param managed_identity_client_id: the client id of the identity that requests an Entra ID token.
    :param workload_identity_tenant_id: the tenant of that identity.
    :param proxy: the URL of the proxy; None leaves it to the environment.
    :param run_link_template: a template for the URL of a run's page.
    :param unused_extras: the names of extras that this provider does not know, sorted.
    """

    base_url: str | None
    api_key: str | None = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    auth_type: str
    azure_api_version: str | None
    azure_scope: str | None
    managed_identity_client_id: str | None
    workload_identity_tenant_id: str | None
    proxy: str | None = field(repr=False)
    run_link_template: str | None
    unused_extras: tuple[str, ...]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials of the connection, to mask in messages."""
        headers = {name: str(value) for name, value in (self.options.get("default_headers") or {}).items()}
        keys = [self.api_key, *(self.options.get(name) for name in ("admin_api_key", "webhook_secret"))]
        password = urlsplit(self.proxy or "").password
        passwords = [password, unquote(password)] if password else []
        known = [key for key in (*keys, *passwords) if isinstance(key, str) and key]
        return (*known, *secrets_in_headers(headers))

    @property
    def uses_api_key_header(self) -> bool:
        """Whether the key goes into Azure's header ``api-key``."""
        is_key = self.auth_type == "api_key" and self.base_url is not None
        return is_key and azure.uses_api_key_header(self.base_url or "", self.azure_api_version)


def read_settings(connection: AirflowConnection, conn_id: str) -> ConnectionSettings:
    """
    Return the checked settings of a connection.

    :param connection: Airflow's connection.
    :param conn_id: its id, for the error.
    :raises InvalidConnectionError: one sentence that names the field that is wrong.
    """
    try:
        return parse_settings(connection)
    except (ValueError, TypeError) as error:
        raise invalid_connection_error(conn_id, error) from None


def invalid_connection_error(
    conn_id: str, error: Exception, secrets: Iterable[str] = ()
) -> InvalidConnectionError:
    """
    Return the error for a connection of which no client can be built.

    :param conn_id: the connection.
    :param error: what is wrong with it.
    :param secrets: its credentials, to mask in the message.
    """
    reason = redact(str(error), secrets).rstrip(".")
    return InvalidConnectionError(f"Connection {conn_id!r}: {reason}.")


def parse_settings(connection: AirflowConnection) -> ConnectionSettings:
    """
    Return the settings of a connection.

    :param connection: Airflow's connection.
    :raises FieldError: for the first field that is wrong.
    """
    extra = _parse_extra(connection.extra)
    unused = _find_unused_extras(extra)
    options = _parse_options(extra.get("openai_client_kwargs", {}))
    base_url = options.pop("base_url", None) or _parse_host(connection)
    auth_type = _parse_auth_type(extra)
    version = azure.parse_api_version(extra.get("azure_api_version"))
    base_url = _azure_url(base_url, version, options, is_entra=auth_type == azure.AUTH_TYPE)
    proxy = _parse_proxy(extra.get("proxy"))
    return ConnectionSettings(
        base_url=base_url,
        api_key=_parse_key(connection, options, auth_type),
        options=options,
        auth_type=auth_type,
        azure_api_version=version,
        proxy=proxy,
        run_link_template=parse_link_template(extra.get("run_link_template")),
        unused_extras=unused,
        **{name: text_or_none(extra.get(name)) for name in _ENTRA_FIELDS},
    )


def _parse_proxy(value: Json) -> str | None:
    if value is None:
        return None
    proxy = require_text("extra proxy", value)
    # Unlike other URLs, it may hold a user name and a password.
    require_url("extra proxy", _USER_INFO.sub("", proxy), "http://proxy.example:3128")
    return proxy


def _parse_extra(text: str | None) -> dict[str, Json]:
    if not text or not text.strip():
        return {}
    try:
        return require_object("extra", json.loads(text))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise FieldError(f"extra is not valid JSON at {place}; write an object, such as {{}}") from None


@functools.cache
def _client_options() -> frozenset[str]:
    # Half a second, so only for an option or an extra that no check below knows.
    from openai import OpenAI

    names = inspect.signature(OpenAI.__init__).parameters.keys() - {"self"} - _INSTEAD.keys()
    return frozenset(name for name in names if not name.startswith("_"))


def _find_unused_extras(extra: dict[str, Json]) -> tuple[str, ...]:
    """Return the extras that are for others; raise for those that were meant for us."""
    unused = sorted(extra.keys() - _EXTRAS)
    for name in unused:
        if name in _client_options():
            raise FieldError(f"extra {name} is an option of the client; write it into openai_client_kwargs")
        if advice := _advice(name, _EXTRAS):
            raise FieldError(f"extra {name} is not used; {advice}")
    return tuple(unused)


def _parse_options(value: Json) -> dict[str, Any]:
    options = require_object("extra openai_client_kwargs", value)
    for name, content in options.items():
        place = f"extra openai_client_kwargs.{name}"
        if name in _EXTRAS:
            raise FieldError(f"{place} is in the wrong place; write it one level up, into extra")
        if name not in _OPTION_CHECKS and name not in _client_options():
            advice = _advice(name, _client_options()) or "leave it out"
            raise FieldError(f"{place} is not an option of the client; {advice}")
        if content is not None and name in _OPTION_CHECKS:
            _OPTION_CHECKS[name](place, content)
    # A timeout of null turns it off; any other null is no setting.
    return {name: content for name, content in options.items() if content is not None or name == "timeout"}


def _advice(name: str, known: Collection[str]) -> str | None:
    """Return what to write in place of a name; None if it is like none that is known."""
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.88)
    return _INSTEAD.get(name) or (f"write {close[0]!r} if you mean that" if close else None)


def _parse_host(connection: AirflowConnection) -> str | None:
    url = require_base_url("host", connection.host) if connection.host else None
    parts = urlsplit(url or "https:")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    if connection.port and connection.port != port:
        raise FieldError("port is not used; write it into host, as in https://runs.example.com:8443/v1")
    if connection.schema and connection.schema.strip("/") not in (parts.scheme, parts.path.strip("/")):
        raise FieldError("schema is not used; write it into host, as in https://runs.example.com/v1")
    return url


def _parse_auth_type(extra: dict[str, Json]) -> str:
    auth_type = extra.get("auth_type", "api_key")
    if auth_type not in _AUTH_TYPES:
        raise FieldError(f"extra auth_type must be one of {', '.join(map(repr, _AUTH_TYPES))}")
    for name, needed in _USED_ONLY_WITH.items():
        if name in extra and auth_type != needed:
            azure_hint = "; for Azure, write azure_api_version" if name == "api_version" else ""
            raise FieldError(f'extra {name} is used only with "auth_type": "{needed}"{azure_hint}')
    # The official hook checks which of these are needed.
    for name in (*_WORKLOAD_FIELDS, "token_provider", *_ENTRA_FIELDS):
        if extra.get(name) is not None:
            require_text(f"extra {name}", extra[name])
    if "refresh_buffer_seconds" in extra:
        require_number("extra refresh_buffer_seconds", extra["refresh_buffer_seconds"])
    return str(auth_type)


def _azure_url(
    base_url: str | None, version: str | None, options: dict[str, Any], *, is_entra: bool
) -> str | None:
    """Return the base URL, completed for Azure, and put the API version into the query options."""
    reason = f"auth_type {azure.AUTH_TYPE!r}" if is_entra else "azure_api_version"
    if is_entra or version is not None:
        if base_url is None:
            raise FieldError(f"host is empty, but extra {reason} needs the Azure endpoint there")
        if is_openai(base_url):
            raise FieldError(f"host is OpenAI's, but extra {reason} is for Azure; remove one of them")
    query = options.get("default_query") or {}
    if base_url is not None and (version is not None or azure_cloud(base_url)):
        base_url = azure.complete_base_url(base_url, version, query)
    if version is not None:
        options["default_query"] = {**query, "api-version": version}
    return base_url


def _parse_key(connection: AirflowConnection, options: dict[str, Any], auth_type: str) -> str | None:
    """Return the API key, and take it out of the options; None if other credentials are used."""
    key = options.pop("api_key", None) or connection.password
    name = "password (the API key)"
    if auth_type == azure.AUTH_TYPE and key:
        raise FieldError(f"{name} is set, but extra auth_type {auth_type!r} uses none; remove one of them")
    if auth_type != "api_key":
        return None
    if key:
        return require_key(name, key)
    if any(map(os.environ.get, ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"))) or options.get("admin_api_key"):
        return None
    raise FieldError(f"{name} is missing; enter it, or any word for a server that checks no key")
