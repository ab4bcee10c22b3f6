"""The links of the page: to other pages of Airflow, and to the vendor's console."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.types.json import Json

#: From the page's URL to Airflow's base URL.
_BASE = "../../../.."


@dataclass(frozen=True, slots=True)
class Link:
    """
    A link.

    :param is_external: whether it leaves Airflow.
    """

    label: str
    url: str
    is_external: bool = False


def task_links(task: TaskInstanceInfo, console_url: Json) -> tuple[Link, ...]:
    """
    Return the links of a task.

    :param task: the task instance.
    :param console_url: the XCom with the URL of the run in the vendor's console, of any JSON type.
    """
    links = [Link("Task log", task_url(task)), Link("XComs", task_url(task, "/xcom"))]
    if task.waits_for_person:
        links.insert(0, required_action_link(task))
    if is_web_url(console_url):
        links.append(Link("Vendor's console", str(console_url), is_external=True))
    return tuple(links)


def required_action_link(task: TaskInstanceInfo) -> Link:
    """Return the link to the page on which a person answers."""
    return Link("Open the required action", task_url(task, "/required_actions"))


def task_url(task: TaskInstanceInfo, tab: str = "") -> str:
    """
    Return the URL of a task instance in Airflow's UI, relative to the page.

    :param task: the task instance.
    :param tab: the path of a tab; the first one is the log.
    """
    ids = [quote(part, safe="") for part in (task.dag_id, task.run_id, task.task_id)]
    mapped = "" if task.map_index < 0 else f"/mapped/{task.map_index}"
    query = ""
    if len(task.iterations) > 1:
        iteration = task.iterations[task.iteration]
        query = f"?region_id={iteration.region_id}&region_index={iteration.region_index}"
    return "{}/dags/{}/runs/{}/tasks/{}{}{}{}".format(_BASE, *ids, mapped, tab, query)


def console_url_of(other_id: Json, run_id: Json, console_url: Json) -> str | None:
    """
    Return the URL of another run in the vendor's console; None if it cannot be derived.

    :param other_id: the other run's id.
    :param run_id: the id of the run that has a URL.
    :param console_url: its URL.
    """
    is_known = is_web_url(console_url) and isinstance(run_id, str) and isinstance(other_id, str)
    if not is_known or not run_id or str(console_url).count(str(run_id)) != 1:
        return None
    return str(console_url).replace(str(run_id), quote(str(other_id), safe=""))


def is_web_url(value: Json) -> bool:
    """Return whether a value is a URL that a browser may follow: http or https, with a host."""
    if not isinstance(value, str) or len(value) > 2_000 or value != "".join(value.split()):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
