"""A client of Airflow's public REST API, with the calls that the system tests and the demo need."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import requests

REQUEST_TIMEOUT_SECONDS = 30.0
MOST_TRIES = 5
PAGE_SIZE = 100

JsonObject = dict[str, Any]


class AirflowRestError(Exception):
    """Airflow's REST API returned an error."""

    def __init__(self, method: str, path: str, response: requests.Response) -> None:
        self.status_code = response.status_code
        super().__init__(f"{method} {path}: {response.status_code} {response.text[:2000]}")


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
        # Requests on loopback need no proxy of the environment.
        self._session.trust_env = False

    def log_in(self) -> None:
        """Request a token and send it with every later call."""
        response = self._session.post(
            f"{self.base_url}/auth/token", json=self._login, timeout=REQUEST_TIMEOUT_SECONDS
        )
        if response.status_code != requests.codes.created:
            raise AirflowRestError("POST", "/auth/token", response)
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(
        self, method: str, path: str, *, params: JsonObject | None = None, body: JsonObject | None = None
    ) -> Any:
        """
        Call the API.

        :param method: HTTP method.
        :param path: path below ``/api/v2``.
        :param params: query parameters.
        :param body: JSON body.
        :return: the decoded response, None if it is empty.
        :raises AirflowRestError: for a status of 400 or higher.
        """
        for _ in range(MOST_TRIES):
            response = self._session.request(
                method,
                f"{self.base_url}/api/v2{path}",
                params=params,
                json=body,
                headers={"Accept": "application/json"},
                timeout=REQUEST_TIMEOUT_SECONDS,
            )
            # Another process had locked SQLite, and the call had no effect.
            if response.ok or "Database error" not in response.text:
                break
            time.sleep(1)
        if not response.ok:
            raise AirflowRestError(method, path, response)
        return response.json() if response.content else None

    def build_task_api(self) -> None:
        """
        Let the API server build the API that tasks call.

        It does so at the first call. On a slow machine that takes longer than a task's timeout.
        """
        response = self._session.get(f"{self.base_url}/execution/health", timeout=REQUEST_TIMEOUT_SECONDS)
        if not response.ok:
            raise AirflowRestError("GET", "/execution/health", response)

    def health(self) -> dict[str, str | None]:
        """Return the status of each component: ``healthy``, ``unhealthy`` or ``None``."""
        response = self.call("GET", "/monitor/health")
        return {name: (detail or {}).get("status") for name, detail in response.items()}

    def version(self) -> str:
        """Return Airflow's version."""
        return str(self.call("GET", "/version")["version"])

    def dag_ids(self) -> set[str]:
        """Return the ids of the DAGs that Airflow has parsed."""
        return {dag["dag_id"] for dag in self._pages("/dags", "dags")}

    def import_errors(self) -> list[str]:
        """Return file name and traceback of each DAG file that cannot be parsed."""
        return [
            f"{error['filename']}\n{error['stack_trace']}"
            for error in self._pages("/importErrors", "import_errors")
        ]

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self.call("PATCH", f"/dags/{quote(dag_id)}", body={"is_paused": False})

    def trigger(self, dag_id: str, conf: JsonObject | None = None) -> str:
        """
        Start a DAG run.

        :param dag_id: the DAG.
        :param conf: params of the DAG that differ from their defaults.
        :return: the run id of the DAG run.
        """
        response = self.call(
            "POST", f"/dags/{quote(dag_id)}/dagRuns", body={"logical_date": None, "conf": conf or {}}
        )
        return str(response["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> JsonObject:
        """Return a DAG run."""
        run: JsonObject = self.call("GET", _run_path(dag_id, run_id))
        return run

    def task_instances(self, dag_id: str, run_id: str) -> list[JsonObject]:
        """Return all task instances of a DAG run, mapped ones one by one."""
        return self._pages(f"{_run_path(dag_id, run_id)}/taskInstances", "task_instances")

    def xcoms(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """
        Return the XComs of a task by key.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param map_index: index of a mapped task instance; -1 if the task is not mapped.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries"
        entries = self._pages(path, "xcom_entries", {"map_index": map_index})
        return {
            entry["key"]: self.xcom(dag_id, run_id, task_id, entry["key"], map_index) for entry in entries
        }

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """
        Return an XCom of a task.

        Plain JSON is returned as a downstream task gets it, any other value as Airflow stores it.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param key: the XCom key.
        :param map_index: index of a mapped task instance; -1 if the task is not mapped.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries/{quote(key)}"
        return self.call("GET", path, params={"map_index": map_index})["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """
        Return the log of one try of a task: each line with all its fields, as JSON.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param try_number: number of the try, from 1.
        :param map_index: index of a mapped task instance; -1 if the task is not mapped.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        response = self._call_until_found(path, {"map_index": map_index, "full_content": True})
        return "\n".join(
            line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
            for line in response["content"]
        )

    def _call_until_found(self, path: str, params: JsonObject) -> Any:
        """Retry for 30 seconds: a new try is not there yet, an old one may be on its way to the history."""
        for _second in range(30):
            try:
                return self.call("GET", path, params=params)
            except AirflowRestError as error:
                if error.status_code != 404:
                    raise
            time.sleep(1)
        return self.call("GET", path, params=params)

    def clear(self, dag_id: str, run_id: str, task_ids: list[str]) -> None:
        """Clear tasks of a DAG run, whatever their state."""
        self.call(
            "POST",
            f"/dags/{quote(dag_id)}/clearTaskInstances",
            body={"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": task_ids},
        )

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """
        Mark a task instance, as a user does in the UI.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param task_id: the task.
        :param state: ``success``, ``failed`` or ``skipped``.
        :param map_index: index of a mapped task instance; -1 if the task is not mapped.
        """
        self.call(
            "PATCH",
            _task_path(dag_id, run_id, task_id),
            params={"map_index": map_index},
            body={"new_state": state},
        )

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """
        Mark a DAG run, as a user does in the UI; its tasks that have not ended are marked with it.

        :param dag_id: the DAG.
        :param run_id: the DAG run.
        :param state: ``success`` or ``failed``.
        """
        self.call("PATCH", _run_path(dag_id, run_id), body={"state": state})

    def delete_dag(self, dag_id: str) -> None:
        """Delete all that Airflow has stored of a DAG, its task instances included."""
        self.call("DELETE", f"/dags/{quote(dag_id)}")

    def _pages(self, path: str, key: str, params: JsonObject | None = None) -> list[JsonObject]:
        entries: list[JsonObject] = []
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
