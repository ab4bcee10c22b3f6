"""The run's page as a person sees it: in the Airflow UI, in Chromium, in both themes."""

from __future__ import annotations

import time
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

QUICK_SECONDS = 10.0
LEFT_BY_SCRIPTS = (
    f"return [window.{MARK} ?? null, document.querySelectorAll('#run script, #run img, #run iframe').length]"
)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "task_id", "status", "says"),
    [
        ("completed", "facts", "completed", ["8 steps", "Code interpreter", "1,200", "Timeline"]),
        ("completed", "wait", "completed", ["gpt-4o", "A sensor leaves the steps and the answer alone"]),
        ("failed", "facts", "failed", ["server_error", "Sorry, something went wrong."]),
        ("failed", "wait", "failed", ["server_error", "Sorry, something went wrong.", "Request id"]),
        ("incomplete", "facts", "incomplete", ["Incomplete", "max_completion_tokens"]),
        ("deferred", "wait", "in_progress", ["Model", "gpt-4o", "updates itself", "Status"]),
        ("requires_action", "wait", "requires_action", ["Waits for tool outputs", "get_weather", "Oslo"]),
        ("requires_action", "facts", "requires_action", ["Waits for tool outputs", "get_weather", "Lima"]),
        ("thousand", "facts", "completed", ["1,000 steps", "150,000"]),
    ],
)
def test_the_tab_shows_the_run(
    browser: Chromium,
    shown: Mapping[str, DagRun],
    name: str,
    task_id: str,
    status: str,
    says: list[str],
    theme: str,
) -> None:
    browser.use_theme(theme)
    browser.complaints()

    browser.open_tab(DAG_ID, shown[name].run_id, task_id)

    assert browser.text("#run .status") == status
    seen = browser.text("#run")
    assert [words for words in says if words not in seen] == []
    assert browser.run("return document.documentElement.dataset.theme") == theme
    assert browser.complaints() == []
    browser.shoot(f"{name}-{task_id}-{theme}")


@pytest.mark.skipif(not hasattr(BaseXCom, "aset"), reason="before 3.3 a trigger cannot set an XCom")
def test_an_open_page_follows_its_run_until_the_task_has_ended(
    airflow: LocalAirflow, browser: Chromium, sandbox: Sandbox
) -> None:
    run = sandbox.create_run(script={"base": "completed", "seconds": 400})
    dag_run = DagRun.start(airflow, DAG_ID, {"run_id": run["id"], "thread_id": run["thread_id"]})
    dag_run.wait_until("wait", "deferred")
    browser.open_tab(DAG_ID, dag_run.run_id, "wait")
    browser.until(lambda: browser.text("#run .status") == "queued", "it is queued")
    browser.run("window.stays = 'the same page'")

    sandbox.clock.advance(100)
    browser.until(lambda: browser.text("#run .status") == "in_progress", "it is in progress")
    assert browser.run("return document.querySelectorAll('.timeline .bar').length") == 2

    sandbox.clock.advance(310)
    browser.until(lambda: browser.text("#run .status") == "completed", "it is completed", 120)
    browser.until(
        lambda: browser.run("return document.getElementById('run').dataset.live") == "no", "it ends"
    )
    assert browser.run("return window.stays") == "the same page"
    assert "updates itself" not in browser.text("#run")


def test_what_the_api_says_is_text_and_nothing_else(browser: Chromium, shown: Mapping[str, DagRun]) -> None:
    browser.complaints()
    browser.open_tab(DAG_ID, shown["hostile"].run_id, "facts")
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
    browser.until(lambda: ATTACKS[0] in browser.text("#raw"), "the raw JSON is there")

    seen = browser.text("#run")

    assert browser.run(LEFT_BY_SCRIPTS) == [None, 0]
    assert browser.run(
        "return [...document.querySelectorAll('#run a')].map(a => a.getAttribute('href'))"
    ) == [f"#step-{number}" for number in range(1, len(ATTACKS) + 1)]
    assert [attack for attack in ATTACKS[:6] if attack not in seen] == []
    assert "49" not in browser.text("#steps").split()
    assert browser.complaints() == []
    browser.driver.switch_to.default_content()
    assert browser.run(f"return window.{MARK} ?? null") is None
    browser.shoot("hostile-facts")


def test_a_thousand_steps_are_there_soon_and_each_can_be_opened(
    browser: Chromium, shown: Mapping[str, DagRun]
) -> None:
    browser.open_page(DAG_ID, shown["completed"].run_id, "facts")
    began = time.monotonic()

    browser.open_page(DAG_ID, shown["thousand"].run_id, "facts")

    assert browser.run("return document.querySelectorAll('ol.steps > li').length") == STEPS
    assert time.monotonic() - began < QUICK_SECONDS
    browser.run("location.hash = '#step-500'")
    browser.until(lambda: "print(499)" in browser.text("#step-500 .blocks"), "step 500 is open")


def test_a_task_of_another_provider_is_told_from_ours(browser: Chromium, shown: Mapping[str, DagRun]) -> None:
    shown["completed"].wait_for_task("unrelated")
    browser.open_tab(DAG_ID, shown["completed"].run_id, "unrelated")
    assert "No OpenAI run here" in browser.text("#run")


@pytest.mark.parametrize("path", ["", "/state", "/raw", "/step/1", "/text/answer"])
def test_who_has_not_logged_in_sees_nothing(
    airflow: LocalAirflow, shown: Mapping[str, DagRun], path: str
) -> None:
    url = f"{airflow.url}/openai-run/{DAG_ID}/{shown['completed'].run_id}/facts/-1{path}"
    answer = requests.get(url, timeout=30)
    assert answer.status_code == 401
    assert "gpt-4o" not in answer.text
