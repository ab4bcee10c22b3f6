"""The API's error responses, with the messages of recorded ones."""

from __future__ import annotations

from typing import Any


class APIError(Exception):
    """
    An error response.

    :param status: the HTTP status.
    :param message: the error message.
    :param type_: the error's ``type``.
    :param param: the invalid parameter, if any.
    :param code: the error's ``code``, if any.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type_
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """Return the response body."""
        return {
            "error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code},
        }


def not_found(kind: str, object_id: str) -> APIError:
    """
    Return the error for an unknown object.

    :param kind: the kind of object in the API's words, e.g. "run step".
    :param object_id: the requested ID.
    """
    return APIError(404, f"No {kind} found with id '{object_id}'.")


def missing(parameter: str) -> APIError:
    """
    Return the error for a missing parameter.

    :param parameter: name of the parameter.
    """
    message = f"Missing required parameter: '{parameter}'."
    return APIError(400, message, param=parameter, code="missing_required_parameter")


def invalid_type(parameter: str, expected: str, value: object) -> APIError:
    """
    Return the error for a parameter of the wrong type.

    :param parameter: name of the parameter.
    :param expected: the valid type with its article, e.g. "a string".
    :param value: the invalid value.
    """
    message = f"Invalid type for '{parameter}': expected {expected}, but got {_json_type(value)} instead."
    return APIError(400, message, param=parameter, code="invalid_type")


def wrong_key(key: str) -> APIError:
    """
    Return the error for a wrong API key.

    :param key: the key of the request; only its ends appear in the message.
    """
    shown = f"{key[:4]}****{key[-2:]}" if len(key) > 8 else "****"
    message = (
        f"Incorrect API key provided: {shown}. "
        "You can find your API key at https://platform.openai.com/account/api-keys."
    )
    return APIError(401, message, code="invalid_api_key")


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "something else")
