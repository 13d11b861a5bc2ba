"""Which versions of other libraries ours works with."""

import re
from importlib.metadata import PackageNotFoundError, version


def require(package: str, at_least: str, found: str | None = None) -> None:
    """Raise unless a new enough version of a package is installed.

    Args:
        package: Its name in the registry.
        at_least: The oldest version that ours was made for, as ``"5.23"``.
        found: Its version, if it has been imported.

    Raises:
        ImportError: It is older, or missing; the message says what to install.
    """
    command = f"pip install '{package}>={at_least}'"
    try:
        found = version(package) if found is None else found
    except PackageNotFoundError:
        raise ImportError(f"this needs {package}: {command}") from None
    if _release(found) < _release(at_least):
        raise ImportError(f"this needs {package} {at_least} or newer, and {found} is installed: {command}")


def _release(text: str) -> tuple[int, ...]:
    """The numbers of a version that order releases."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
