"""Versions of the installed tools, for release ids, cards and provenance."""

from importlib.metadata import PackageNotFoundError, version

RESULT_SHAPING = ("auto-round", "torch", "transformers", "roundhouse")


def installed(*packages: str) -> dict[str, str]:
    """Version of each package, without the local part that names the machine (`+cpu`).

    A package that is not installed is `absent`: the name of a release must not depend on luck.
    """
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package).split("+")[0]
    except PackageNotFoundError:
        return "absent"
