"""CRC-32C (Castagnoli, RFC 3720 appendix B.4) over any buffer; the `crc32c` package does the work in C.

Only its extension is loaded: the package's own __init__ needs argparse, email, socket and zipfile to state its version and to be a command,
2.7 MiB and 35 ms in each daemon.
"""

from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

from agent.wire.buffers import Buffer

_PACKAGE, _EXTENSION = "crc32c", "crc32c._crc32c"


def _loaded() -> Any:
    """The extension module; raises ImportError when it is not installed."""
    package = find_spec(_PACKAGE)
    spec = PathFinder.find_spec(_EXTENSION, package.submodule_search_locations) if package else None
    if spec is None or spec.loader is None:
        raise ImportError(f"no module named {_EXTENSION}: the package {_PACKAGE} is not installed", name=_EXTENSION)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from crc32c import crc32c as _checksum
else:
    _checksum = _loaded().crc32c


def crc32c(data: Buffer, seed: int = 0) -> int:
    """Checksum of `data`, continuing from `seed` (0 for none); an unsigned 32-bit integer."""
    return _checksum(data, seed)
