"""Constants of the benchmark and its DAG files; each of their tasks imports it, so it imports nothing."""

from __future__ import annotations

#: Tasks of a DAG that has one for each run; the benchmark starts as many DAG runs as it needs.
TASKS_PER_DAG_RUN = 10

#: Environment variable with the path of the file in which ``LoopLatenessTrigger`` records.
LATENESS_FILE = "BENCHMARK_LATENESS_FILE"
