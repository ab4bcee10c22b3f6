"""A sensor that starts and ends in the triggerer, by Airflow's own serialization and trigger runner."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from airflow import __version__ as airflow_version
from airflow.sdk import DAG, Asset, BaseOperator

from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors import _from_trigger
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from airflow_provider_openai_run.task_xcoms import LINK_KEY
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect

IS_3_3 = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 3)
pytestmark = pytest.mark.skipif(not IS_3_3, reason="the options came with Airflow 3.3")

#: The arguments of a test are of any type.
make_sensor: Any = OpenAIRunSensor

BOTH: Mapping[str, Any] = {"start_from_trigger": True, "end_from_trigger": True}
OPTIONS: Mapping[str, Any] = {**BOTH, "timeout": 100, "poll_interval": 10, "max_poll_interval": 10}
TEMPLATE = "{{ params.run_id }}"


class Xcoms(dict[tuple[str, str], Any]):
    """The XComs of a DAG run, by task and key."""

    error: Exception | None = None

    def of(self, task_id: str = "wait") -> dict[str, Any]:
        return {key: value for (task, key), value in self.items() if task == task_id}


@pytest.fixture
def xcoms(monkeypatch: pytest.MonkeyPatch) -> Xcoms:
    """Where Airflow's XCom of the triggerer keeps what it is given."""
    from airflow.sdk.execution_time import xcom

    kept = Xcoms()

    class XCom:
        @staticmethod
        async def aget_one(*, key: str, task_id: str, **_: Any) -> Any:
            return kept.get((task_id, key))

        @staticmethod
        async def aset(key: str, value: Any, *, task_id: str, **_: Any) -> None:
            if kept.error is not None:
                raise kept.error
            kept[task_id, key] = value

    monkeypatch.setattr(xcom, "XCom", XCom)
    return kept


class Upstream(BaseOperator):
    """A task with an output."""

    def __init__(self, *, value: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = value

    def execute(self, context: Any) -> None:
        """Do nothing."""


def events_of(
    clock: FakeClock, params: dict[str, Any], *, run_id: Any = TEMPLATE, late: float = 0.0, **options: Any
) -> list[Any]:
    """
    Let Airflow start the trigger of a task, and return its events.

    :param params: the params of the DAG run.
    :param late: for how many seconds no triggerer has run since the task was deferred.
    """
    from airflow.executors.workloads import TaskInstance
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.models.trigger import Trigger
    from airflow.sdk.api.datamodels._generated import DagRunState, DagRunType
    from airflow.serialization.decoders import smart_decode_trigger_kwargs
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("runs", schedule=None, params={"run_id": "resp_default", "other": None}) as dag:
        output: Any = Upstream(task_id="make").output
        given = output[run_id["key"]] if isinstance(run_id, dict) else run_id
        OpenAIRunSensor(task_id="wait", run_id=given, **{**OPTIONS, **options})
    encoded = DagSerialization.to_dict(dag)
    start: Any = DagSerialization.from_dict(encoded).get_task("wait").start_trigger_args
    stored = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(start.trigger_kwargs))
    arguments = {name: smart_decode_trigger_kwargs(value) for name, value in stored.items()}
    module, _, name = start.trigger_cls.rpartition(".")
    trigger = getattr(__import__(module, fromlist=[name]), name)(**arguments)
    now = clock.utcnow()
    data = {
        "dag_id": "runs",
        "run_id": "manual__1",
        "logical_date": now,
        "run_after": now,
        "start_date": now,
        "run_type": DagRunType.MANUAL,
        "state": DagRunState.RUNNING,
        "conf": params,
        "consumed_asset_events": [],
        "data_interval_start": None,
        "data_interval_end": None,
        "end_date": None,
        "clear_number": 0,
        "partition_key": None,
        "note": None,
        "team_name": None,
    }
    ti = TaskInstance(
        id=uuid4(),
        task_id="wait",
        dag_id="runs",
        run_id="manual__1",
        try_number=1,
        dag_version_id=uuid4(),
        pool_slots=1,
        priority_weight=1,
    )
    runtime = TriggerRunner.create_runtime_ti(ti, encoded, data)
    context = runtime.get_template_context()
    trigger.task_instance = runtime
    trigger.timeout_after = datetime.fromtimestamp(clock.time(), UTC) + start.timeout
    clock.sleep(late)
    trigger.render_template_fields(context=context)

    async def collect() -> list[Any]:
        return [event async for event in trigger.run()]

    events: list[Any] = clock.run(collect())
    return events


def state_of(event: Any) -> str | None:
    state = getattr(event, "task_instance_state", None)
    return None if state is None else str(state)


def test_a_completed_run_ends_its_task_with_the_xcoms_of_a_worker(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock, xcoms: Xcoms
) -> None:
    connect(extra={"run_link_template": "https://console.example/{run_id}"})
    run_id = sandbox.create_response(script={"base": "completed", "seconds": 30})["id"]
    (event,) = events_of(fake_clock, {"run_id": run_id})
    assert state_of(event) == "success"
    pushed = xcoms.of()
    value = {"run_id": run_id, "thread_id": None, "api": "responses", "status": "completed"}
    assert pushed["return_value"] == value
    assert pushed[LINK_KEY] == f"https://console.example/{run_id}"
    statuses = [entry["status"] for entry in pushed[PROGRESS_KEY]["statuses"]]
    assert statuses[-1] == "completed"

    def make() -> OpenAIRunSensor:
        return OpenAIRunSensor(task_id="wait", run_id=run_id, deferrable=True, timeout=100)

    on_worker = AirflowTask(make, fake_clock, with_links=True).run_to_end()
    assert on_worker.xcoms["return_value"] == value
    assert on_worker.xcoms.keys() == pushed.keys()


def test_the_output_of_a_task_is_read_in_the_triggerer(
    sandbox: Sandbox, fake_clock: FakeClock, xcoms: Xcoms
) -> None:
    xcoms["make", "id"] = sandbox.create_response(script="completed")["id"]
    (event,) = events_of(fake_clock, {}, run_id={"key": "id"})
    assert state_of(event) == "success"
    assert xcoms.of()["return_value"]["run_id"] == xcoms["make", "id"]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("failed", "RunFailedError"),
        ("cancelled", "RunCancelledError"),
        ("in_progress", "RunWaitTimeoutError"),
    ],
)
def test_any_other_end_resumes_the_task_on_a_worker_which_fails_it(
    sandbox: Sandbox, fake_clock: FakeClock, xcoms: Xcoms, script: str, error: str
) -> None:
    run_id = sandbox.create_response(script=script)["id"]
    (event,) = events_of(fake_clock, {"run_id": run_id})
    assert state_of(event) is None
    end = resumed(fake_clock, run_id, event.payload)
    assert end.state == "failed"
    assert type(end.error).__name__.startswith(error) or error in str(type(end.error).__mro__)
    assert "return_value" not in xcoms.of()


def resumed(clock: FakeClock, run_id: str, event: dict[str, Any], **options: Any) -> Any:
    """Resume a task that has started in the triggerer on a worker."""

    def make() -> OpenAIRunSensor:
        return OpenAIRunSensor(task_id="wait", run_id=run_id, **{**OPTIONS, **options})

    return AirflowTask(make, clock)._run_worker("execute_complete", {"event": event})


def test_soft_fail_skips_as_on_a_worker(sandbox: Sandbox, fake_clock: FakeClock, xcoms: Xcoms) -> None:
    run_id = sandbox.create_response(script="failed")["id"]
    (event,) = events_of(fake_clock, {"run_id": run_id}, soft_fail=True)
    assert resumed(fake_clock, run_id, event.payload, soft_fail=True).state == "skipped"


def test_the_deadline_counts_from_the_start_of_the_deferral_over_restarts(
    sandbox: Sandbox, fake_clock: FakeClock, xcoms: Xcoms
) -> None:
    run_id = sandbox.create_response(script="in_progress")["id"]
    began = fake_clock.time()
    (event,) = events_of(fake_clock, {"run_id": run_id}, late=70)
    assert event.payload["error"]["type"] == "RunWaitTimeoutError"
    assert fake_clock.time() - began == pytest.approx(100, abs=5)


def test_a_shorter_execution_timeout_is_the_limit(
    sandbox: Sandbox, fake_clock: FakeClock, xcoms: Xcoms
) -> None:
    run_id = sandbox.create_response(script="in_progress")["id"]
    began = fake_clock.time()
    (event,) = events_of(fake_clock, {"run_id": run_id}, execution_timeout=timedelta(seconds=40))
    assert "the execution_timeout" in event.payload["error"]["message"]
    assert fake_clock.time() - began == pytest.approx(40, abs=5)


@pytest.mark.parametrize("value", ["", None, "not an id", 7])
def test_a_task_whose_id_is_not_known_in_the_triggerer_starts_on_a_worker(
    fake_clock: FakeClock, xcoms: Xcoms, value: Any
) -> None:
    xcoms["make", "id"] = value
    (event,) = events_of(fake_clock, {}, run_id={"key": "id"})
    assert "run_id" in event.payload["start_on_worker"]


def test_a_task_that_starts_on_a_worker_after_all_waits_as_any_other(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    run_id = sandbox.create_response(script="in_progress")["id"]
    end = resumed(fake_clock, run_id, {"start_on_worker": "run_id is empty"})
    assert end.state == "deferred"
    assert end.message.trigger_kwargs["accepted_statuses"] == ["completed"]


def test_an_xcom_that_cannot_be_set_resumes_the_task_on_a_worker(
    sandbox: Sandbox, fake_clock: FakeClock, xcoms: Xcoms
) -> None:
    xcoms.error = OSError("the bucket is gone")
    run_id = sandbox.create_response(script="completed")["id"]
    (event,) = events_of(fake_clock, {"run_id": run_id})
    assert event.payload["status"] == "completed"


def test_a_task_that_pushes_no_xcoms_ends_without_any(
    sandbox: Sandbox, fake_clock: FakeClock, xcoms: Xcoms
) -> None:
    run_id = sandbox.create_response(script="completed")["id"]
    (event,) = events_of(fake_clock, {"run_id": run_id}, do_xcom_push=False)
    assert state_of(event) == "success"
    assert xcoms.of() == {}


def test_a_task_may_only_start_in_the_triggerer(
    sandbox: Sandbox, fake_clock: FakeClock, xcoms: Xcoms
) -> None:
    run_id = sandbox.create_response(script="completed")["id"]
    (event,) = events_of(fake_clock, {"run_id": run_id}, end_from_trigger=False)
    assert event.payload["status"] == "completed"
    assert resumed(fake_clock, run_id, event.payload).state == "success"


def test_a_mapped_task_starts_on_a_worker() -> None:
    with DAG("runs", schedule=None):
        mapped = OpenAIRunSensor.partial(task_id="wait", **OPTIONS).expand(run_id=["resp_1", "resp_2"])
    assert mapped.start_trigger_args is None


def nothing(*_: Any) -> None:
    """Take the place of a callback."""


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("on_success_callback", nothing, "end_from_trigger"),
        ("outlets", [Asset("answers")], "end_from_trigger"),
        ("post_execute", nothing, "end_from_trigger"),
        ("on_execute_callback", nothing, "start_from_trigger"),
        ("pre_execute", nothing, "start_from_trigger"),
    ],
)
def test_what_airflow_would_ignore_is_refused(name: str, value: Any, option: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is set, but Airflow ignores it with {option}=True"):
        make_sensor(task_id="wait", run_id="resp_1", **{option: True}, **{name: value})
    other = ({"start_from_trigger", "end_from_trigger"} - {option}).pop()
    make_sensor(task_id="wait", run_id="resp_1", **{other: True}, **{name: value})


@pytest.mark.parametrize(
    "template",
    [
        "{{ ti.xcom_pull('make') }}",
        "{{ task_instance.xcom_pull('make') }}",
        "{{ var.value.run_id }}",
        "{{ conn.openai_default.login }}",
        "{{ my_macro() }}",
        "{% if ti %}a{% endif %}",
    ],
)
def test_templates_that_need_a_worker_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match="but a triggerer cannot render"):
        make_sensor(task_id="wait", run_id=template, start_from_trigger=True)
    make_sensor(task_id="wait", run_id=template, end_from_trigger=True)


@pytest.mark.parametrize("template", [TEMPLATE, "{{ dag_run.conf['run_id'] }}", "resp_{{ ds_nodash }}"])
def test_templates_that_a_triggerer_renders_are_accepted(template: str) -> None:
    make_sensor(task_id="wait", run_id=template, start_from_trigger=True)


def test_outputs_that_a_triggerer_cannot_resolve_are_refused() -> None:
    with DAG("runs", schedule=None):
        mapped = Upstream.partial(task_id="many").expand(value=["a", "b"])
        outputs = [mapped.output, Upstream(task_id="make").output.map(str)]
        for number, output in enumerate(outputs):
            with pytest.raises(ValueError, match="leave start_from_trigger out"):
                make_sensor(task_id=f"wait_{number}", run_id=output, start_from_trigger=True)


@pytest.mark.parametrize("option", ["start_from_trigger", "end_from_trigger"])
def test_a_list_of_runs_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"run_id is .*{option}"):
        make_sensor(task_id="wait", run_id=["resp_1", "resp_2"], **{option: True})


@pytest.mark.parametrize("option", ["start_from_trigger", "end_from_trigger"])
def test_an_older_airflow_is_named(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setattr(_from_trigger, "airflow_version", "3.2.1")
    with pytest.raises(ValueError, match=f"{option}=True needs Airflow 3.3 or later, and this is 3.2.1"):
        make_sensor(task_id="wait", run_id="resp_1", **{option: True})


def test_airflow_refuses_the_option_where_a_plugin_has_a_listener() -> None:
    # By this attribute, whose name is Airflow's.
    assert make_sensor(task_id="wait", run_id="resp_1", end_from_trigger=True).end_from_trigger is True
    assert make_sensor(task_id="wait", run_id="resp_1").end_from_trigger is False
