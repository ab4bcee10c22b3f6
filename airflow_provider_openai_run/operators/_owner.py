"""The base class of the operators that own what they create, and cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openai_run.operators._base import BaseRunOperator
from airflow_provider_openai_run.operators._deferral import take_arguments
from airflow_provider_openai_run.operators._masked_fields import unmask_fields

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.types.json import Json


class OwnerOperator(BaseRunOperator):
    """An operator that owns what it creates: resumed with its arguments, and cancelling after a timeout."""

    #: Whether to cancel what is active when a timeout has passed.
    cancel_on_timeout: bool

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue; cancel what is active if Airflow ended the deferral, as no triggerer was there."""
        kwargs = {**take_arguments(context, next_method), **(next_kwargs or {})}
        unmask_fields(self)
        try:
            return super().resume_execution(next_method, kwargs, context)
        except AirflowException as error:
            # Known by its name: the module that has it differs between Airflow 3.1 and 3.3.
            if type(error).__name__ == "TaskDeferralTimeout" and self.cancel_on_timeout:
                self.on_deferral_timeout(kwargs, context)
            raise

    def on_deferral_timeout(self, kwargs: dict[str, Json], context: Context) -> None:
        """
        Cancel what is active after Airflow itself has ended the deferral.

        :param kwargs: the arguments of the deferral.
        :param context: the task's context.
        """
        raise NotImplementedError
