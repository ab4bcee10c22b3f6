"""The contents of the sandbox as a Python object: create, seed and list runs, responses and batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.sandbox import assistants, batches, files, responses, threads
from airflow_provider_openai_run.sandbox.batch_scripts import read_batch_script
from airflow_provider_openai_run.sandbox.examples import Example, seed_examples
from airflow_provider_openai_run.sandbox.response_json import response_json
from airflow_provider_openai_run.sandbox.run_json import run_json
from airflow_provider_openai_run.sandbox.scripts import JsonObject, read_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_openai_run.sandbox.batch_scripts import BatchScript
    from airflow_provider_openai_run.sandbox.scripts import Script
    from airflow_provider_openai_run.sandbox.store import Store


class SandboxContents:
    """The runs, responses, files, batches and scripts of a sandbox."""

    _store: Store

    def add_script(self, name: str, script: Script | str | Mapping[str, Any]) -> Script:
        """
        Add a script under a name.

        :param name: the name.
        :param script: the script.
        """
        self._store.scripts[name] = read_script(script, self._store.scripts)
        return self._store.scripts[name]

    def set_default_script(self, script: Script | str | Mapping[str, Any]) -> None:
        """
        Set the script of runs that select none.

        :param script: the script.
        """
        self._store.default_script = read_script(script, self._store.scripts)

    @property
    def scripts(self) -> dict[str, Script]:
        """The scripts by name."""
        return dict(self._store.scripts)

    def create_thread(
        self, thread_id: str | None = None, *, message: str = "What is the answer?"
    ) -> JsonObject:
        """
        Create a thread with one message in it.

        :param thread_id: ID of the thread; a new one by default.
        :param message: text of the user's message.
        :return: the thread's JSON.
        """
        body = {"messages": [{"role": "user", "content": message}]}
        with self._store.lock:
            return threads.create_thread(self._store, body, thread_id=thread_id)

    def create_run(
        self,
        thread_id: str | None = None,
        *,
        script: Script | str | Mapping[str, Any] | None = None,
        assistant_id: str = "asst_sandbox",
        **params: Any,
    ) -> JsonObject:
        """
        Create a run of the Assistants API.

        :param thread_id: ID of the thread; a new thread by default.
        :param script: its script.
        :param assistant_id: ID of its assistant; any ID is valid.
        :param params: other parameters of the request.
        :return: the run's JSON.
        """
        with self._store.lock:
            thread_id = thread_id or self.create_thread()["id"]
            body = {"assistant_id": assistant_id, **params}
            return assistants.create_run(self._store, thread_id, body, script=self._script(script))

    def create_response(
        self,
        *,
        script: Script | str | Mapping[str, Any] | None = None,
        background: bool = True,
        model: str = "gpt-4o-mini",
        **params: Any,
    ) -> JsonObject:
        """
        Create a response.

        :param script: its script.
        :param background: whether it runs in the background; otherwise it has ended when this returns.
        :param model: name of the model; any name is valid.
        :param params: other parameters of the request.
        :return: the response's JSON.
        """
        body = {"model": model, "background": background, "input": "What is the answer?", **params}
        with self._store.lock:
            return responses.create_response(self._store, body, script=self._script(script))

    def list_runs(self, thread_id: str | None = None) -> list[JsonObject]:
        """
        Return the JSON of the runs, oldest first.

        :param thread_id: ID of the thread; all threads by default.
        """
        with self._store.lock:
            runs = [run_json(self._store, run) for run in self._store.runs.values()]
        return [run for run in runs if thread_id in {None, run["thread_id"]}]

    def list_responses(self) -> list[JsonObject]:
        """Return the JSON of the responses, oldest first."""
        with self._store.lock:
            return [response_json(each, self._store.now()) for each in self._store.responses.values()]

    @property
    def created_responses(self) -> list[JsonObject]:
        """
        The responses that were ever created, oldest first.

        Each has ``id``, ``created_at``, ``metadata`` and ``model``; those of a batch also ``batch_id`` and
        ``custom_id``, others their ``idempotency_key`` if they had one.
        """
        with self._store.lock:
            return list(self._store.created_responses)

    def honour_idempotency_keys(self, honoured: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch
        """
        Create one response for requests with the same ``Idempotency-Key``; without this, keys are ignored.

        :param honoured: whether keys count.
        """
        self._store.honours_idempotency_keys = honoured

    def upload_batch_file(self, requests: Sequence[JsonObject], *, model: str = "gpt-4o-mini") -> JsonObject:
        """
        Store an input file of a batch, and return the file's JSON.

        :param requests: the body of each request; ``custom_id`` is ``request-1``, ``request-2``, ...
        :param model: the model of the bodies that name none.
        """
        lines = [
            {
                "custom_id": f"request-{number}",
                "method": "POST",
                "url": "/v1/responses",
                "body": {"model": model, "input": "What is the answer?", **body},
            }
            for number, body in enumerate(requests, 1)
        ]
        content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        with self._store.lock:
            return files.add_file(self._store, content, filename="requests.jsonl", purpose="batch")

    def create_batch(
        self,
        input_file_id: str | None = None,
        *,
        script: BatchScript | str | Mapping[str, Any] | None = None,
        **params: Any,
    ) -> JsonObject:
        """
        Create a batch.

        :param input_file_id: ID of the input file; by default a new one with ten requests.
        :param script: its script; the default one of batches by default.
        :param params: other parameters of the request.
        :return: the batch's JSON.
        """
        input_file_id = input_file_id or self.upload_batch_file([{}] * 10)["id"]
        body = {"input_file_id": input_file_id, "endpoint": "/v1/responses", "completion_window": "24h"}
        with self._store.lock:
            chosen = None if script is None else read_batch_script(script)
            return batches.create_batch(self._store, {**body, **params}, script=chosen)

    def set_default_batch_script(self, script: BatchScript | str | Mapping[str, Any]) -> None:
        """
        Set the script of batches that select none.

        :param script: the script, its name or its JSON.
        """
        self._store.default_batch_script = read_batch_script(script)

    def file_content(self, file_id: str) -> bytes:
        """
        Return the content of a file.

        :param file_id: ID of the file.
        """
        with self._store.lock:
            return files.find_file(self._store, file_id).content

    def seed_examples(self) -> list[Example]:
        """
        Create example runs and responses in every status, under fixed IDs such as ``run_failed``.

        :return: the examples with their IDs.
        """
        with self._store.lock:
            return seed_examples(self._store)

    def seed_run(self, run: JsonObject, steps: Sequence[JsonObject] = ()) -> JsonObject:
        """
        Store a run whose JSON is returned unchanged, and its thread if it does not exist.

        :param run: the run's JSON, with ``id`` and ``thread_id``.
        :param steps: the steps' JSON, oldest first.
        """
        with self._store.lock:
            return assistants.seed_run(self._store, run, list(steps))

    def seed_response(self, response: JsonObject, input_items: Sequence[JsonObject] = ()) -> JsonObject:
        """
        Store a response whose JSON is returned unchanged.

        :param response: the response's JSON, with ``id``.
        :param input_items: its input items, oldest first.
        """
        with self._store.lock:
            return responses.seed_response(self._store, response, list(input_items))

    def _script(self, script: Script | str | Mapping[str, Any] | None) -> Script | None:
        return None if script is None else read_script(script, self._store.scripts)
