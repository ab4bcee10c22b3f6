"""What a small Airflow is configured with so that it starts soon, looks often and talks to nobody else."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

Settings = dict[str, dict[str, str]]


def configuration(*, home: Path, url: str, dag_folders: Sequence[Path]) -> Settings:
    """
    The whole configuration that differs from Airflow's defaults, as ``{"section": {"option": value}}``.

    :param home: Airflow's home folder.
    :param url: where its API server will listen.
    :param dag_folders: folders with DAG files, each a bundle of its own.
    """
    return _identity(home, url) | _bundles(dag_folders) | _pace()


def _identity(home: Path, url: str) -> Settings:
    return {
        "core": {
            "executor": "tests.system.executor.OneAtATimeExecutor",
            "parallelism": "8",
            "max_active_tasks_per_dag": "16",
            "load_examples": "False",
            "dags_folder": str(home / "dags"),
            "dags_are_paused_at_creation": "False",
            "hostname_callable": "socket.gethostname",
            "execution_api_server_url": f"{url}/execution/",
            # Nothing is encrypted, so that a search of the database finds whatever was stored.
            "fernet_key": "",
            "simple_auth_manager_users": "admin:admin",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{home}/airflow.db"},
        "api": {"base_url": url, "secret_key": secrets.token_hex(16), "workers": "1"},
        "api_auth": {"jwt_secret": secrets.token_hex(32)},
        "logging": {
            "base_log_folder": str(home / "logs"),
            "colored_console_log": "False",
            # Polls would push all else out of the tail that failure messages end with.
            "namespace_levels": "http.access=WARNING",
            "uvicorn_logging_level": "WARNING",
        },
        "usage_data_collection": {"enabled": "False"},
    }


def _bundles(dag_folders: Sequence[Path]) -> Settings:
    bundles = [
        {
            # Airflow keeps the bare name "example_dags" for its own.
            "name": f"local-{folder.name}",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder), "refresh_interval": 300},
        }
        for folder in dag_folders
    ]
    # The files don't change while it runs: one reading is enough, and leaves the processor to the tasks.
    return {
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(bundles),
            "min_file_process_interval": "3600",
            "parsing_processes": "2",
            "print_stats_interval": "0",
        }
    }


def _pace() -> Settings:
    return {
        "scheduler": {
            "scheduler_idle_sleep_time": "0.2",
            "job_heartbeat_sec": "2",
            "trigger_timeout_check_interval": "2",
            "parsing_cleanup_interval": "600",
        },
        # A new triggerer takes over a dead one's triggers once its heartbeat is that old.
        "triggerer": {"job_heartbeat_sec": "1", "triggerer_health_check_threshold": "6"},
    }
