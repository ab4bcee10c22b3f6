"""Which provider serves a URL."""

from __future__ import annotations

from urllib.parse import urlsplit

_OPENAI_HOST = "api.openai.com"
#: The domains of Azure's clouds: public, US government, China.
_AZURE_CLOUDS = ("azure.com", "azure.us", "azure.cn")
#: The subdomains with the API; under others there may be customers' own servers.
_AZURE_SERVICES = ("openai", "cognitiveservices", "services.ai")


def is_openai(url: str) -> bool:
    """
    Return whether OpenAI serves a URL: at api.openai.com, or at a host of one of its regions.

    :param url: the base URL of the API.
    """
    return _is_within(url, _OPENAI_HOST)


def azure_cloud(url: str) -> str | None:
    """
    Return the domain of the Azure cloud that serves a URL; None if Azure does not serve it.

    :param url: the base URL of the API.
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
