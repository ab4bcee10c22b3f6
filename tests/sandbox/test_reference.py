"""The documentation lists all faults, options and admin requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sandbox.__main__ import main
from airflow_provider_openai_run.sandbox.admin import admin_routes
from airflow_provider_openai_run.sandbox.fault_middleware import ServerState
from airflow_provider_openai_run.sandbox.faults import FAULTS
from airflow_provider_openai_run.sandbox.store import Store

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "sandbox.md").read_text()
HOWTO = (DOCS / "howto" / "testing.md").read_text()


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_the_reference_lists_each_fault(kind: str) -> None:
    assert f"`{kind}`" in REFERENCE


def test_the_reference_lists_each_admin_request() -> None:
    sandbox = Sandbox()
    router = admin_routes(Store(clock=sandbox.clock), ServerState(api_key="key"))
    paths = {str(vars(route)["path"]) for route in router.routes}
    assert len(paths) > 10
    for path in paths:
        shown = path.replace("{run_id}", "{id}").removesuffix("/{fault_id}")
        assert f"/_sandbox{shown}`" in REFERENCE, path


def test_the_guide_lists_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    options = {word.strip("[],") for word in capsys.readouterr().out.split() if word.startswith("--")}
    assert len(options) >= 7
    for option in options - {"--help"}:
        assert f"`{option}`" in HOWTO, option
