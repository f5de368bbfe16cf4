"""Everything that the service refuses, one class each; the table for users is docs/errors.md.

PolyviewError
├── BadRequest (400)
│   ├── MalformedRequest     malformed_request
│   ├── InvalidField         invalid_field
│   └── UnknownField         unknown_field
├── Unauthorized (401)       unauthorized
├── NotFound (404)
│   ├── UnknownRoute         unknown_route
│   ├── UnknownModel         unknown_model
│   └── UnknownJob           unknown_job
├── MethodNotAllowed (405)   method_not_allowed
├── NotReady (409)           not_ready
├── ResultGone (410)         result_gone
├── BodyTooLarge (413)       body_too_large
├── NotAnImage (415)         not_an_image
├── Impossible (422)
│   ├── TooSmall             too_small
│   ├── TooManyPixels        too_many_pixels
│   ├── LowOverlap           low_overlap
│   ├── DegenerateFlow       degenerate_flow
│   ├── CanvasTooLarge       canvas_too_large
│   ├── CalibrationMismatch  calibration_mismatch
│   └── BadArchive           bad_archive
├── RateLimited (429)        rate_limited
├── InternalError (500)      internal_error
├── Unavailable (503)
│   ├── QueueFull            queue_full
│   └── BundleFailed         bundle_failed
└── TooSlow (504)            too_slow
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class PolyviewError(Exception):
    """A request that cannot be answered: `message` says what was found, `hint` what to do about it.

    `code` is the stable name for programs and `status` the HTTP status. `retry_after` (seconds, whole) becomes the
    `Retry-After` header where it is set.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    retry_after: int | None = None

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def body(self) -> dict[str, dict[str, str]]:
        """The answer's JSON: {"error": {"code", "message", "hint"}}."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class BadRequest(PolyviewError):
    status = 400


class MalformedRequest(BadRequest):
    """Not multipart, a broken multipart body, a missing file, or a field given twice."""

    code = "malformed_request"


class InvalidField(BadRequest):
    """A known field with a value that is not one of its values, text where a file belongs, or the reverse."""

    code = "invalid_field"


class UnknownField(BadRequest):
    """A field that the endpoint does not have."""

    code = "unknown_field"


class Unauthorized(PolyviewError):
    """No key, or a key that is not on the list."""

    status = 401
    code = "unauthorized"


class NotFound(PolyviewError):
    status = 404


class UnknownRoute(NotFound):
    code = "unknown_route"


class UnknownModel(NotFound):
    """No loaded bundle of the endpoint's kind has the requested name."""

    code = "unknown_model"


class UnknownJob(NotFound):
    code = "unknown_job"


class MethodNotAllowed(PolyviewError):
    status = 405
    code = "method_not_allowed"


class NotReady(PolyviewError):
    """The result of a job of which nothing is finished yet: asking again helps."""

    status = 409
    code = "not_ready"


class ResultGone(PolyviewError):
    """The result of a job that was cancelled or has expired: asking again does not help."""

    status = 410
    code = "result_gone"


class BodyTooLarge(PolyviewError):
    """More bytes than the limit, by Content-Length or as they arrive."""

    status = 413
    code = "body_too_large"


class NotAnImage(PolyviewError):
    """Empty, truncated, damaged, or in a format that the service does not read."""

    status = 415
    code = "not_an_image"


class Impossible(PolyviewError):
    """Well-formed, but there is no right answer."""

    status = 422


class TooSmall(Impossible):
    """A side of the image is below the limit."""

    code = "too_small"


class TooManyPixels(Impossible):
    """The header announces more pixels than the limit; nothing was decoded."""

    code = "too_many_pixels"


class LowOverlap(Impossible):
    """The images share too little to be joined."""

    code = "low_overlap"


class DegenerateFlow(Impossible):
    """The estimated warp folds, explodes or contradicts itself."""

    code = "degenerate_flow"


class CanvasTooLarge(Impossible):
    """The panorama would leave three times the reference's size, or the pixel limit."""

    code = "canvas_too_large"


class CalibrationMismatch(Impossible):
    """A stored calibration was made for images of other sizes, or does not fit what these show."""

    code = "calibration_mismatch"


class BadArchive(Impossible):
    """A job's files that are no job: paths that leave the archive, a zip bomb, pairs that are not complete."""

    code = "bad_archive"


class RateLimited(PolyviewError):
    """More requests from this caller than its rate allows."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, hint: str, retry_after: int = 1) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class InternalError(PolyviewError):
    """A fault of the service itself. No input should lead here; the log has the trace, the answer has not."""

    status = 500
    code = "internal_error"


class Unavailable(PolyviewError):
    status = 503
    retry_after = 1


class QueueFull(Unavailable):
    """As many requests as the service accepts are already running or waiting."""

    code = "queue_full"


class BundleFailed(Unavailable):
    """The model itself failed, for example for want of memory."""

    code = "bundle_failed"
    retry_after = 10


class TooSlow(PolyviewError):
    """The answer was not ready within the time limit."""

    status = 504
    code = "too_slow"


def all_errors(root: type[PolyviewError] = PolyviewError) -> Iterator[type[PolyviewError]]:
    """Every class that has a code, that is every leaf of the tree above."""
    if "code" in vars(root):
        yield root
    for child in root.__subclasses__():
        yield from all_errors(child)
