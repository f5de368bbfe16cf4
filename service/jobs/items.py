"""Work on one item of a job with the functions that answer single requests."""

from __future__ import annotations

import io
import logging
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any

from service.errors import BadArchive, BundleFailed, InternalError, PolyviewError
from service.fields import Form
from service.jobs.archive import Item
from service.jobs.job import Claim, Job
from service.perceive_request import answer_perceive, perceive_options
from service.pieces import add_file, as_pieces
from service.registry import Registry
from service.responses import Answer
from service.settings import Settings
from service.stitch_request import answer_stitch, stitch_request
from service.ticket import Ticket
from service.tier_client import patience

logger = logging.getLogger("polyview.jobs")

DEFAULT_FORMAT = {"perceive": "png", "stitch": "zip"}
ANSWER = {"perceive": answer_perceive, "stitch": answer_stitch}
MOST_ATTEMPTS = 5
# Jobs wait for a model tier that is being restarted.
PATIENCE_SECONDS = 600.0
Observer = Callable[[str, Ticket, str], None]


def check_options(kind: str, options: dict[str, str], registry: Registry) -> None:
    """Raise what working on an item would raise for such fields: InvalidField, UnknownModel."""
    form = Form(texts=_texts(kind, options))
    if kind == "perceive":
        perceive_options(form, registry)
    else:
        stitch_request(form, registry)


def work_on(job: Job, claim: Claim, registry: Registry, settings: Settings, observe: Observer) -> None:
    """Answer one item and publish the outcome, whatever it is. Raises OSError if it cannot be stored."""
    begun = time.monotonic()
    ticket = Ticket(caller=job.owner)
    answer: Answer | None = None
    error: PolyviewError | None = None
    try:
        if claim.attempts > MOST_ATTEMPTS:
            raise InternalError(
                f"The item was begun {MOST_ATTEMPTS} times and never ended.", "The service's log may say why."
            )
        with patience(PATIENCE_SECONDS):
            answer = _answer(job, claim.item, ticket, registry, settings)
    except PolyviewError as refusal:
        error = refusal
    except MemoryError:
        error = BundleFailed("There is not enough memory for this item.", "Send smaller images.")
    except Exception:
        logger.exception("item %s of job %s failed", claim.item.id, job.id)
        error = InternalError("The service failed on this item.", "Its log names the cause.")
    line: dict[str, Any] = {
        "id": claim.item.id,
        "status": "ok" if error is None else "failed",
        "seconds": round(time.monotonic() - begun, 3),
    }
    if error is not None:
        line |= error.body()
    job.publish(claim, line, None if answer is None else _writer(answer))
    observe(job.kind, ticket, "ok" if error is None else error.code)


def _answer(job: Job, item: Item, ticket: Ticket, registry: Registry, settings: Settings) -> Answer:
    files: dict[str, list[IO[bytes]]] = {}
    with zipfile.ZipFile(job.inputs) as archive:
        for field, member in item.files.items():
            try:
                files[field] = [io.BytesIO(archive.read(member))]
            except Exception as error:  # damaged members raise zipfile's, zlib's and other exceptions
                raise BadArchive(
                    f"{field}: {member[:80]!r} is damaged in the archive.", "Make the archive anew."
                ) from error
    form = Form(texts=_texts(job.kind, job.options), files=files, ticket=ticket)
    return ANSWER[job.kind](form, registry, settings)


def _texts(kind: str, options: Mapping[str, str]) -> dict[str, str]:
    return {"format": DEFAULT_FORMAT[kind], **options}


def _writer(answer: Answer) -> Callable[[IO[bytes]], None]:
    """An answer that is no zip is put into one, so that every item has files."""

    def write(file: IO[bytes]) -> None:
        if answer.media_type == "application/zip":
            for portion in as_pieces(answer.body).portions():
                file.write(portion)
            return
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            add_file(archive, answer.filename, answer.body)

    return write
