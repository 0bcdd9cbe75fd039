"""The SenML records of a window, the same whatever they are encoded as. Pure."""

from agent.contracts.governed import Aggregate, NotCollected
from agent.wire.senml import Record

TOTAL_NOISE_SD = "total_noise_sd"
STATES = ("complete", *(f"not_collected:{reason}" for reason in NotCollected))


def records_of(a: Aggregate) -> list[Record]:
    """All but a filler, in their order."""
    t = a.terms
    return [
        Record(bn=f"{t.city}/{t.site}/{t.unit}/{t.stream}/", bt=a.window_start, n="window", u="s", v=t.window_s),
        Record(n="coverage", u="/", v=a.coverage),
        Record(n="state", vs=a.state),
        Record(n="noise_sd", u=t.noise_unit, v=t.noise_sd),
        Record(n="threshold", u=t.noise_unit, v=t.threshold),
        *([] if t.sums is None else [Record(n="sums", vs=t.sums)]),
        Record(n="guarantee", vs=t.guarantee.words()),
        Record(n="policy", v=t.policy_version),
        Record(n="disclosure", vs=t.disclosure_digest.hex()),
        Record(n="log_index", v=a.log_index),
        *([] if t.total_noise_sd is None else [Record(n=TOTAL_NOISE_SD, u=t.noise_unit, v=t.total_noise_sd)]),
        *(
            Record(n=f"cell/{field.name}", vs=str(value))
            if isinstance(value, str)
            else Record(n=f"cell/{field.name}", u=field.unit, v=value)
            for field, value in zip(t.fields, a.values, strict=True)
        ),
    ]
