"""What is known about one request while it is answered: until when, for whom, and what became of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from service.errors import TooSlow

# Where the middleware leaves the ticket in the ASGI scope.
TICKET_KEY = "polyview.ticket"


@dataclass(kw_only=True)
class Ticket:
    """The door writes `deadline` (on the clock of time.monotonic), `caller` (the key's name, None where no keys are
    configured) and `gone` (the client closed its connection); the endpoint writes `bundle` and `stages` (milliseconds).
    """

    request_id: str = ""
    deadline: float = math.inf
    caller: str | None = None
    gone: bool = False
    bundle: str = ""
    stages: dict[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Raise TooSlow if nobody waits for the answer any more: the time is over, or the client has gone."""
        if self.gone:
            raise TooSlow("The client closed the connection.", "Nobody reads this answer.")
        if time.monotonic() > self.deadline:
            raise TooSlow("The request waited too long.", "Try again when the service is less busy.")
