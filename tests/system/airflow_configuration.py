"""Configuration of a small Airflow that starts fast, polls often and sends nothing to other machines."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

Settings = dict[str, dict[str, str]]


def configuration(*, home: Path, url: str, dag_folders: Sequence[Path]) -> Settings:
    """
    Return the options that differ from Airflow's defaults, as ``{"section": {"option": value}}``.

    :param home: Airflow's home folder.
    :param url: URL of its API server.
    :param dag_folders: folders with DAG files; each becomes a bundle.
    """
    return _identity(home, url) | _bundles(dag_folders) | _intervals()


def _identity(home: Path, url: str) -> Settings:
    return {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": "8",
            "max_active_tasks_per_dag": "16",
            "load_examples": "False",
            "dags_folder": str(home / "dags"),
            "dags_are_paused_at_creation": "False",
            "hostname_callable": "socket.gethostname",
            "execution_api_server_url": f"{url}/execution/",
            # Without encryption a search of the database finds everything that is stored.
            "fernet_key": "",
            "simple_auth_manager_users": "admin:admin",
        },
        # A component that finds SQLite locked for longer than the time-out ends. A worker waits longer for
        # the API server than that: it would repeat its start, and be refused the second time.
        "database": {"sql_alchemy_conn": f"sqlite:///{home}/airflow.db?timeout=20"},
        "workers": {"execution_api_timeout": "30"},
        "api": {"base_url": url, "secret_key": secrets.token_hex(16), "workers": "1"},
        "api_auth": {"jwt_secret": secrets.token_hex(32)},
        "logging": {
            "base_log_folder": str(home / "logs"),
            "colored_console_log": "False",
            # Access logs would fill the tail of the log that failure messages show.
            "namespace_levels": "http.access=WARNING",
            "uvicorn_logging_level": "WARNING",
        },
        "usage_data_collection": {"enabled": "False"},
    }


def _bundles(dag_folders: Sequence[Path]) -> Settings:
    bundles = [
        {
            # Airflow reserves the name "example_dags".
            "name": f"local-{folder.name}",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder), "refresh_interval": 300},
        }
        for folder in dag_folders
    ]
    # The files do not change: parsing them once leaves the CPU to the tasks.
    return {
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(bundles),
            "min_file_process_interval": "3600",
            "parsing_processes": "2",
            "print_stats_interval": "0",
        }
    }


def _intervals() -> Settings:
    return {
        "scheduler": {
            "scheduler_idle_sleep_time": "0.2",
            "job_heartbeat_sec": "2",
            "trigger_timeout_check_interval": "2",
            "parsing_cleanup_interval": "600",
        },
        # A new triggerer takes over the triggers of another one whose last heartbeat is older than this.
        "triggerer": {"job_heartbeat_sec": "1", "triggerer_health_check_threshold": "6"},
    }
