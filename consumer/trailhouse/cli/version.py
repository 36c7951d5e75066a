"""`trailhouse version`: what is installed here."""

import platform
from importlib import metadata

from trailhouse.cli.output.console import say
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

EXAMPLES = ("trailhouse version",)
_PACKAGES = ("msgspec", "confluent-kafka", "clickhouse-connect", "faust-streaming", "chdb")


def version(format: FormatOption = Format.TABLE) -> None:
    """Print the versions of Trailhouse and of what it runs on."""
    found = versions()
    if written(format, found):
        return
    for name, number in found.items():
        say(f"{name} {number}")


def versions() -> dict[str, str]:
    """Return the version of each part by name; a package of an extra may say ``not installed``."""
    import confluent_kafka

    found = {"trailhouse": installed("trailhouse"), "python": platform.python_version()}
    found |= {name: installed(name) for name in _PACKAGES}
    found["librdkafka"] = str(confluent_kafka.libversion()[0])
    return found


def installed(name: str) -> str:
    """Return the version of the installed distribution *name*, or ``not installed``."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
