"""Whose an endpoint is, told by its host."""

from __future__ import annotations

from urllib.parse import urlsplit

_OPENAI_HOST = "api.openai.com"
#: Of Azure's clouds: the public one, and those of the US government and of China.
_AZURE_CLOUDS = ("azure.com", "azure.us", "azure.cn")
#: Where the API is in each; a person's own server may be elsewhere in them.
_AZURE_SERVICES = ("openai", "cognitiveservices", "services.ai")


def is_openai(url: str) -> bool:
    """
    Tell OpenAI's own hosts: api.openai.com and those of its regions.

    :param url: where the API is.
    """
    return _is_within(url, _OPENAI_HOST)


def azure_cloud(url: str) -> str | None:
    """
    Give the domain of the Azure cloud whose API an endpoint is; None for every other endpoint.

    :param url: where the API is.
    """
    clouds = (
        cloud
        for cloud in _AZURE_CLOUDS
        if any(_is_within(url, f"{service}.{cloud}") for service in _AZURE_SERVICES)
    )
    return next(clouds, None)


def _is_within(url: str, domain: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return f".{host}".endswith(f".{domain}")
