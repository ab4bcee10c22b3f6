"""The run's page in the Airflow UI, in Chromium, in both themes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import requests
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_openai_run.sandbox import Sandbox
from tests.browser.chromium import Chromium
from tests.browser.conftest import DAG_ID, STEPS
from tests.browser.hostile import ATTACKS, MARK
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = [pytest.mark.browser, pytest.mark.system]

INJECTED_ELEMENTS = (
    f"return [window.{MARK} ?? null, document.querySelectorAll('#run script, #run img, #run iframe').length]"
)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "task_id", "status", "texts"),
    [
        ("completed", "get_run", "completed", ["8 steps", "Code interpreter", "1,200", "Timeline"]),
        (
            "completed",
            "wait",
            "completed",
            ["gpt-4o", "The sensor does not retrieve the steps and the answer"],
        ),
        ("failed", "get_run", "failed", ["server_error", "Sorry, something went wrong."]),
        ("failed", "wait", "failed", ["server_error", "Sorry, something went wrong.", "Request id"]),
        ("incomplete", "get_run", "incomplete", ["Incomplete", "max_completion_tokens"]),
        ("deferred", "wait", "in_progress", ["Model", "gpt-4o", "updates automatically", "Status"]),
        ("requires_action", "wait", "requires_action", ["Waiting for tool outputs", "get_weather", "Oslo"]),
        (
            "requires_action",
            "get_run",
            "requires_action",
            ["Waiting for tool outputs", "get_weather", "Lima"],
        ),
        ("thousand", "get_run", "completed", ["1,000 steps", "150,000"]),
    ],
)
def test_the_tab_shows_the_run(
    browser: Chromium,
    dag_runs: Mapping[str, DagRun],
    name: str,
    task_id: str,
    status: str,
    texts: list[str],
    theme: str,
) -> None:
    browser.use_theme(theme)
    browser.console_messages()

    browser.open_tab(DAG_ID, dag_runs[name].run_id, task_id)

    assert browser.text("#run .status") == status
    page_text = browser.text("#run")
    assert [text for text in texts if text not in page_text] == []
    assert browser.execute("return document.documentElement.dataset.theme") == theme
    assert browser.console_messages() == []
    browser.save_screenshot(f"{name}-{task_id}-{theme}")


@pytest.mark.skipif(not hasattr(BaseXCom, "aset"), reason="before 3.3 a trigger cannot set an XCom")
def test_an_open_page_is_refreshed_until_the_task_has_ended(
    airflow: LocalAirflow, browser: Chromium, sandbox: Sandbox
) -> None:
    run = sandbox.create_run(script={"base": "completed", "seconds": 400})
    dag_run = DagRun.start(airflow, DAG_ID, {"run_id": run["id"], "thread_id": run["thread_id"]})
    dag_run.wait_until("wait", "deferred")
    browser.open_tab(DAG_ID, dag_run.run_id, "wait")
    browser.wait_until(lambda: browser.text("#run .status") == "queued", "it is queued")
    browser.execute("window.marker = 'not reloaded'")

    sandbox.clock.advance(100)
    browser.wait_until(lambda: browser.text("#run .status") == "in_progress", "it is in progress")
    assert browser.execute("return document.querySelectorAll('.timeline .bar').length") == 2

    sandbox.clock.advance(310)
    browser.wait_until(lambda: browser.text("#run .status") == "completed", "it is completed", 120)
    browser.wait_until(
        lambda: browser.execute("return document.getElementById('run').dataset.live") == "no",
        "the page is not live",
    )
    assert browser.execute("return window.marker") == "not reloaded"
    assert "updates automatically" not in browser.text("#run")


def test_hostile_text_from_the_api_is_shown_as_text(
    browser: Chromium, dag_runs: Mapping[str, DagRun]
) -> None:
    browser.console_messages()
    browser.open_tab(DAG_ID, dag_runs["hostile"].run_id, "get_run")
    browser.execute("document.querySelectorAll('details').forEach(one => { one.open = true })")
    browser.wait_until(lambda: ATTACKS[0] in browser.text("#raw"), "the raw JSON is loaded")

    page_text = browser.text("#run")

    assert browser.execute(INJECTED_ELEMENTS) == [None, 0]
    assert browser.execute(
        "return [...document.querySelectorAll('#run a')].map(a => a.getAttribute('href'))"
    ) == [f"#step-{number}" for number in range(1, len(ATTACKS) + 1)]
    assert [attack for attack in ATTACKS[:6] if attack not in page_text] == []
    assert "49" not in browser.text("#steps").split()
    assert browser.console_messages() == []
    browser.driver.switch_to.default_content()
    assert browser.execute(f"return window.{MARK} ?? null") is None
    browser.save_screenshot("hostile-get_run")


def test_a_page_with_a_thousand_steps_loads_and_opens_any_step(
    browser: Chromium, dag_runs: Mapping[str, DagRun]
) -> None:
    browser.open_page(DAG_ID, dag_runs["completed"].run_id, "get_run")
    browser.open_page(DAG_ID, dag_runs["thousand"].run_id, "get_run")

    assert browser.execute("return document.querySelectorAll('ol.steps > li').length") == STEPS
    browser.execute("location.hash = '#step-500'")
    browser.wait_until(lambda: "print(499)" in browser.text("#step-500 .blocks"), "step 500 is open")


def test_a_task_of_another_provider_has_no_run(browser: Chromium, dag_runs: Mapping[str, DagRun]) -> None:
    dag_runs["completed"].wait_for_task("unrelated")
    browser.open_tab(DAG_ID, dag_runs["completed"].run_id, "unrelated")
    assert "No OpenAI run" in browser.text("#run")


@pytest.mark.parametrize("path", ["", "/state", "/raw", "/step/1", "/text/answer"])
def test_without_a_login_there_is_no_access(
    airflow: LocalAirflow, dag_runs: Mapping[str, DagRun], path: str
) -> None:
    url = f"{airflow.url}/openai-run/{DAG_ID}/{dag_runs['completed'].run_id}/get_run/-1{path}"
    response = requests.get(url, timeout=30)
    assert response.status_code == 401
    assert "gpt-4o" not in response.text
