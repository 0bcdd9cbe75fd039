"""TLS to the broker: by an authority, by the fingerprints of its certificate, or by both (PB-12, PB-50).

Invariant: with fingerprints, nothing of ours is written to a broker whose certificate is none of them: the handshake itself fails.
"""

import hashlib
import ssl

from agent.local.settings import Mqtt


class WrongFingerprint(ssl.SSLError):
    """The broker's certificate is none of those in `pin_sha256`; `reason` says which it has."""

    def __init__(self, fingerprint: bytes | None) -> None:
        self.reason = (
            "it shows no certificate"
            if fingerprint is None
            else f"its certificate has the fingerprint {spelled(fingerprint)}, which pin_sha256 does not name"
        )
        super().__init__(self.reason)


def tls_context(mqtt: Mqtt) -> ssl.SSLContext:
    """A context that verifies the broker, TLS 1.2 or newer; OSError when a file cannot be loaded.

    Without `pin_sha256` by chain and name. With it alone by the fingerprint, and by nothing else: not the chain, not the name, not the dates.
    With it and `ca_file` by both.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mqtt.ca_file is not None:
        context.load_verify_locations(cafile=str(mqtt.ca_file))
    elif mqtt.pin_sha256:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the fingerprint says more: it is this very certificate
    else:
        context.set_default_verify_paths()
    if mqtt.pin_sha256:
        context.sslsocket_class = _pinned(frozenset(mqtt.pin_sha256))
    if mqtt.client_certificate is not None and mqtt.client_key is not None:
        context.load_cert_chain(str(mqtt.client_certificate), str(mqtt.client_key))
    return context


def _pinned(fingerprints: frozenset[bytes]) -> type[ssl.SSLSocket]:
    class PinnedSocket(ssl.SSLSocket):
        """A socket whose handshake ends in an error when the certificate is another."""

        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            certificate = self.getpeercert(binary_form=True)
            got = None if certificate is None else hashlib.sha256(certificate).digest()
            if got not in fingerprints:
                self.close()
                raise WrongFingerprint(got)

    return PinnedSocket


def spelled(fingerprint: bytes) -> str:
    """As `openssl x509 -fingerprint` prints it."""
    return fingerprint.hex(":").upper()
