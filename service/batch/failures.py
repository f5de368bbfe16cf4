"""Why an item of a batch failed: one code each, recorded in the item's row while the run goes on.

The service's own codes (`service.errors`) keep their meaning. Those that only a batch has:

missing_file    an input does not exist                   invalid_row   a row of the manifest lacks or garbles something
read_failed     an input cannot be read, after retries    invalid_id    an id is empty, too long, or not UTF-8
unwritable      no permission where the output belongs    duplicate_id  an earlier row has the same id
disk_full       no room for the output                    out_of_memory
write_failed    the output cannot be written, after retries
worker_died     the process that had this item alone was killed, by the system for want of memory for example
internal_error  anything else: a fault of the program
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from service.errors import PolyviewError

LOG = logging.getLogger("polyview.batch")
LONGEST_MESSAGE = 500


class BatchError(Exception):
    """The batch as a whole cannot run: `str()` is one line that says what was found and what to do."""


class ItemError(Exception):
    """One item fails with `code` and `message`; the others go on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Failure:
    code: str
    message: str


def describe(error: Exception, item_id: str) -> Failure:
    """What the row says about an exception. A fault of the program is logged with its trace."""
    if isinstance(error, PolyviewError | ItemError):
        return Failure(code=error.code, message=error.message[:LONGEST_MESSAGE])
    if isinstance(error, MemoryError):
        return Failure(code="out_of_memory", message="There is not enough memory; use fewer workers or smaller images.")
    LOG.error("%s: %s", item_id, error, exc_info=error)
    return Failure(code="internal_error", message=f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE])
