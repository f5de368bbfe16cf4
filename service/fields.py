"""Read a multipart request: which parts there are, strictly, and what their values mean.

BentoML's own reader fetches URLs given in place of files and turns `calibration_id=007` into a number. This one
accepts exactly the parts that an endpoint has, files as files and text as text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.errors import InvalidField, MalformedRequest, UnknownField
from service.ticket import TICKET_KEY, Ticket

MULTIPART_HINT = "Send multipart/form-data, for instance: curl -F image=@photo.jpg"
MAX_TEXT_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Form:
    """The parts of one request.

    texts: value per text field. files: one or more open files per file field, in the order of upload; names: what the
    client calls them, which may be a path.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, list[IO[bytes]]] = field(default_factory=dict)
    names: Mapping[str, list[str]] = field(default_factory=dict)
    ticket: Ticket = field(default_factory=Ticket)

    def choice(self, name: str, values: tuple[str, ...]) -> str:
        """The field's value, one of `values`; the first of them where it was not sent."""
        value = self.texts.get(name, values[0])
        if value not in values:
            raise InvalidField(
                f"{name}: {_quoted(value)} is not one of {', '.join(values)}.", f"Leave it out for {values[0]}."
            )
        return value

    def optional_number(self, name: str, low: float, high: float) -> float | None:
        """A finite number in [low, high], or None where it was not sent."""
        if name not in self.texts:
            return None
        text = self.texts[name]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise InvalidField(
                f"{name}: {_quoted(text)} is not a number from {low:g} to {high:g}.", "Leave it out if it is not known."
            )
        return value

    def one_file(self, name: str) -> bytes:
        """The content of a required file field."""
        files = self.files.get(name, [])
        if len(files) != 1:
            problem = "the file is missing" if not files else f"expected one file, found {len(files)}"
            raise MalformedRequest(f"{name}: {problem}.", f"Send it, for instance: curl -F {name}=@photo.jpg")
        return files[0].read()

    def close(self) -> None:
        for files in self.files.values():
            for file in files:
                file.close()


class StrictParser(MultiPartParser):
    """Notices whether the closing boundary came; without it a cut-off request would look complete."""

    complete = False

    def on_end(self) -> None:
        self.complete = True


async def read_form(request: Request, *, texts: tuple[str, ...], files: Mapping[str, int]) -> Form:
    """Parse the body. `texts`: the text fields an endpoint has; `files`: its file fields, and how many of each.

    A few files more than that are still read, so that the answer can say which field has too many.

    Raises MalformedRequest (not multipart, not UTF-8, compressed, broken, cut off), UnknownField, InvalidField (a text
    field twice or with a file in it, text where a file belongs, too many files).
    """
    if request.url.query:
        raise UnknownField("Fields in the URL are not read.", MULTIPART_HINT)
    content_type = request.headers.get("content-type", "")
    if content_type.split(";")[0].strip().lower() != "multipart/form-data":
        found = _quoted(content_type) if content_type else "no Content-Type"
        raise MalformedRequest(f"Expected multipart/form-data, found {found}.", MULTIPART_HINT)
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) != "identity":
        raise MalformedRequest(
            f"Content-Encoding: {_quoted(coding)} is not read.",
            "Send the body as it is; photographs are compressed already.",
        )
    charset = parse_options_header(content_type)[1].get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in ("utf-8", "utf8"):
        raise MalformedRequest(f"Content-Type: the charset {_quoted(charset)} is not read.", "Send UTF-8.")
    most = max(64, 2 * sum(files.values()))
    parser = StrictParser(
        request.headers, request.stream(), max_files=most, max_fields=64, max_part_size=MAX_TEXT_BYTES
    )
    try:
        parts = await parser.parse()
    except MultiPartException as error:
        raise MalformedRequest(f"The multipart body cannot be read: {error.message}", MULTIPART_HINT) from error
    except ClientDisconnect as error:
        raise MalformedRequest("The request ended before its body was complete.", MULTIPART_HINT) from error
    found_texts: dict[str, str] = {}
    found_files: dict[str, list[IO[bytes]]] = {}
    found_names: dict[str, list[str]] = {}
    ticket = request.scope.get(TICKET_KEY) or Ticket()
    form = Form(texts=found_texts, files=found_files, names=found_names, ticket=ticket)
    try:
        if not parser.complete:
            raise MalformedRequest("The multipart body has no closing boundary.", MULTIPART_HINT)
        for name, value in parts.multi_items():
            if name in files:
                if (file := _file(name, value)) is not None:
                    found_files.setdefault(name, []).append(file.file)
                    found_names.setdefault(name, []).append(file.filename or "")
                    if len(found_files[name]) > files[name]:
                        raise InvalidField(
                            f"{name}: expected at most {files[name]}, found more.", "Send fewer files in one request."
                        )
            elif name in texts:
                _take_text(name, value, found_texts)
            else:
                known = ", ".join([*files, *texts])
                raise UnknownField(f"{_quoted(name)} is not a field of this endpoint.", f"The fields are: {known}.")
    except BaseException:
        await parts.close()
        raise
    return form


def _file(name: str, value: UploadFile | str) -> UploadFile | None:
    """The file, or None for what a browser sends for a file input that was left empty."""
    if isinstance(value, str):
        raise InvalidField(
            f"{name}: found text where a file belongs.",
            f"Upload the file itself (curl -F {name}=@photo.jpg); addresses are not fetched.",
        )
    return value if value.filename or value.size else None


def _take_text(name: str, value: UploadFile | str, found: dict[str, str]) -> None:
    if not isinstance(value, str):
        raise InvalidField(f"{name}: found a file where text belongs.", f"For instance: curl -F {name}=value")
    if name in found:
        raise InvalidField(f"{name}: found more than once.", "Send it once.")
    found[name] = _unquoted(value)


def _unquoted(text: str) -> str:
    """BentoML's client sends texts as JSON, "png" with its quotes; no field has a value that begins with one."""
    if text[:1] == text[-1:] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            pass
    return text


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
