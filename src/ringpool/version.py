"""Which ringpool this is."""

from importlib import metadata


def version():
    try:
        return metadata.version("ringpool")
    except metadata.PackageNotFoundError:
        return "(of a source tree that is not installed)"
