"""The form in which a person answers the calls of a round: what it shows, and how its answers are read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from airflow_provider_openai_run.owned_runs.call_display import arguments_block, call_label, code_span
from airflow_provider_openai_run.types.redaction import redact
from airflow_provider_openai_run.types.storable import bounded_text, storable_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.sdk import Param

    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.required_action import PendingCall

APPROVE = "Approve"
REJECT = "Reject"
SUBMIT = "Submit"

#: The hidden field that says which form an answer belongs to.
FORM_KEY = "form"
#: What a form of one call had as its only field in version 0.1.0.
_OLD_OUTPUT_KEY = "output"

#: The shortest of Airflow's databases' limits for a body, MySQL's, is 65,535 bytes.
MAX_BODY_BYTES = 60_000
_MAX_OUTPUT_ARGUMENTS = 4000
_MAX_SUBJECT_CHARACTERS = 200
_MAX_QUOTED_CHARACTERS = 100

#: An approval is True or False, the output of a function is text.
HumanAnswer: TypeAlias = bool | str


class FormError(ValueError):
    """A form that cannot be shown, or an answer that does not fit its form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanInputRequest:
    """
    A form as Airflow stores it, and shows it under "Required actions".

    :param subject: one line.
    :param body: Markdown; it holds the calls and their arguments.
    :param options: the buttons.
    :param params: the input fields, as serialized ``Param``.
    """

    subject: str
    body: str
    options: list[str]
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """
    The part of a form that belongs to one call.

    :param call_id: the call.
    :param kind: of the call.
    :param label: the name of the call, as the form shows it.
    :param name: the input field; empty if the form's buttons are the answer.
    """

    call_id: str
    kind: Literal["approval", "function"]
    label: str
    name: str

    @property
    def number(self) -> str:
        """The number of the call in the form; empty if the form's buttons are the answer."""
        return self.name.removeprefix("call_")

    def read(self, value: Json) -> HumanAnswer:
        """
        Return the answer in the field.

        :param value: what Airflow received for the field.
        :raises FormError: if it is not an answer to a call of this kind.
        """
        if self.kind == "approval":
            if value in (APPROVE, REJECT):
                return value == APPROVE
            raise FormError(f"{self} needs 'Approve' or 'Reject', not {_quote(value)}")
        if value is None or (isinstance(value, str) and not value.strip()):
            raise FormError(f"{self} has no output")
        try:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError):
            raise FormError(f"{self} needs text or JSON, not {_quote(value)}") from None
        return storable_text(text)

    def __str__(self) -> str:
        where = f"in field {self.name!r}" if self.name else "by a button"
        return f"{self.label} ({bounded_text(self.call_id)}), answered {where},"


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanInputForm:
    """
    The form for all calls of a round that people answer. It crosses the wait as plain JSON.

    :param fields: one for each call.
    :param fingerprint: of what the form shows. Equal calls have equal forms, whichever run makes them.
    """

    fields: tuple[FormField, ...]
    fingerprint: str

    @classmethod
    def for_calls(cls, calls: Sequence[PendingCall]) -> Self:
        """
        Return the form for calls that people answer.

        :param calls: approvals, and calls of functions.
        """
        has_buttons = len(calls) == 1 and calls[0].kind == "approval"
        fields = tuple(
            FormField(
                call_id=call.id,
                kind="approval" if call.kind == "approval" else "function",
                label=call_label(call),
                name="" if has_buttons else f"call_{number}",
            )
            for number, call in enumerate(calls, 1)
        )
        content = [[call.kind, call.name, call.server_label, call.arguments_text] for call in calls]
        return cls(fields=fields, fingerprint=hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16])

    def request(self, calls: Sequence[PendingCall], secrets: Iterable[str]) -> HumanInputRequest:
        """
        Return the form as Airflow stores it.

        It names neither run nor call ids, so that equal calls of another round or try have the same text.

        :param calls: the calls of the form.
        :param secrets: the credentials of the connection, to mask.
        :raises FormError: if the calls are more than a form can show.
        """
        from airflow.sdk import Param

        outputs = sum(item.kind == "function" for item in self.fields)
        limit = min(_MAX_OUTPUT_ARGUMENTS, MAX_BODY_BYTES // (8 * max(outputs, 1)))
        parts = [_INTRODUCTION_OF_ONE if len(calls) == 1 else _INTRODUCTION.format(count=len(calls))]
        params = {FORM_KEY: Param(self.fingerprint, const=self.fingerprint)}
        for item, call in zip(self.fields, calls, strict=True):
            is_approval = item.kind == "approval"
            # All of what is approved is shown.
            block = arguments_block(call, None if is_approval else limit, secrets)
            heading = f"{'Approve' if is_approval else 'Output of'} {code_span(item.label)}"
            parts += [f"**{f'{item.number}. ' if len(calls) > 1 else ''}{heading}**", block]
            if item.name:
                params[item.name] = _param(item)
        body = "\n\n".join(parts)
        size = len(body.encode())
        if size > MAX_BODY_BYTES:
            raise FormError(f"their arguments take {size} bytes, and a form can show {MAX_BODY_BYTES}")
        return HumanInputRequest(
            subject=bounded_text(self._subject(), _MAX_SUBJECT_CHARACTERS),
            body=body,
            options=[SUBMIT] if self.fields[0].name else [APPROVE, REJECT],
            params={name: param.serialize() for name, param in params.items()},
        )

    def _subject(self) -> str:
        first = self.fields[0]
        if len(self.fields) > 1:
            labels = ", ".join(item.label for item in self.fields)
            return f"The model waits for {len(self.fields)} answers: {labels}"
        if first.kind == "approval":
            return f"May the model use {first.label}?"
        return f"Enter the output of {first.label} for the model"

    def read(self, event: dict[str, Any]) -> dict[str, HumanAnswer]:
        """
        Return the answers by call id.

        :param event: what Airflow resumed the task with.
        :raises FormError: if an answer is missing, is of the wrong kind, or belongs to another form.
        """
        chosen, values = event.get("chosen_options"), event.get("params_input") or {}
        if not isinstance(values, dict):
            raise FormError(f"the fields are {_quote(values)}")
        # Clients of Airflow's REST API may leave hidden fields out.
        if values.get(FORM_KEY, self.fingerprint) != self.fingerprint:
            raise FormError("the answers belong to a form that was shown before")
        if not self.fields[0].name:
            option = chosen[0] if isinstance(chosen, list) and len(chosen) == 1 else chosen
            return {self.fields[0].call_id: self.fields[0].read(option)}
        if chosen != [SUBMIT]:
            raise FormError(f"the form has the button {SUBMIT!r}, not {_quote(chosen)}")
        return {item.call_id: item.read(values.get(item.name)) for item in self.fields}

    def describe(self, answers: dict[str, HumanAnswer]) -> str:
        """
        Return what was answered, for the log: the decisions, and not the outputs.

        :param answers: what :meth:`read` returned.
        """
        words: dict[HumanAnswer, str] = {True: "approved", False: "rejected"}
        parts = (
            f"{item.label} ({bounded_text(item.call_id)}) {words.get(answers[item.call_id], 'answered')}"
            for item in self.fields
        )
        return ", ".join(parts)

    def to_json(self) -> dict[str, Json]:
        """Return the form as plain JSON, without what it shows."""
        return {"fields": [asdict(item) for item in self.fields], "fingerprint": self.fingerprint}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """
        Return the form that :meth:`to_json` described.

        :param value: its JSON; what a newer version added is ignored.
        """
        names = ("call_id", "kind", "label", "name")
        fields = tuple(FormField(**{name: item[name] for name in names}) for item in value["fields"])
        return cls(fields=fields, fingerprint=value["fingerprint"])


def read_old_answer(event: dict[str, Any]) -> HumanAnswer:
    """
    Return the answer to a form of version 0.1.0, which had one call.

    :param event: what Airflow resumed the task with.
    """
    chosen = event["chosen_options"]
    if SUBMIT not in chosen:
        return APPROVE in chosen
    return str((event.get("params_input") or {}).get(_OLD_OUTPUT_KEY, ""))


_INTRODUCTION_OF_ONE = "The model waits for an answer to this call:"
_INTRODUCTION = "The model waits for answers to {count} calls. They are sent together:"


def _param(item: FormField) -> Param:
    from airflow.sdk import Param

    if item.kind == "approval":
        options: dict[str, Any] = {"enum": [APPROVE, REJECT], "description": "Approve or reject it."}
    else:
        options = {"format": "multiline", "minLength": 1}
        options["description"] = "The output that the model gets: text or JSON."
    # The default is not None: the forms of Airflow 3.3 show a default of None as an object.
    return Param("", type="string", title=f"{item.number}. {item.label}", **options)


def _quote(value: object) -> str:
    return bounded_text(redact(repr(value)), _MAX_QUOTED_CHARACTERS)
