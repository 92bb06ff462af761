"""Every error as problem+json (RFC 9457): type, title, status, detail, and ``errors`` where fields are at fault."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:haotokai:problem:"


class FieldProblem(BaseModel):
    """What is wrong with one part of the request."""

    pointer: str = Field(description="JSON pointer into the body, or the name of a parameter.", examples=["/email"])
    detail: str = Field(examples=["must be an e-mail address"])


class ProblemDocument(BaseModel):
    """An error answer."""

    type: str = Field(examples=["urn:haotokai:problem:account_not_found"])
    title: str = Field(examples=["No such account"])
    status: int = Field(examples=[404])
    detail: str | None = None
    errors: list[FieldProblem] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    422: {"model": ProblemDocument, "description": "The request is not valid."},
    "default": {"model": ProblemDocument, "description": "What went wrong, as in RFC 9457."},
}


class Problem(Exception):
    """Refuse the request with this status and stable code."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        detail: str | None = None,
        errors: tuple[FieldProblem, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.document = ProblemDocument(
            type=TYPE_PREFIX + code, title=title, status=status, detail=detail, errors=list(errors) or None
        )
        self.headers = headers

    @classmethod
    def unauthenticated(cls) -> "Problem":
        return cls(401, "unauthenticated", "No valid token was sent", headers={"www-authenticate": "Bearer"})

    @classmethod
    def invalid(cls, pointer: str, detail: str) -> "Problem":
        """422 for one field."""
        return invalid_request((FieldProblem(pointer=pointer, detail=detail),))


def invalid_request(errors: tuple[FieldProblem, ...]) -> Problem:
    return Problem(422, "invalid_request", "The request is not valid", errors=errors)


def internal_error() -> Problem:
    return Problem(500, "internal_error", "Something failed on our side")


def render(problem: Problem) -> JSONResponse:
    body = problem.document.model_dump(exclude_none=True)
    return JSONResponse(body, problem.document.status, headers=problem.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Render every refusal of the application, its framework's included, as a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.openapi = lambda: _with_problem_media_type(FastAPI.openapi(app))  # type: ignore[method-assign]


def _with_problem_media_type(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI describes every answer of a route by the route's media type; errors have their own."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for answer in (operation["responses"].get("422"), operation["responses"].get("default")):
                if answer is not None:
                    [schema] = answer["content"].values()
                    answer["content"] = {MEDIA_TYPE: schema}
    return document


async def _on_problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101 # it is registered for this type only
    return render(error)


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return render(invalid_request(tuple(_field_problem(item) for item in error.errors())))


async def _on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    title = str(error.detail)
    return render(Problem(error.status_code, _code(title), title, headers=error.headers))


def _field_problem(item: dict[str, Any]) -> FieldProblem:
    # The value itself stays out: it may be a secret.
    where = [str(part) for part in item["loc"] if part not in ("body", "query", "path")]
    return FieldProblem(pointer="/" + "/".join(where), detail=item["msg"].removeprefix("Value error, "))


def _code(title: str) -> str:
    return title.lower().replace(" ", "_")
