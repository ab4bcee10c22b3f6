"""The errors the API answers with, in its own words as recorded."""

from __future__ import annotations

from typing import Any


class APIError(Exception):
    """
    An answer that is an error.

    :param status: the HTTP status.
    :param message: what went wrong.
    :param type_: the kind of error.
    :param param: the parameter at fault, if one is.
    :param code: the API's word for the error, if it has one.
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
        """Give the JSON of the answer."""
        return {
            "error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code},
        }


def not_found(kind: str, object_id: str) -> APIError:
    """
    Say that there is no such thing.

    :param kind: what was looked for, as the API calls it ("run step").
    :param object_id: its id.
    """
    return APIError(404, f"No {kind} found with id '{object_id}'.")


def missing(parameter: str) -> APIError:
    """
    Say that a required parameter was left out.

    :param parameter: its name.
    """
    message = f"Missing required parameter: '{parameter}'."
    return APIError(400, message, param=parameter, code="missing_required_parameter")


def invalid_type(parameter: str, expected: str, got: object) -> APIError:
    """
    Say that a parameter is of the wrong type.

    :param parameter: its name.
    :param expected: what it should be, with its article ("a string").
    :param got: what it was.
    """
    message = f"Invalid type for '{parameter}': expected {expected}, but got {_json_type(got)} instead."
    return APIError(400, message, param=parameter, code="invalid_type")


def wrong_key(key: str) -> APIError:
    """
    Say that the key is not the right one.

    :param key: the key that was sent; only its ends are repeated.
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
