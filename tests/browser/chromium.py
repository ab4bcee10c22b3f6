"""A headless Chromium that is logged in to Airflow and opens task instances."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

ROOT = Path(__file__).resolve().parents[2]

#: The folder for screenshots; the documentation's images come from there.
SCREENSHOTS = Path(os.environ.get("RUN_PAGE_SCREENSHOTS", ROOT / "build" / "screenshots"))

WAIT_SECONDS = 60.0
TAB = "OpenAI run"
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Console messages about Airflow's own pages, the frame that Airflow shows the page in, and the network.
_IGNORED_MESSAGES = ("autocomplete attributes", "can escape its sandboxing", "favicon", "/static/assets/")


class NoChromiumError(AssertionError):
    """Chromium or its driver is not installed."""


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    """
    Start Chromium with an empty profile, and quit it at the end.

    :param profile: an empty folder for the profile.
    """
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in programs.values():
        missing = " and ".join(name for name, path in programs.items() if path is None)
        raise NoChromiumError(f"{missing} not found; on Debian: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for argument in (*_ARGUMENTS, f"--user-data-dir={profile}", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(programs["chromedriver"])))
    try:
        yield Chromium(driver)
    finally:
        driver.quit()


class Chromium:
    """
    The browser, with the steps of a user.

    :param driver: Selenium's driver.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self._url = ""

    def log_in(self, url: str, username: str, password: str) -> Self:
        """
        Log in to Airflow with its form.

        :param url: Airflow's base URL.
        :param username: a user of the ``SimpleAuthManager``.
        """
        self._url = url
        self.driver.get(f"{url}/auth/login")
        for selector, text in (("input[name=username]", username), ("input[type=password]", password)):
            self.wait_for(selector).send_keys(text)
        self.wait_for("button[type=submit]").click()
        self.wait_until(lambda: "/auth/login" not in self.driver.current_url, "logged in")
        return self

    def use_theme(self, theme: str) -> None:
        """Set the theme of Airflow's UI: ``light`` or ``dark``."""
        self.driver.switch_to.default_content()
        self.driver.execute_script("localStorage.setItem('theme', arguments[0])", theme)

    def open_tab(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, query: str = "") -> None:
        """
        Open a task instance in Airflow's UI, click the tab and switch to its frame.

        :param query: the query of the URL, which selects the iteration of a loop.
        """
        self.open_task(dag_id, run_id, task_id, map_index, query)
        self.wait_until(lambda: self.tab() is not None, f"the tab {TAB} is shown")
        tab = self.tab()
        assert tab is not None
        tab.click()
        self.driver.switch_to.frame(self.wait_for(f"iframe[title='{TAB}']"))
        self.wait_for("#run")

    def open_task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, query: str = "") -> None:
        """Open a task instance in Airflow's UI."""
        self.driver.switch_to.default_content()
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        self.driver.get(f"{self._url}/dags/{dag_id}/runs/{run_id}/tasks/{task_id}{mapped}?{query}")

    def tab(self, name: str = TAB) -> WebElement | None:
        """Return a tab of the task instance, if it is shown."""
        found = self.driver.find_elements(By.XPATH, f"//a[normalize-space()='{name}']")
        return found[0] if found else None

    def open_page(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Open the page on its own, without Airflow's UI."""
        self.driver.switch_to.default_content()
        self.driver.get(f"{self._url}/openai-run/{dag_id}/{run_id}/{task_id}/{map_index}")
        self.wait_for("#run")

    def wait_for(self, selector: str) -> WebElement:
        """Wait for an element and return it."""
        self.wait_until(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector), f"there is {selector}")
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(self.wait_for(selector).text)

    def execute(self, script: str, *arguments: Any) -> Any:
        """Execute JavaScript in the current frame and return its result."""
        return self.driver.execute_script(script, *arguments)

    def wait_until(
        self, condition: Callable[[], object], description: str, timeout: float = WAIT_SECONDS
    ) -> None:
        """Wait until a condition is true; fail with the page's text after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if condition():
                    return
            except StaleElementReferenceException:
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"Not within {timeout:g} s: {description}\n{self._page_text()}")
            time.sleep(0.1)

    def _page_text(self) -> str:
        try:
            return f"{self.driver.current_url}\n{self.driver.find_element(By.TAG_NAME, 'body').text[:3000]}"
        except WebDriverException as error:
            return str(error)

    def console_messages(self) -> list[str]:
        """Return the console's messages since the last call, except those about Airflow's own pages."""
        messages = [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        return [line for line in messages if not any(part in line for part in _IGNORED_MESSAGES)]

    def save_screenshot(self, name: str) -> Path:
        """
        Save a screenshot and return its path.

        :param name: its file name, without the suffix.
        """
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        assert self.driver.save_screenshot(str(path))
        return path
