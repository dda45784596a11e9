"""The errors of the client."""

from __future__ import annotations

from zoo.errors import UserError, ZooError


class ClientError(ZooError):
    """A call failed. Every error of the client is one."""


class RequestError(ClientError, UserError):
    """The request is faulty. Nothing was sent."""


class MissingInputError(RequestError):
    """An input that the endpoint needs was not given."""


class WrongDtypeError(RequestError):
    """A value is not of the type of its input."""


class WrongShapeError(RequestError):
    """An input does not have the shape, the length or the number of rows that it must have."""


class UnavailableError(ClientError):
    """The server cannot be reached or is too busy. The same call may work later."""


class TimedOutError(ClientError):
    """The server did not answer in time."""


class ServerError(ClientError):
    """The server answered with an error.

    Args:
        code: The HTTP status, such as `404`, or the name of the gRPC status, such as `"NOT_FOUND"`.
        message: What the server said.
    """

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(f"The server answered {code}: {message}")
        self.code = code
        self.message = message
