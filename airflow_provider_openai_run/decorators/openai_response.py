"""The decorator ``@task.openai_response``: the function returns the input, the task returns the answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    SET_DURING_EXECUTION,
    DecoratedOperator,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_openai_run.operators.create_response import OpenAICreateResponseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import TaskDecorator
    from airflow.sdk import Context

    from airflow_provider_openai_run.types.json import Json


class _OpenAIResponseDecoratedOperator(DecoratedOperator, OpenAICreateResponseOperator):
    """
    Call the decorated function, create a response with what it returns, and return the answer.

    :param python_callable: the decorated function.
    :param op_args: its positional arguments. Templated.
    :param op_kwargs: its keyword arguments. Templated.
    :param multiple_outputs: whether to push each key of an answer that is an object to XCom too.
    :raises ValueError: for an argument out of its range, when the DAG is parsed.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in OpenAICreateResponseOperator.template_fields if name != "input"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {**DecoratedOperator.template_fields_renderers}

    #: Airflow itself needs the function's arguments.
    unmaskable_fields: Collection[str] = ("conn_id", *DecoratedOperator.template_fields)
    OUTPUT_KEYS: ClassVar[tuple[str, ...]] = ()

    custom_operator_name: str = "@task.openai_response"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        multiple_outputs: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("input", SET_DURING_EXECUTION) is not SET_DURING_EXECUTION:
            raise ValueError("input is not an argument of @task.openai_response: the function returns it")
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            multiple_outputs=multiple_outputs,
            input=SET_DURING_EXECUTION,
            **kwargs,
        )

    def execute(self, context: Context) -> Any:
        """
        Call the function, create the response, and return the answer.

        :param context: the task's context.
        :raises ValueError: if the function returned None, and no other argument stands for the input.
        """
        arguments = determine_kwargs(self.python_callable, self.op_args, {**context, **self.op_kwargs})
        self.input = self.python_callable(*self.op_args, **arguments)
        others = [getattr(self, name) for name in ("prompt", "previous_response_id", "conversation")]
        if self.input is None and all(value is None for value in others):
            name = self.python_callable.__name__
            raise ValueError(f"{name} returned None; return the input: a text, or a list of items")
        return self._answer(OpenAICreateResponseOperator.execute(self, context), context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Resume the task after a deferral and return the answer; the function is not called again.

        :param next_method: the method to call.
        :param next_kwargs: its arguments.
        :param context: the task's context.
        """
        self.input = None
        return self._answer(super().resume_execution(next_method, next_kwargs, context), context)

    def _answer(self, attributes: dict[str, Json], context: Context) -> Json:
        """Push the attributes of the response under their keys, and return the answer alone."""
        ti = context.get("ti")
        if ti is not None and self.do_xcom_push:
            for key, value in attributes.items():
                ti.xcom_push(key=key, value=value)
        return attributes["answer"]


def openai_response_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool = False, **kwargs: Any
) -> TaskDecorator:
    """
    Turn a function that returns the input of a response into a task that returns the answer.

    ::

        @task.openai_response(model="gpt-5.2", instructions="Summarize in one sentence.")
        def summarize(text: str) -> str:
            return f"The article: {text}"

    The function returns a text or a list of input items; it is sent as it is, without rendering templates in
    it. It runs once in each try, before the response is created or found again. The task returns the text of
    the answer, or with ``text_format`` the object that was parsed from it, and pushes the attributes of the
    response under their keys.

    :param python_callable: the function.
    :param multiple_outputs: whether to push each key of an answer that is an object to XCom too.
    :param kwargs: the arguments of
        :class:`~airflow_provider_openai_run.operators.create_response.OpenAICreateResponseOperator`, but for
        ``input``.
    :return: the decorated function, or a decorator if ``python_callable`` is None.
    :raises TypeError: for an argument that has another name in this API.
    """
    # Here, because a mapped task is created only when it runs.
    _OpenAIResponseDecoratedOperator.check_names(kwargs)
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_OpenAIResponseDecoratedOperator,
        **kwargs,
    )
