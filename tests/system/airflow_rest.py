"""Airflow's public REST API, as little of it as the system tests and the demo need."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import requests

REQUEST_TIMEOUT_SECONDS = 30.0
MOST_TRIES = 5
PAGE_SIZE = 100

Json = dict[str, Any]


class AirflowRestError(Exception):
    """Airflow's REST API answered with an error."""

    def __init__(self, method: str, path: str, answer: requests.Response) -> None:
        self.status_code = answer.status_code
        super().__init__(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")


class AirflowRest:
    """
    A thin client of ``/api/v2``.

    :param base_url: where the API server listens, without a trailing slash.
    :param username: a user of the ``SimpleAuthManager``.
    :param password: that user's password.
    """

    def __init__(self, *, base_url: str, username: str, password: str) -> None:
        self.base_url = base_url
        self._login = {"username": username, "password": password}
        self._session = requests.Session()
        # Proxies of the environment have no business between two processes of one machine.
        self._session.trust_env = False

    def log_in(self) -> None:
        """Get a token; every later call carries it."""
        answer = self._session.post(
            f"{self.base_url}/auth/token", json=self._login, timeout=REQUEST_TIMEOUT_SECONDS
        )
        if answer.status_code != requests.codes.created:
            raise AirflowRestError("POST", "/auth/token", answer)
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(self, method: str, path: str, *, params: Json | None = None, body: Json | None = None) -> Any:
        """
        One call.

        :param method: HTTP method.
        :param path: path below ``/api/v2``.
        :param params: query parameters.
        :param body: JSON body.
        :return: the decoded answer, ``None`` when it is empty.
        """
        for _ in range(MOST_TRIES):
            answer = self._session.request(
                method,
                f"{self.base_url}/api/v2{path}",
                params=params,
                json=body,
                headers={"Accept": "application/json"},
                timeout=REQUEST_TIMEOUT_SECONDS,
            )
            # SQLite is locked by one writer at a time; nothing was done then.
            if answer.ok or "Database error" not in answer.text:
                break
            time.sleep(1)
        if not answer.ok:
            raise AirflowRestError(method, path, answer)
        return answer.json() if answer.content else None

    def build_task_api(self) -> None:
        """
        Have the API server build the API its tasks call.

        It does so at the first call, which takes seconds: longer, on a slow machine, than a task waits for an
        answer.
        """
        answer = self._session.get(f"{self.base_url}/execution/health", timeout=REQUEST_TIMEOUT_SECONDS)
        if not answer.ok:
            raise AirflowRestError("GET", "/execution/health", answer)

    def health(self) -> dict[str, str | None]:
        """The status of each component: ``healthy``, ``unhealthy`` or ``None``."""
        answer = self.call("GET", "/monitor/health")
        return {name: (detail or {}).get("status") for name, detail in answer.items()}

    def version(self) -> str:
        """Airflow's version."""
        return str(self.call("GET", "/version")["version"])

    def dag_ids(self) -> set[str]:
        """The DAGs Airflow has read so far."""
        return {dag["dag_id"] for dag in self._pages("/dags", "dags")}

    def import_errors(self) -> list[str]:
        """What kept a DAG file from being read: file name and traceback."""
        return [
            f"{error['filename']}\n{error['stack_trace']}"
            for error in self._pages("/importErrors", "import_errors")
        ]

    def unpause(self, dag_id: str) -> None:
        """Let a DAG be scheduled."""
        self.call("PATCH", f"/dags/{quote(dag_id)}", body={"is_paused": False})

    def trigger(self, dag_id: str, conf: Json | None = None) -> str:
        """
        Start a DAG run now.

        :param dag_id: the DAG.
        :param conf: overrides its params.
        :return: the run id of the DAG run.
        """
        answer = self.call(
            "POST", f"/dags/{quote(dag_id)}/dagRuns", body={"logical_date": None, "conf": conf or {}}
        )
        return str(answer["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> Json:
        """A DAG run."""
        run: Json = self.call("GET", _run_path(dag_id, run_id))
        return run

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        """All task instances of a DAG run, each mapped one on its own."""
        return self._pages(f"{_run_path(dag_id, run_id)}/taskInstances", "task_instances")

    def xcoms(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """
        What a task has pushed, by key.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param map_index: which one of a mapped task.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries"
        entries = self._pages(path, "xcom_entries", {"map_index": map_index})
        return {
            entry["key"]: self.xcom(dag_id, run_id, task_id, entry["key"], map_index) for entry in entries
        }

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """
        One value a task has pushed.

        Plain JSON comes back as what a downstream task would get; a value that JSON has no type for comes
        back in the form Airflow stores it in.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param key: the XCom key.
        :param map_index: which one of a mapped task.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries/{quote(key)}"
        return self.call("GET", path, params={"map_index": map_index})["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """
        The log of one try of a task: each line with all its fields, as JSON.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param try_number: counted from 1.
        :param map_index: which one of a mapped task.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        answer = self._call_until_found(path, {"map_index": map_index, "full_content": True})
        return "\n".join(
            line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
            for line in answer["content"]
        )

    def _call_until_found(self, path: str, params: Json) -> Any:
        """Call again for a while where Airflow does not know the try yet, or is moving it to its history."""
        for _second in range(30):
            try:
                return self.call("GET", path, params=params)
            except AirflowRestError as error:
                if error.status_code != 404:
                    raise
            time.sleep(1)
        return self.call("GET", path, params=params)

    def clear(self, dag_id: str, run_id: str, task_ids: list[str]) -> None:
        """Have tasks of a DAG run done again, whatever became of them."""
        self.call(
            "POST",
            f"/dags/{quote(dag_id)}/clearTaskInstances",
            body={"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": task_ids},
        )

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """
        Mark a task as a user does.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param state: ``success``, ``failed`` or ``skipped``.
        :param map_index: which one of a mapped task.
        """
        self.call(
            "PATCH",
            _task_path(dag_id, run_id, task_id),
            params={"map_index": map_index},
            body={"new_state": state},
        )

    def _pages(self, path: str, key: str, params: Json | None = None) -> list[Json]:
        entries: list[Json] = []
        total = 1
        while len(entries) < total:
            page = self.call(
                "GET", path, params={**(params or {}), "limit": PAGE_SIZE, "offset": len(entries)}
            )
            total = page["total_entries"]
            if not page[key]:
                break
            entries += page[key]
        return entries


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _task_path(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}"
