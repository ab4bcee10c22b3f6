"""
Record what the present version of the provider stores, as far as no recording has it.

``python -m tests.stored_values.record`` writes new files into ``recordings/<version>/`` beside this module.
Commit them; what stands there already is never changed, because some deployment may have stored it.
"""

from __future__ import annotations

import os
import sys
import tempfile

# Airflow reads them when it is imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="stored-values-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

import pytest

from airflow_provider_openai_run.sandbox import Clock, Sandbox
from tests.fake_clock import FakeClock
from tests.stored_values.recording import available_scenarios, new_fields, record, recordings, save


def main() -> int:
    """Record, and print what was written."""
    count, recorded_before = 0, {old["scenario"] for _, old in recordings()}
    for name in available_scenarios():
        clock = Clock.manual()
        with Sandbox(clock=clock) as sandbox, pytest.MonkeyPatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_OPENAI_DEFAULT", sandbox.connection_json())
            fake_clock = FakeClock(clock)
            fake_clock.install(patch)
            recorded = record(name, sandbox, fake_clock)
        if name not in recorded_before or new_fields(recorded):
            sys.stdout.write(f"{save(recorded)}\n")
            count += 1
    sys.stdout.write(f"{count} new recordings\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
