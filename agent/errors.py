"""Every error this project raises on purpose. The class says who is at fault.

    DtprError
    ├── BadInput          bytes or text from outside are wrong: its author must change them (exit 2)
    │   ├── EncodingError     not the CBOR, COSE, SenML or note that was expected
    │   ├── SignatureError    well-formed, but not signed by the key that was expected
    │   ├── FrameError        a frame on the serial line
    │   ├── BoardError        a sensor board that speaks another schema or is another board
    │   ├── MessageError      a message between two daemons
    │   ├── PolicyError       the policy
    │   ├── SettingsError     agent.toml
    │   ├── DisclosureError   a disclosure, as read from the air or from a topic
    │   ├── TaxonomyError     a DTPR API export or icon handed to `taxonomy import`
    │   ├── ReplayError       a file of counts handed to the simulator
    │   └── LogDamaged        the release log or its checkpoint
    │       └── LogShortened      it ends before a checkpoint that is known of it
    ├── Unavailable       the world is not as needed at this moment: wait and try again (exit 3)
    │   ├── PortUnavailable   the sensor board's tty
    │   ├── BrokerUnavailable the MQTT broker
    │   ├── RadioUnavailable  the Bluetooth adapter or its daemon
    │   ├── StorageUnavailable the disk under the release log
    │   ├── InboxUnavailable  another daemon's socket
    │   └── PrinterUnavailable what makes a PDF: the extra, its libraries, its fonts
    ├── Refused           a rule of this product forbids it, whoever asks (exit 4)
    │   ├── WindowReleased    this window has been released, or its time has passed
    │   └── DemoOnly          exact counters were asked for under a policy that is not the demo's
    └── InvariantBroken   our own fault: the process ends (exit 70)

Nothing else is meant to escape a parser: a `ValueError` from one is a bug.
"""


class DtprError(Exception):
    """Base of the tree; `exit_code` is what a command exits with."""

    exit_code = 1


class BadInput(DtprError):
    """Input from outside that is refused whole.

    `where` is a place its author can find (file:line, byte offset, topic), `expected` and `got` are
    short and never carry a reading or an identifier, `remedy` is what to do.
    """

    exit_code = 2

    def __init__(self, where: str, *, expected: str, got: str, remedy: str = "") -> None:
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy
        text = f"{where}: expected {expected}, got {got}"
        super().__init__(f"{text}; {remedy}" if remedy else text)


class EncodingError(BadInput):
    """Not the CBOR, COSE, SenML or note that was expected."""


class SignatureError(BadInput):
    """Well-formed, but not signed by the key that was expected."""


class FrameError(BadInput):
    """A damaged or impossible frame on the serial line."""


class BoardError(BadInput):
    """A sensor board that speaks another schema, or is not the board expected."""


class MessageError(BadInput):
    """A message between two daemons that breaks its contract."""


class PolicyError(BadInput):
    """A policy that cannot be accepted."""


class SettingsError(BadInput):
    """An `agent.toml` that cannot be accepted."""


class DisclosureError(BadInput):
    """A disclosure that cannot be decoded or does not agree with itself."""


class TaxonomyError(BadInput):
    """A DTPR API export or icon that cannot be imported."""


class ReplayError(BadInput):
    """A file of counts that the board simulator cannot replay."""


class LogDamaged(BadInput):
    """The release log or its checkpoint is not what was written."""


class LogShortened(LogDamaged):
    """The release log has fewer entries than a checkpoint of it: `known` is that note, `kept` how many entries are there and `root` their
    root hash. No decision of governance is among what is lost."""

    known = b""
    kept = 0
    root = b""


class Unavailable(DtprError):
    """The world is not as needed at this moment; the same call may succeed later."""

    exit_code = 3

    def __init__(self, what: str, *, why: str, remedy: str = "") -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        text = f"{what}: {why}"
        super().__init__(f"{text}; {remedy}" if remedy else text)


class PortUnavailable(Unavailable):
    """The sensor board's tty is absent, busy or went away."""


class BrokerUnavailable(Unavailable):
    """The MQTT broker is absent, refused us or went away."""


class RadioUnavailable(Unavailable):
    """The Bluetooth adapter, or the daemon that owns it, is absent or refused us."""


class StorageUnavailable(Unavailable):
    """The disk under the release log is full or failing."""


class InboxUnavailable(Unavailable):
    """Another daemon's socket is absent."""


class PrinterUnavailable(Unavailable):
    """What makes a PDF is not installed whole: the extra, its libraries or its fonts."""


class Refused(DtprError):
    """A rule of this product forbids it."""

    exit_code = 4


class WindowReleased(Refused):
    """This window has been released already, or its time has passed."""


class DemoOnly(Refused):
    """Exact counters were asked for under a policy that is not the demo's."""


class InvariantBroken(DtprError):
    """Our own fault; the process ends."""

    exit_code = 70
