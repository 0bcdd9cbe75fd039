"""What any scanner app shows legibly: the disclosure in a few English lines of UTF-8 (SPEC.md, BE-34). Pure.

Nobody signs it, and it says so; the signed disclosure is in the chunks.
"""

from agent.beacon.advertisement import code
from agent.disclosure.datachain import Disclosure
from agent.disclosure.plain_language import statements
from agent.policy.words import day_words

MAX_BYTES = 500
"""One GATT value."""

MAX_LINE_BYTES = 110
"""Three lines hold texts of the policy; so all that must stand does, whatever they are."""

_SECTIONS = ("why", "sensor")
_MORE = "…"


def plain_text(disclosure: Disclosure, *, stopped: bool = False) -> str:
    """At most MAX_BYTES: title, who answers, where to ask, why, which sensor, until when, and the code on the sign.

    Sentences about purpose and sensor that do not fit are left out whole, and a longer line is cut; `…` shows both.
    """
    policy = disclosure.policy
    head = [
        _line(disclosure.title),
        *(["STOPPED: nothing is collected."] if stopped else []),
        _line(f"Responsible: {policy.accountable.name}"),
        _line(f"Ask or object: {policy.contact.feedback_channels[0][1]}"),
    ]
    tail = [
        f"Until {day_words(policy.expires)}, version {disclosure.policy_version}, code {code(disclosure.digest)}.",
        "Not signed. The signed text: the QR code on the sign.",
    ]
    said = statements(disclosure)
    lines: list[str] = []
    for line in dict.fromkeys(one.shown for section in _SECTIONS for one in said if one.section == section):
        if _size([*head, *lines, line, _MORE, *tail]) > MAX_BYTES:
            lines.append(_MORE)
            break
        lines.append(line)
    return "\n".join([*head, *lines, *tail])


def _line(text: str) -> str:
    if len(text.encode()) <= MAX_LINE_BYTES:
        return text
    return text.encode()[: MAX_LINE_BYTES - len(_MORE.encode())].decode(errors="ignore") + _MORE


def _size(lines: list[str]) -> int:
    return len("\n".join(lines).encode())
