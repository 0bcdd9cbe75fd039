"""GET over https: one answer, capped in size and time, never by way of an unencrypted address."""

import http.client
import urllib.error
import urllib.request
from email.message import Message
from typing import IO

from agent.errors import TaxonomyError, Unavailable

TIMEOUT_S = 20
MAX_URL = 500


def get(url: str, max_bytes: int) -> bytes:
    """The body of the answer.

    Raises TaxonomyError for an address that is not https, a redirect to one that is not, or a body above `max_bytes`; Unavailable when
    the server does not answer or answers with an error.
    """
    _check(url)
    opener = urllib.request.build_opener(_HttpsRedirects)
    headers = {"Accept": "application/json, image/svg+xml", "User-Agent": "dtpr-agent"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  https only: _check
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(max_bytes + 1)
    except urllib.error.HTTPError as bad:
        bad.close()
        raise Unavailable(url, why=f"the server answered {bad.code}", remedy="check the address") from None
    except (OSError, http.client.HTTPException, ValueError) as bad:
        why = str(getattr(bad, "reason", "") or bad or type(bad).__name__)[:120]
        raise Unavailable(url, why=why, remedy="try again, or download the file and give its name") from None
    if len(data) > max_bytes:
        raise TaxonomyError(url, expected=f"at most {max_bytes:,} bytes", got="more")
    return data


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # typeshed wants HTTPMessage, a Message


def _check(url: str) -> None:
    if not url.startswith("https://") or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise TaxonomyError(
            url[:100],
            expected=f"an https address of at most {MAX_URL} characters",
            got=repr(url[:40]),
            remedy="use https://",
        )
