"""The sandbox's own addresses, under ``/_sandbox``: for those who drive it from another process.

They take the same key as the API. Each does what a method of the same name does in Python.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from airflow_provider_openai_run.sandbox import assistants, responses, threads
from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.fault_middleware import ServerControls, describe
from airflow_provider_openai_run.sandbox.response_json import response_json
from airflow_provider_openai_run.sandbox.routes import json_body
from airflow_provider_openai_run.sandbox.run_json import run_json
from airflow_provider_openai_run.sandbox.scripts import Json, read_script
from airflow_provider_openai_run.sandbox.store import Store


def admin_routes(store: Store, door: ServerControls) -> APIRouter:
    """
    Give all addresses under ``/_sandbox``.

    :param store: what the sandbox remembers.
    :param door: what its gate goes by.
    """
    router = APIRouter()
    _add_state(router, store, door)
    _add_scripts(router, store)
    _add_seeds(router, store)
    _add_faults(router, door)
    return router


def state(store: Store, door: ServerControls) -> Json:
    """
    Tell how things stand.

    :param store: what the sandbox remembers.
    :param door: what its gate goes by.
    """
    with store.lock:
        now = store.now()
        return {
            "now": now,
            "speed": store.clock.speed,
            "requests": door.requests_in_all,
            "requests_per_second": door.rate_limiter.per_second,
            "threads": list(store.threads),
            "runs": {run_id: run_json(store, run)["status"] for run_id, run in store.runs.items()},
            "responses": {
                response_id: response_json(response, now)["status"]
                for response_id, response in store.responses.items()
            },
            "faults": [fault.describe() for fault in door.faults.active()],
        }


def _add_state(router: APIRouter, store: Store, door: ServerControls) -> None:
    @router.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/state")
    async def get_state() -> JSONResponse:
        return JSONResponse(state(store, door))

    @router.get("/requests")
    async def list_requests() -> JSONResponse:
        logged = [describe(request) for request in list(door.requests)]
        return JSONResponse({"count": door.requests_in_all, "requests": logged})

    @router.post("/reset")
    async def reset() -> JSONResponse:
        with store.lock:
            store.reset()
        door.reset()
        return JSONResponse(state(store, door))

    @router.post("/clock/advance")
    async def advance(request: Request) -> JSONResponse:
        seconds = (await json_body(request)).get("seconds")
        if not isinstance(seconds, int | float) or seconds < 0:
            raise APIError(400, "Say by how many seconds, 0 or more.", param="seconds")
        return JSONResponse({"now": store.clock.advance(seconds)})


def _add_scripts(router: APIRouter, store: Store) -> None:
    @router.get("/scripts")
    async def list_scripts() -> JSONResponse:
        return JSONResponse({name: script.about for name, script in store.scripts.items()})

    @router.put("/scripts/{name}")
    async def add_script(request: Request, name: str) -> JSONResponse:
        script = _read(await json_body(request), store)
        store.scripts[name] = script
        return JSONResponse({"name": name, "seconds": script.seconds})

    @router.post("/default_script")
    async def set_default_script(request: Request) -> JSONResponse:
        store.default_script = _read((await json_body(request)).get("script", ""), store)
        return JSONResponse({"seconds": store.default_script.seconds})


def _read(wanted: Any, store: Store) -> Any:
    try:
        return read_script(wanted, store.scripts)
    except ValueError as error:
        raise APIError(400, str(error), param="script") from error


def _add_seeds(router: APIRouter, store: Store) -> None:
    @router.post("/threads")
    async def create_thread(request: Request) -> JSONResponse:
        body = await json_body(request)
        with store.lock:
            return JSONResponse(threads.create_thread(store, body, thread_id=body.get("id")))

    @router.post("/runs")
    async def seed_run(request: Request) -> JSONResponse:
        body = await json_body(request)
        with store.lock:
            return JSONResponse(assistants.seed_run(store, body.get("run") or {}, body.get("steps") or []))

    @router.post("/responses")
    async def seed_response(request: Request) -> JSONResponse:
        body = await json_body(request)
        items = body.get("input_items") or []
        with store.lock:
            return JSONResponse(responses.seed_response(store, body.get("response") or {}, items))


def _add_faults(router: APIRouter, door: ServerControls) -> None:
    @router.get("/faults")
    async def list_faults() -> JSONResponse:
        return JSONResponse([fault.describe() for fault in door.faults.active()])

    @router.post("/faults")
    async def add_fault(request: Request) -> JSONResponse:
        options = await json_body(request)
        try:
            fault = door.faults.add(options.pop("kind", ""), **options)
        except (TypeError, ValueError) as error:
            raise APIError(400, str(error)) from error
        return JSONResponse(fault.describe())

    @router.delete("/faults")
    async def clear_faults() -> JSONResponse:
        door.faults.clear()
        return JSONResponse([])

    @router.delete("/faults/{fault_id}")
    async def clear_fault(fault_id: int) -> JSONResponse:
        door.faults.clear(fault_id)
        return JSONResponse([fault.describe() for fault in door.faults.active()])

    @router.post("/rate_limit")
    async def limit_rate(request: Request) -> JSONResponse:
        per_second = (await json_body(request)).get("per_second")
        is_rate = type(per_second) is int and per_second >= 0
        if per_second is not None and not is_rate:
            raise APIError(400, "Say how many requests in a second, 0 or more, or null.", param="per_second")
        door.rate_limiter.per_second = per_second
        return JSONResponse({"per_second": per_second})
