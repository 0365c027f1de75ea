"""How a request ends that gets no picture: a status and one sentence."""

from __future__ import annotations

from starlette.responses import JSONResponse

from invertfill.errors import shortened

GONE = 499  # the client went away; nobody reads the answer, but the metrics count it


class Refusal(Exception):
    """Raised wherever a request turns out to be one that is not served.

    Args:
        status: of HTTP.
        sentence: for a person.
        retry: seconds after which it may be tried again.
    """

    def __init__(self, status: int, sentence: str, retry: int | None = None) -> None:
        super().__init__(shortened(sentence))
        self.status = status
        self.retry = retry

    def answer(self) -> JSONResponse:
        headers = {"Retry-After": str(self.retry)} if self.retry is not None else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": str(self)}, self.status, headers)
