"""The cluster: one Airflow with its database, its broker, its components and the local API."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from airflow_provider_openai_run.sandbox import Sandbox
from tests.cluster.redis_server import RedisServer, has_redis
from tests.postgres_server import PostgresServer, postgres_programs
from tests.system.local_airflow import LocalAirflow

HERE = Path(__file__).parent
DAGS = HERE / "dags"
DATABASE = "airflow"
#: Files that the components read: the responses of ``dags/endless_runs.py``, and the shift of the clock.
IDS = "response_ids.json"
CLOCK = "clock"
TRIGGERERS = ("triggerer", "triggerer-2")
WORKER = "worker"
WORKER_SECONDS = 120.0
#: How many tasks the worker runs at once.
CONCURRENCY = 3
#: Airflow gives a task or a triggerer up after minutes; a test should not wait for so long.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "core": {
        "executor": "CeleryExecutor",
        "parallelism": "16",
        "max_active_tasks_per_dag": "32",
    },
    "celery": {
        "worker_concurrency": str(CONCURRENCY),
        "worker_prefetch_multiplier": "1",
        "worker_enable_remote_control": "False",
    },
    # A task that a killed worker had taken is given to another one after that.
    "celery_broker_transport_options": {"visibility_timeout": "60"},
    "scheduler": {
        "scheduler_idle_sleep_time": "0.5",
        "task_instance_heartbeat_timeout": "30",
        "task_instance_heartbeat_timeout_detection_interval": "5",
        # A task that a killed worker had taken is queued again, and never failed for that without a retry.
        "task_queued_timeout": "60",
        "task_queued_timeout_check_interval": "10",
        "num_stuck_in_queued_retries": "1000",
        "orphaned_tasks_check_interval": "30",
        "scheduler_health_check_threshold": "15",
    },
    "triggerer": {"job_heartbeat_sec": "2", "triggerer_health_check_threshold": "15"},
}


def reason_to_skip() -> str | None:
    """Return why the cluster cannot be started on this machine, None if it can."""
    if postgres_programs() is None:
        return "PostgreSQL's server is not installed (on Debian: apt-get install postgresql)"
    if not has_redis():
        return "redis-server is not installed (on Debian: apt-get install redis-server)"
    return None


class Cluster:
    """
    A context manager that starts everything, and stops it whatever happens.

    :param dag_folders: folders with DAG files.
    :param many: how many endless responses to create for the DAGs ``many_endless_runs_…``, whose tasks are
        deferred without a worker.
    :param config: further configuration as ``{"section": {"option": value}}``.
    :param announce: called with one line for each step of the start.
    """

    def __init__(
        self,
        *,
        dag_folders: Sequence[Path] = (DAGS,),
        many: int = 0,
        config: Mapping[str, Mapping[str, str]] | None = None,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._dag_folders = dag_folders
        self._many = many
        self._config = config or {}
        self._announce = announce
        self.sandbox = Sandbox(api_key=f"sk-cluster-{secrets.token_hex(12)}")
        self.postgres = PostgresServer()
        self.redis = RedisServer()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.sandbox)
            stack.enter_context(self.postgres)
            stack.enter_context(self.redis)
            self._announce("PostgreSQL, Redis and the sandbox started")
            self._folder = Path(stack.enter_context(TemporaryDirectory(prefix="cluster-")))
            self._create_many()
            self.set_clock(0)
            self.airflow = stack.enter_context(self._airflow())
            self.airflow.wait_until("the worker is ready", self._has_worker, WORKER_SECONDS)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def set_clock(self, offset: float) -> None:
        """
        Shift the wall clock that Python shows to all Airflow components.

        :param offset: seconds to add to the real time.
        """
        replacement = self._folder / "clock.new"
        replacement.write_text(str(offset))
        replacement.replace(self._folder / CLOCK)

    def _create_many(self) -> None:
        self.many_ids = [self.sandbox.create_response(script="in_progress")["id"] for _ in range(self._many)]
        (self._folder / IDS).write_text(json.dumps(self.many_ids))

    def _airflow(self) -> LocalAirflow:
        database = self.postgres.create_database(DATABASE)
        servers = {
            "database": {"sql_alchemy_conn": database},
            "celery": {
                "broker_url": self.redis.url,
                "result_backend": f"db+{database}",
            },
        }
        triggerer = ["triggerer", "--skip-serve-logs"]
        return LocalAirflow(
            dag_folders=self._dag_folders,
            connections={"openai_default": json.loads(self.sandbox.connection_json())},
            config=merged(SETTINGS, servers, self._config),
            more_components={
                TRIGGERERS[1]: triggerer,
                WORKER: ["celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip"],
            },
            environment={
                "PYTHONPATH": f"{HERE / 'clock'}:{HERE.parents[1]}",
                "CLUSTER_RESPONSE_IDS": str(self._folder / IDS),
                "CLUSTER_CLOCK_FILE": str(self._folder / CLOCK),
            },
            announce=self._announce,
        )

    def _has_worker(self) -> bool:
        return re.search(r"celery@\S+ ready", self.airflow.components[WORKER].tail(400)) is not None


def merged(*settings: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """
    Return the options of several configurations; later ones win.

    :param settings: configurations as ``{"section": {"option": value}}``.
    """
    result: dict[str, dict[str, str]] = {}
    for sections in settings:
        for section, options in sections.items():
            result.setdefault(section, {}).update(options)
    return result
