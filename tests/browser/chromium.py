"""Chromium without a window, as a person uses it who has logged in to Airflow."""

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

#: Where screenshots are written; the documentation takes them from there.
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
#: What Chromium says of Airflow's own pages, of the frame Airflow puts the page into, and of its own network.
_NOT_OURS = ("autocomplete attributes", "can escape its sandboxing", "favicon", "/static/assets/")


class NoChromiumError(AssertionError):
    """Chromium or its driver is not installed."""


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    """
    Start a Chromium with an empty profile, and end it.

    :param profile: a folder of its own.
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
    A browser.

    :param driver: Selenium's.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self._url = ""

    def log_in(self, url: str, username: str, password: str) -> Self:
        """
        Log in to Airflow by its form.

        :param url: where Airflow is.
        :param username: of a user of the ``SimpleAuthManager``.
        :param password: the user's.
        """
        self._url = url
        self.driver.get(f"{url}/auth/login")
        for selector, text in (("input[name=username]", username), ("input[type=password]", password)):
            self.wait_for(selector).send_keys(text)
        self.wait_for("button[type=submit]").click()
        self.until(lambda: "/auth/login" not in self.driver.current_url, "logged in")
        return self

    def use_theme(self, theme: str) -> None:
        """Choose the theme of Airflow's UI, as its menu does: ``light`` or ``dark``."""
        self.driver.switch_to.default_content()
        self.driver.execute_script("localStorage.setItem('theme', arguments[0])", theme)

    def open_tab(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Open a task instance in Airflow's UI, click the tab, and go into its frame."""
        self.driver.switch_to.default_content()
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        self.driver.get(f"{self._url}/dags/{dag_id}/runs/{run_id}/tasks/{task_id}{mapped}")
        self.until(lambda: self._tab() is not None, f"the tab {TAB} is there")
        tab = self._tab()
        assert tab is not None
        tab.click()
        self.driver.switch_to.frame(self.wait_for(f"iframe[title='{TAB}']"))
        self.wait_for("#run")

    def _tab(self) -> WebElement | None:
        found = self.driver.find_elements(By.XPATH, f"//a[normalize-space()='{TAB}']")
        return found[0] if found else None

    def open_page(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Open the page without Airflow's UI around it."""
        self.driver.switch_to.default_content()
        self.driver.get(f"{self._url}/openai-run/{dag_id}/{run_id}/{task_id}/{map_index}")
        self.wait_for("#run")

    def wait_for(self, selector: str) -> WebElement:
        """Wait for an element, and give it."""
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector), f"there is {selector}")
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """What a person reads in an element."""
        return str(self.wait_for(selector).text)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript where the browser is now."""
        return self.driver.execute_script(script, *arguments)

    def until(self, holds: Callable[[], object], what: str, timeout: float = WAIT_SECONDS) -> None:
        """Wait until something holds; fail with a picture's worth of words."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if holds():
                    return
            except StaleElementReferenceException:
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"After {timeout:g} s not so: {what}\n{self._seen()}")
            time.sleep(0.1)

    def _seen(self) -> str:
        try:
            return f"{self.driver.current_url}\n{self.driver.find_element(By.TAG_NAME, 'body').text[:3000]}"
        except WebDriverException as error:
            return str(error)

    def complaints(self) -> list[str]:
        """What the console got since it was asked last, but for what Airflow's own pages are at fault for."""
        told = [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        return [line for line in told if not any(part in line for part in _NOT_OURS)]

    def shoot(self, name: str) -> Path:
        """
        Write a screenshot.

        :param name: of its file, without the suffix.
        """
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        assert self.driver.save_screenshot(str(path))
        return path
