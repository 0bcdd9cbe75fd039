"""What a person wants to know of a policy before it is used: its digest, and for each stream noise, threshold and cost. Pure."""

from agent.policy import guarantee
from agent.policy.compile import policy_digest
from agent.policy.model import Policy, Stream
from agent.policy.modes import CountPrivacy
from agent.policy.words import day_words, exact_words, time_words


def summary(policy: Policy, name: str) -> str:
    """Some lines of text that begin with OK; `name` is what the file is called."""
    period = time_words(policy.period_s)
    lines = [
        f"OK  {name}",
        f"    policy digest  {policy_digest(policy).hex()}",
        f"    unit           {policy.unit.path}, version {policy.version}" + (", demonstration" if policy.demo else ""),
        f"    in force       {day_words(policy.effective)} to {day_words(policy.expires)}, after {time_words(policy.notice_s)} on air",
        f"    budget         {exact_words(policy.spent_rho)} of {exact_words(policy.cap_rho)} zCDP a person and {period}",
        *(_stream(policy, stream, period) for stream in policy.streams),
    ]
    return "\n".join(lines) + "\n"


def _stream(policy: Policy, stream: Stream, period: str) -> str:
    privacy = stream.privacy
    window = time_words(stream.window_s)
    if not isinstance(privacy, CountPrivacy):
        said = guarantee.protection(policy, stream).removeprefix(f"{stream.name}: ")
        return f"    {stream.name:<14} {stream.kind} every {window}; {said}"
    return (
        f"    {stream.name:<14} {len(stream.classes)} classes every {window}; noise sd "
        f"{guarantee.count_noise(privacy)}; {guarantee.shown_from(privacy)}; "
        f"rho {exact_words(privacy.rho)} for m = {privacy.m}, c = {privacy.c} in {period} "
        f"({exact_words(privacy.charge)} a window)"
    )
