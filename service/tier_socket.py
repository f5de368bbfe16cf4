"""A second name for the model tier's socket, which stays while the service ends.

BentoML's supervisor removes the socket's folder as the first step of ending, before it asks the processes to end. What
the API tier has accepted still needs the model tier then, over new connections, too.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.utils.uri import path_to_uri, uri_to_path


def keep_socket(service: str) -> tempfile.TemporaryDirectory[str] | None:
    """Let BentoML's client of `service` use a link to its socket. The folder to clean up in the end; None without one.

    To be called in the API tier before its dependency is used. Where sockets are TCP there is nothing to keep.
    """
    addresses = BentoMLContainer.remote_runner_mapping.get()
    if not addresses.get(service, "").startswith("file:"):
        return None
    path = Path(uri_to_path(addresses[service]))
    # Hard links stay within a file system.
    folder = tempfile.TemporaryDirectory(prefix="polyview-socket-", dir=path.parent.parent)
    link = Path(folder.name) / "model.sock"
    os.link(path, link)
    BentoMLContainer.remote_runner_mapping.set({**addresses, service: path_to_uri(str(link))})
    return folder
