"""The admin API under ``/_sandbox``, to control the sandbox from another process.

It takes the API key of the sandbox. Its routes do what the methods of :class:`Sandbox` do.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_openai_run.sandbox import assistants, batches, responses, threads
from airflow_provider_openai_run.sandbox.batch_scripts import BATCH_SCRIPTS, read_batch_script
from airflow_provider_openai_run.sandbox.errors import APIError, not_found
from airflow_provider_openai_run.sandbox.examples import seed_examples
from airflow_provider_openai_run.sandbox.fault_middleware import ServerState
from airflow_provider_openai_run.sandbox.response_json import response_json
from airflow_provider_openai_run.sandbox.routes import json_body
from airflow_provider_openai_run.sandbox.run_json import run_json, steps_json
from airflow_provider_openai_run.sandbox.scripts import JsonObject, read_script
from airflow_provider_openai_run.sandbox.store import Store


def admin_routes(store: Store, server_state: ServerState) -> APIRouter:
    """
    Return the router of all paths under ``/_sandbox``.

    :param store: the sandbox's data.
    :param server_state: the API key, faults, rate limit and request log.
    """
    router = APIRouter()
    _add_state(router, store, server_state)
    _add_scripts(router, store)
    _add_seeds(router, store)
    _add_run_links(router, store)
    _add_faults(router, server_state)
    return router


def describe_state(store: Store, server_state: ServerState) -> JsonObject:
    """
    Return the time, the statuses of all runs, responses and batches, and the faults.

    :param store: the sandbox's data.
    :param server_state: the API key, faults, rate limit and request log.
    """
    with store.lock:
        now = store.now()
        return {
            "now": now,
            "speed": store.clock.speed,
            "requests": server_state.request_count,
            "requests_per_second": server_state.rate_limiter.per_second,
            "refused_responses": server_state.quota.refused,
            "threads": list(store.threads),
            "runs": {run_id: run_json(store, run)["status"] for run_id, run in store.runs.items()},
            "responses": {
                response_id: response_json(response, now)["status"]
                for response_id, response in store.responses.items()
            },
            "batches": {
                batch_id: batches.batch_json(store, batch)["status"]
                for batch_id, batch in store.batches.items()
            },
            "faults": [fault.describe() for fault in server_state.faults.active()],
        }


def _add_state(router: APIRouter, store: Store, server_state: ServerState) -> None:
    @router.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/state")
    async def get_state() -> JSONResponse:
        return JSONResponse(describe_state(store, server_state))

    @router.get("/requests")
    async def list_requests() -> JSONResponse:
        requests = [request.to_json() for request in list(server_state.requests)]
        return JSONResponse({"count": server_state.request_count, "requests": requests})

    @router.get("/created_responses")
    async def list_created_responses() -> JSONResponse:
        with store.lock:
            return JSONResponse(list(store.created_responses))

    @router.post("/idempotency_keys")
    async def honour_idempotency_keys(request: Request) -> JSONResponse:
        store.honours_idempotency_keys = bool((await json_body(request)).get("honoured", True))
        return JSONResponse({"honoured": store.honours_idempotency_keys})

    @router.post("/reset")
    async def reset() -> JSONResponse:
        with store.lock:
            store.reset()
        server_state.reset()
        return JSONResponse(describe_state(store, server_state))

    @router.post("/clock/advance")
    async def advance(request: Request) -> JSONResponse:
        seconds = (await json_body(request)).get("seconds")
        if not isinstance(seconds, int | float) or seconds < 0:
            raise APIError(400, "seconds must be a number, 0 or more.", param="seconds")
        return JSONResponse({"now": store.clock.advance(seconds)})


def _add_scripts(router: APIRouter, store: Store) -> None:
    @router.get("/scripts")
    async def list_scripts() -> JSONResponse:
        return JSONResponse({name: script.description for name, script in store.scripts.items()})

    @router.put("/scripts/{name}")
    async def add_script(request: Request, name: str) -> JSONResponse:
        script = _read_script(await json_body(request), store)
        store.scripts[name] = script
        return JSONResponse({"name": name, "seconds": script.seconds})

    @router.post("/default_script")
    async def set_default_script(request: Request) -> JSONResponse:
        store.default_script = _read_script((await json_body(request)).get("script", ""), store)
        return JSONResponse({"seconds": store.default_script.seconds})

    @router.get("/batch_scripts")
    async def list_batch_scripts() -> JSONResponse:
        return JSONResponse({name: script.description for name, script in BATCH_SCRIPTS.items()})

    @router.post("/default_batch_script")
    async def set_default_batch_script(request: Request) -> JSONResponse:
        try:
            script = read_batch_script((await json_body(request)).get("script", ""))
        except (TypeError, ValueError) as error:
            raise APIError(400, str(error), param="script") from error
        store.default_batch_script = script
        return JSONResponse(dataclasses.asdict(script))


def _read_script(value: Any, store: Store) -> Any:
    try:
        return read_script(value, store.scripts)
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

    @router.post("/examples")
    async def create_examples() -> JSONResponse:
        with store.lock:
            return JSONResponse([dataclasses.asdict(example) for example in seed_examples(store)])

    @router.post("/responses")
    async def seed_response(request: Request) -> JSONResponse:
        body = await json_body(request)
        items = body.get("input_items") or []
        with store.lock:
            return JSONResponse(responses.seed_response(store, body.get("response") or {}, items))


def _add_run_links(router: APIRouter, store: Store) -> None:
    @router.get("/runs/{run_id}")
    async def show_run(run_id: str) -> Response:
        with store.lock:
            document: JsonObject
            if run_id in store.runs:
                run = store.runs[run_id]
                document = {"run": run_json(store, run), "steps": steps_json(store, run)}
            elif run_id in store.responses:
                response = store.responses[run_id]
                document = {
                    "response": response_json(response, store.now()),
                    "input_items": response.input_items,
                }
            else:
                raise not_found("run or response", run_id)
        return Response(json.dumps(document, indent=2), media_type="application/json")


def _add_faults(router: APIRouter, server_state: ServerState) -> None:
    @router.get("/faults")
    async def list_faults() -> JSONResponse:
        return JSONResponse([fault.describe() for fault in server_state.faults.active()])

    @router.post("/faults")
    async def add_fault(request: Request) -> JSONResponse:
        options = await json_body(request)
        try:
            fault = server_state.faults.add(options.pop("kind", ""), **options)
        except (TypeError, ValueError) as error:
            raise APIError(400, str(error)) from error
        return JSONResponse(fault.describe())

    @router.delete("/faults")
    async def clear_faults() -> JSONResponse:
        server_state.faults.clear()
        return JSONResponse([])

    @router.delete("/faults/{fault_id}")
    async def clear_fault(fault_id: int) -> JSONResponse:
        server_state.faults.clear(fault_id)
        return JSONResponse([fault.describe() for fault in server_state.faults.active()])

    @router.post("/response_limits")
    async def limit_responses(request: Request) -> JSONResponse:
        limits = await json_body(request)
        try:
            server_state.quota.limit(**limits)
        except (TypeError, ValueError) as error:
            raise APIError(400, str(error)) from error
        return JSONResponse(limits)

    @router.post("/rate_limit")
    async def limit_rate(request: Request) -> JSONResponse:
        per_second = (await json_body(request)).get("per_second")
        is_rate = type(per_second) is int and per_second >= 0
        if per_second is not None and not is_rate:
            raise APIError(400, "per_second must be an integer, 0 or more, or null.", param="per_second")
        server_state.rate_limiter.per_second = per_second
        return JSONResponse({"per_second": per_second})
