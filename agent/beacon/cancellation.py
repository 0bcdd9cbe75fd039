"""The end that was asked for, where Python 3.11 loses it.

Its `asyncio.wait_for`, around each of Bumble's commands, swallows a cancellation that comes together with the command's answer
(cpython issue 86296, mended in 3.12). The task still counts the request, so a loop over such commands asks here once a turn.
"""

import asyncio


def end_if_cancelled() -> None:
    """Raise CancelledError when the current task was asked to end, however often that was swallowed since."""
    task = asyncio.current_task()
    if task is not None and task.cancelling() > 0:
        raise asyncio.CancelledError
