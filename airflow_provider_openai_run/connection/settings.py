"""What an ``openai`` connection says: read, and checked, before a client is made of it.

The official provider's fields mean what they mean there; what it ignores or stumbles over later is named
here, as one sentence with the field. These extras are ours, and the official hook reads none of them:
``proxy``, ``run_link_template`` and those of :mod:`airflow_provider_openai_run.connection.azure`.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from openai import OpenAI

from airflow_provider_openai_run.api.endpoints import azure_cloud, is_openai
from airflow_provider_openai_run.connection import azure
from airflow_provider_openai_run.connection.run_url import checked_template
from airflow_provider_openai_run.connection.validation import (
    FieldError,
    checked_base_url,
    checked_extra,
    checked_headers,
    checked_key,
    checked_number,
    checked_object,
    checked_query,
    checked_text,
    checked_url,
    likely,
)

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.run import Json

_AUTH_TYPES = ("api_key", "workload_identity", azure.AUTH_TYPE)
_PROVIDERS = ("kubernetes", "azure", "gcp", "custom")
_WORKLOAD_IDENTITY = ("identity_provider_id", "service_account_id", "workload_identity_provider")
_OFFICIAL = frozenset(
    {
        *("auth_type", "openai_client_kwargs", *_WORKLOAD_IDENTITY, "refresh_buffer_seconds"),
        *("token_file_path", "resource", "object_id", "client_id", "msi_res_id", "api_version"),
        *("audience", "token_provider", "token_type"),
    }
)
_ENTRA = ("azure_scope", "managed_identity_client_id", "workload_identity_tenant_id")
_OURS = frozenset({"proxy", "run_link_template", "azure_api_version", *_ENTRA})
#: What people write who know other clients, and where it belongs.
_ELSEWHERE = {
    "azure_endpoint": "write the endpoint into host",
    "api_base": "write the URL into host",
    "azure_ad_token": "write the token into the password",
    "azure_ad_token_provider": f'set the extra "auth_type": "{azure.AUTH_TYPE}"',
    "azure_deployment": "give the deployment as the model",
    "api_type": "Azure needs only its endpoint as host",
    "http_client": "no connection can hold one; for a proxy, set the extra 'proxy'",
    "provider": "no connection can hold one",
    "proxies": "set the extra 'proxy'",
}
_KWARGS = "openai_client_kwargs"
_USER = re.compile(r"(?<=://)[^/?#]*@")
_TEXTS = ("organization", "project", "admin_api_key", "webhook_secret", "data_residency")


class Fields(Protocol):
    """The fields of Airflow's connection that are read."""

    conn_id: str
    host: str | None
    schema: str | None
    port: int | None
    password: str | None
    extra: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """
    What a connection says.

    :param base_url: where the API is; None leaves it to the client.
    :param api_key: the key; None where something else stands for it, or the environment does.
    :param options: further options of the OpenAI client, by its own names.
    :param auth_type: ``api_key``, ``workload_identity`` or ``azure_entra_id``.
    :param azure_api_version: Azure's version.
    :param azure_scope: whom a token of Entra ID is for.
    :param managed_identity_client_id: which identity asks Entra ID.
    :param workload_identity_tenant_id: and of which tenant it is.
    :param proxy: the URL of the proxy; None leaves it to the environment.
    :param run_link_template: the address of a run's page.
    :param unused_extras: extras that nobody reads.
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
    def takes_api_key_header(self) -> bool:
        """Whether a key goes into Azure's own header."""
        is_key = self.auth_type == "api_key" and self.base_url is not None
        return is_key and azure.takes_api_key_header(self.base_url or "", self.azure_api_version)


def read(connection: Fields) -> ConnectionSettings:
    """
    Read a connection.

    :param connection: Airflow's.
    :raises FieldError: for the first field that is wrong.
    """
    extra = checked_extra(connection.extra)
    unused_extras = _unused_extras(extra)
    options = _checked_options(extra.get(_KWARGS, {}))
    base_url = _base_url(connection, options.pop("base_url", None))
    auth_type = _checked_auth_type(extra)
    version = azure.checked_version(extra.get("azure_api_version"))
    base_url = _azure_url(base_url, version, options, is_entra=auth_type == azure.AUTH_TYPE)
    key_in_extra = options.pop("api_key", None)
    named = ("password (the API key)", connection.password)
    if key_in_extra:
        named = (f"extra {_KWARGS}.api_key", key_in_extra)
    key = _checked_credentials(*named, auth_type=auth_type, extra=extra, options=options)
    return ConnectionSettings(
        base_url=base_url,
        api_key=key,
        options=options,
        auth_type=auth_type,
        azure_api_version=version,
        proxy=None if extra.get("proxy") is None else _checked_proxy(extra["proxy"]),
        run_link_template=checked_template(extra.get("run_link_template")),
        unused_extras=unused_extras,
        **{name: _optional_text(name, extra) for name in _ENTRA},
    )


def _unused_extras(extra: dict[str, Json]) -> tuple[str, ...]:
    """Refuse extras that were surely meant otherwise; give those that somebody else may read."""
    known = _OFFICIAL | _OURS
    unused_extras = []
    for name in sorted(extra.keys() - known):
        if name in _client_options():
            raise FieldError(f"extra {name!r} is an option of the client; put it into openai_client_kwargs")
        if name in _ELSEWHERE:
            raise FieldError(f"extra {name!r} is read by nobody; {_ELSEWHERE[name]}")
        if meant := likely(name, known):
            raise FieldError(f"extra {name!r} is read by nobody; write {meant!r} if you mean that")
        unused_extras.append(name)
    return tuple(unused_extras)


def _client_options() -> frozenset[str]:
    names = inspect.signature(OpenAI.__init__).parameters
    public = frozenset(name for name in names if name != "self" and not name.startswith("_"))
    return public - _ELSEWHERE.keys()


def _optional_text(name: str, extra: dict[str, Json]) -> str | None:
    return None if extra.get(name) is None else checked_text(f"extra {name}", extra[name])


def _checked_options(value: Json) -> dict[str, Any]:
    options = checked_object(f"extra {_KWARGS}", value)
    for name in options:
        _check_option_name(name)
    given = {name: held for name, held in options.items() if held is not None}
    for name, held in given.items():
        if check := _CHECKS.get(name):
            check(f"extra {_KWARGS}.{name}", held)
    # A timeout of null says that there is none; any other null says nothing.
    return {**given, "timeout": None} if "timeout" in options and "timeout" not in given else given


def _check_option_name(name: str) -> None:
    place = f"extra {_KWARGS}.{name}"
    if name in _ELSEWHERE:
        raise FieldError(f"{place} is no option here; {_ELSEWHERE[name]}")
    if name in _OURS or name in ("auth_type", "api_version"):
        right = "azure_api_version" if name == "api_version" else name
        raise FieldError(f"{place} stands in the wrong place; write it one level up, as {right!r}")
    if name not in _client_options():
        meant = likely(name, _client_options())
        more = f"; write {meant!r} if you mean that" if meant else ""
        raise FieldError(f"{place} is no option of the client{more}")


def _check_timeout(name: str, value: Json) -> None:
    if checked_number(name, value, at_least=0) == 0:
        raise FieldError(f"{name} must be more than 0")


def _check_retries(name: str, value: Json) -> None:
    checked_number(name, value, at_least=0, whole=True)


_CHECKS: dict[str, Callable[[str, Json], object]] = {
    **dict.fromkeys(_TEXTS, checked_text),
    "default_headers": checked_headers,
    "default_query": checked_query,
    "max_retries": _check_retries,
    "timeout": _check_timeout,
}


def _base_url(connection: Fields, in_options: Json) -> str | None:
    if in_options:
        return checked_base_url("extra openai_client_kwargs.base_url", in_options)
    if not connection.host:
        if connection.port:
            raise FieldError("port is set but host is empty; write the whole base URL into host")
        return None
    url = checked_base_url("host", connection.host)
    parts = urlsplit(url)
    if connection.port and connection.port != (parts.port or {"http": 80, "https": 443}[parts.scheme]):
        raise FieldError(f"port is {connection.port}, which nobody reads; write it into host")
    if connection.schema and connection.schema.strip("/") not in (parts.scheme, parts.path.strip("/")):
        raise FieldError(f"schema is {connection.schema!r}, which nobody reads; write it into host")
    return url


def _checked_auth_type(extra: dict[str, Json]) -> str:
    auth_type = extra.get("auth_type", "api_key")
    if auth_type not in _AUTH_TYPES:
        raise FieldError(f"extra auth_type must be one of {', '.join(map(repr, _AUTH_TYPES))}")
    if auth_type != "workload_identity":
        _refuse_stray(_WORKLOAD_IDENTITY, extra, "workload_identity")
        if "api_version" in extra:
            raise FieldError("extra api_version is for workload identity; for Azure write azure_api_version")
    if auth_type != azure.AUTH_TYPE:
        _refuse_stray(_ENTRA, extra, azure.AUTH_TYPE)
    return str(auth_type)


def _refuse_stray(names: Collection[str], extra: dict[str, Json], auth_type: str) -> None:
    for name in names:
        if name in extra:
            raise FieldError(f'extra {name} is read only with "auth_type": "{auth_type}"; set that too')


def _azure_url(
    base_url: str | None, version: str | None, options: dict[str, Any], *, is_entra: bool
) -> str | None:
    wants_azure = f"auth_type {azure.AUTH_TYPE!r}" if is_entra else "azure_api_version"
    if is_entra or version is not None:
        if base_url is None:
            raise FieldError(f"host is empty, and extra {wants_azure} needs the Azure endpoint there")
        if is_openai(base_url):
            raise FieldError(f"host is OpenAI's, and extra {wants_azure} is for Azure; drop one of them")
    query = options.get("default_query") or {}
    if base_url is not None and (version is not None or azure_cloud(base_url)):
        base_url = azure.completed(base_url, version, query)
    if version is not None:
        options["default_query"] = {**query, "api-version": version}
    return base_url


def _checked_credentials(
    name: str, key: Json, *, auth_type: str, extra: dict[str, Json], options: dict[str, Any]
) -> str | None:
    if auth_type == "workload_identity":
        _check_workload_identity(extra)
        return None
    if auth_type == azure.AUTH_TYPE:
        if key:
            raise FieldError(f"{name} is set, and extra auth_type {auth_type!r} too; drop one of them")
        return None
    if key:
        return checked_key(name, key)
    stand_ins = ("workload_identity", "admin_api_key")
    from_environment = any(os.environ.get(each) for each in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"))
    if from_environment or any(options.get(each) for each in stand_ins):
        return None
    raise FieldError(f"{name} is missing; fill it in, with any word for a server that takes no key")


def _check_workload_identity(extra: dict[str, Json]) -> None:
    for name in _WORKLOAD_IDENTITY:
        if name not in extra:
            raise FieldError(f"extra {name!r} is missing, which auth_type 'workload_identity' needs")
        checked_text(f"extra {name}", extra[name])
    provider = extra["workload_identity_provider"]
    if provider not in _PROVIDERS:
        known = ", ".join(map(repr, _PROVIDERS))
        raise FieldError(f"extra workload_identity_provider is {provider!r}; it may be one of {known}")
    if provider == "custom":
        checked_text("extra token_provider", extra.get("token_provider"))
    if "refresh_buffer_seconds" in extra:
        checked_number("extra refresh_buffer_seconds", extra["refresh_buffer_seconds"], at_least=0)


def _checked_proxy(value: Json) -> str:
    """Take the URL of a proxy, which may hold a user name and a password."""
    name = "extra proxy"
    url = checked_text(name, value)
    checked_url(name, _USER.sub("", url), "http://proxy.example:3128")
    return url
