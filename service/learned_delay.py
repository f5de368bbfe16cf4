"""Batches of what waits, and no waiting for more.

BentoML 1.4 holds a lone request back for about as long as requests waited on average before, also those that waited for
a busy GPU. After a burst a quiet service answers twice as slowly for minutes. There is no setting for it. Without that
delay a batch begins as soon as the one before it ends, with whatever has come in meanwhile.
"""

from bentoml._internal.marshal import dispatcher


class _NoDelay(dispatcher.Optimizer):
    """BentoML's estimate of how long a batch takes, with no wait learned from it."""

    def trigger_refresh(self) -> None:
        super().trigger_refresh()
        self.wait = 0


def leave_out_learned_delay() -> None:
    """To be called before BentoML puts its application together."""
    dispatcher.Optimizer = _NoDelay  # type: ignore[misc]
