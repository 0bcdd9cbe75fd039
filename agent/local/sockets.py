"""SOCK_SEQPACKET inboxes: the consumer listens, the producer pushes, nothing is answered.

systemd creates the listening socket and passes it (sd_listen_fds(3)); the demo does the same. A daemon started by hand binds its own.
"""

import os
import socket
from pathlib import Path

from agent.errors import InboxUnavailable

_FIRST_PASSED_FD = 3
BACKLOG = 4
"""One producer each, and room for one that restarted before we accepted."""


def listening_inbox(name: str, path: Path) -> socket.socket:
    """The inbox that systemd passed under `FileDescriptorName=name`, else a new one bound to `path` with mode 0660."""
    passed = _passed().get(name)
    if passed is not None:
        inbox = socket.socket(fileno=passed)
        os.set_inheritable(passed, False)
    else:
        inbox = bind_inbox(path)
    inbox.setblocking(False)
    return inbox


def bind_inbox(path: Path) -> socket.socket:
    """Bind and listen on `path`, replacing a stale socket file; raise InboxUnavailable."""
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        path.unlink(missing_ok=True)
        inbox.bind(str(path))
        path.chmod(0o660)
        inbox.listen(BACKLOG)
    except OSError as bad:
        inbox.close()
        raise InboxUnavailable(
            str(path), why=bad.strerror or str(bad), remedy="check the folder's owner and mode"
        ) from bad
    return inbox


def connect_inbox(path: Path) -> socket.socket:
    """Connect to another daemon's inbox, for sending only; raise InboxUnavailable."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        peer.setblocking(False)  # a full backlog is an error at once, not a wait for an owner that may be stopped
        peer.connect(str(path))
        peer.setblocking(True)
        peer.shutdown(socket.SHUT_RD)
    except OSError as bad:
        peer.close()
        raise InboxUnavailable(str(path), why=bad.strerror or str(bad), remedy="is the other daemon running?") from bad
    return peer


def _passed() -> dict[str, int]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return {name: _FIRST_PASSED_FD + i for i, name in enumerate(names[:count])}
