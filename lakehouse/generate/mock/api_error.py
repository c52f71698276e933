"""Answers of the mock model that say what is wrong with a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A request that is not answered: HTTP status, a message for people, a code for programs, and further headers."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "invalid_request_error",
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The error as an object of the OpenAI API."""
        return {"error": {"message": self.message, "type": self.code, "param": self.param, "code": self.code}}
