"""The run's page in the Airflow UI, in Chromium, in both themes."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlencode

import pytest
import requests
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.bases.xcom import BaseXCom
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from airflow_provider_openai_run.sandbox import Sandbox
from tests.browser.chromium import Chromium
from tests.browser.conftest import CONSOLE, DAG_ID, FAILED_STEP, STEPS
from tests.browser.hostile import ATTACKS, MARK
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = [pytest.mark.browser, pytest.mark.system]

needs_loops = pytest.mark.skipif(
    not hasattr(TaskInstance, "region_id"),
    reason="Airflow has loops, and tabs for some tasks only, from 3.4 on",
)

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
        ("failed_step", "get_run", "completed", ["1 step failed:", "The interpreter has crashed."]),
        ("rounds", "response", "completed", ["2 tool rounds", "get_time", "get_weather, get_weather"]),
        ("person", "response", "waits for a person", ["Waiting for a person", "dice: roll", "2d6"]),
        ("refusal", "response", "completed", ["The model refused", "I can't help with that", "refused"]),
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

    browser.open_tab(dag_runs[name].dag_id, dag_runs[name].run_id, task_id)

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


def hrefs(browser: Chromium) -> list[str]:
    """Return where the links of the page lead."""
    found: list[str] = browser.execute(
        "return [...document.querySelectorAll('#run a')].map(a => a.getAttribute('href'))"
    )
    return found


def test_hostile_markdown_of_a_model_is_harmless(browser: Chromium, dag_runs: Mapping[str, DagRun]) -> None:
    browser.console_messages()
    browser.open_tab(DAG_ID, dag_runs["hostile_answer"].run_id, "get_run")
    assert "A heading" in browser.text("#answer h3")
    assert browser.execute(INJECTED_ELEMENTS) == [None, 0]
    away = [link for link in hrefs(browser) if not link.startswith(("#", "../../../../dags/"))]
    assert [link for link in away if not link.startswith(("https://", "http://"))] == []
    assert browser.driver.find_elements(By.CSS_SELECTOR, "#answer [style], #answer [onerror]") == []
    assert browser.console_messages() == []
    browser.save_screenshot("hostile_answer-get_run")


def test_hostile_text_from_the_api_is_shown_as_text(
    browser: Chromium, dag_runs: Mapping[str, DagRun]
) -> None:
    browser.console_messages()
    browser.open_tab(DAG_ID, dag_runs["hostile"].run_id, "get_run")
    browser.execute("document.querySelectorAll('details').forEach(one => { one.open = true })")
    browser.wait_until(lambda: ATTACKS[0] in browser.text("#raw"), "the raw JSON is loaded")

    page_text = browser.text("#run")

    assert browser.execute(INJECTED_ELEMENTS) == [None, 0]
    own_links = ("#step-", "../../../../dags/", f"{CONSOLE}/")
    assert [link for link in hrefs(browser) if not link.startswith(own_links)] == []
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


def visible_steps(browser: Chromium) -> list[str]:
    """Return the ids of the steps that the list shows."""
    found: list[str] = browser.execute(
        "return [...document.querySelectorAll('ol.steps > li')].filter(li => !li.hidden).map(li => li.id)"
    )
    return found


def test_one_failed_step_of_a_thousand_is_found(browser: Chromium, dag_runs: Mapping[str, DagRun]) -> None:
    failed = f"step-{FAILED_STEP}"
    browser.open_tab(DAG_ID, dag_runs["failed_step"].run_id, "get_run")

    browser.wait_for("button[data-status=failed-only]").click()
    assert visible_steps(browser) == [failed]
    assert browser.text("[data-matches]") == "1 shown"
    browser.wait_for("button[data-status='']").click()
    assert len(visible_steps(browser)) == STEPS

    browser.wait_for("input[name=text]").send_keys("has crashed")
    browser.wait_until(lambda: visible_steps(browser) == [failed], "the search has found the step")
    browser.wait_for("input[name=text]").clear()
    browser.wait_until(lambda: len(visible_steps(browser)) == STEPS, "all steps are shown again")

    browser.wait_for("input[name=number]").send_keys("500", Keys.ENTER)
    browser.wait_until(lambda: "print(500)" in browser.text("#step-500 .blocks"), "step 500 is open")
    browser.wait_for(f".failed-steps a[href='#{failed}']").click()
    browser.wait_until(lambda: "has crashed" in browser.text(f"#{failed} .blocks"), "the step is open")
    assert browser.execute("return document.activeElement.closest('li').id") == failed


def test_the_keyboard_reaches_the_steps_and_moves_in_them(
    browser: Chromium, dag_runs: Mapping[str, DagRun]
) -> None:
    browser.open_page(DAG_ID, dag_runs["completed"].run_id, "get_run")
    focused = "return document.activeElement.textContent.trim()"
    order: list[str] = []
    for _ in range(40):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        order.append(str(browser.execute(focused)))
        if order[-1].startswith("1"):
            break
    assert order[:2] == ["Task log", "XComs"]
    assert order[-1].split()[:3] == ["1", "Code", "interpreter"]
    outline = browser.execute("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"

    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert browser.execute("return document.activeElement.closest('li').id") == "step-2"
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute("return document.querySelector('#step-2 details').open")


def test_each_round_shows_its_calls_and_outputs(browser: Chromium, dag_runs: Mapping[str, DagRun]) -> None:
    run = dag_runs["rounds"]
    browser.open_page(run.dag_id, run.run_id, "response")
    browser.execute("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert "noon in Oslo" in browser.text("#round-1")
    for text in ("Oslo", "Lima", "rain in Lima"):
        assert text in browser.text("#round-2")
    shown_input = browser.text("#input")
    for text in ("What is the answer?", "Answer briefly.", "get_weather"):
        assert text in shown_input
    assert str(browser.wait_for(".attributes a").get_attribute("href")).endswith("#round-2")


def test_links_open_in_the_window_around_the_frame(browser: Chromium, dag_runs: Mapping[str, DagRun]) -> None:
    run = dag_runs["person"]
    browser.open_tab(run.dag_id, run.run_id, "response")
    browser.wait_for("a.button").click()
    browser.driver.switch_to.default_content()
    path = f"/dags/{run.dag_id}/runs/{run.run_id}/tasks/response/required_actions"
    browser.wait_until(lambda: path in unquote(browser.driver.current_url), "the required action is open")


def test_times_are_in_the_zone_that_is_chosen_in_airflow(
    browser: Chromium, dag_runs: Mapping[str, DagRun]
) -> None:
    browser.open_page(DAG_ID, dag_runs["completed"].run_id, "get_run")
    browser.execute("localStorage.setItem('timezone', JSON.stringify('Asia/Tokyo'))")
    try:
        browser.open_page(DAG_ID, dag_runs["completed"].run_id, "get_run")
        browser.wait_until(lambda: "GMT+9" in browser.text(".attributes time"), "the time is that of Tokyo")
        assert str(browser.wait_for(".attributes time").get_attribute("title")).endswith(" UTC")
    finally:
        browser.execute("localStorage.removeItem('timezone')")


def test_a_copy_button_copies_the_whole_text(browser: Chromium, dag_runs: Mapping[str, DagRun]) -> None:
    run = dag_runs["rounds"]
    browser.open_page(run.dag_id, run.run_id, "response")
    browser.execute("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    answer = run.xcoms("response")["answer"]
    browser.wait_for("#answer button.copy").click()
    browser.wait_until(lambda: browser.execute("return window.copied") == answer, "the answer is copied")


@pytest.mark.parametrize("width", [600, 760, 1000, 1400])
@pytest.mark.parametrize(
    ("name", "task_id"), [("failed_step", "get_run"), ("rounds", "response"), ("person", "response")]
)
def test_nothing_is_cut_off_at_any_width(
    browser: Chromium, dag_runs: Mapping[str, DagRun], name: str, task_id: str, width: int
) -> None:
    run = dag_runs[name]
    browser.driver.set_window_size(width, 1000)
    try:
        browser.open_page(run.dag_id, run.run_id, task_id)
        assert browser.execute("return document.documentElement.scrollWidth <= innerWidth")
        if name == "failed_step":
            status = browser.wait_for("#step-1 .cell-status")
            assert (status.is_displayed(), status.text) == (True, "completed")
    finally:
        browser.driver.set_window_size(1400, 1000)


def test_a_task_of_another_provider_has_no_run(browser: Chromium, dag_runs: Mapping[str, DagRun]) -> None:
    dag_runs["completed"].wait_for_task("unrelated")
    browser.open_page(DAG_ID, dag_runs["completed"].run_id, "unrelated")
    assert "No OpenAI run" in browser.text("#run")


@needs_loops
def test_a_task_of_another_provider_has_no_tab(browser: Chromium, dag_runs: Mapping[str, DagRun]) -> None:
    browser.open_task(DAG_ID, dag_runs["completed"].run_id, "unrelated")
    browser.wait_until(lambda: browser.tab("XCom") is not None, "the other tabs are shown")
    # Airflow decides about a tab when it has the task, which it shows on the page too.
    browser.wait_until(lambda: "unrelated" in browser.text("body"), "the task is loaded")
    assert browser.tab() is None


def wait_for_iteration(browser: Chromium, number: int) -> None:
    text = f"Iteration {number}"
    browser.wait_until(lambda: text in browser.text("#run"), f"{text} is shown")


@needs_loops
def test_the_tab_follows_the_iteration_of_a_loop(airflow: LocalAirflow, browser: Chromium) -> None:
    run = DagRun.start(airflow, "repeated_run", {})
    run.wait_for_success()
    regions = {
        instance["loop_iteration"]["iteration"]: instance
        for instance in airflow.rest.task_instances(run.dag_id, run.run_id)
        if instance["task_id"] == "body.run"
    }

    for number, instance in regions.items():
        query = urlencode({name: instance[name] for name in ("region_id", "region_index")})
        browser.open_tab(run.dag_id, run.run_id, "body.run", query=query)
        wait_for_iteration(browser, number)
        browser.save_screenshot(f"iteration-{number}")

    assert len(regions) == 2
    browser.wait_for("#run nav a").click()
    wait_for_iteration(browser, 0)
    assert browser.console_messages() == []


@pytest.mark.parametrize("path", ["", "/state", "/raw", "/step/1", "/text/answer", "/search?text=a"])
def test_without_a_login_there_is_no_access(
    airflow: LocalAirflow, dag_runs: Mapping[str, DagRun], path: str
) -> None:
    url = f"{airflow.url}/openai-run/{DAG_ID}/{dag_runs['completed'].run_id}/get_run/-1{path}"
    response = requests.get(url, timeout=30)
    assert response.status_code == 401
    assert "gpt-4o" not in response.text
