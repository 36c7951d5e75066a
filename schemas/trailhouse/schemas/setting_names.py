"""Names that look like settings and are not: a mistake is refused, a newer version's is warned of."""

import logging
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.kubernetes_variables import is_made_by_kubernetes
from trailhouse.schemas.setting_table import SECRET_KEYS, SETTING_KEYS
from trailhouse.schemas.settings import (
    FILE_SUFFIX,
    PREFIX,
    PROCESS_VARIABLES,
    config_path,
    read_config_file,
    secret_file_variables,
    setting_variables,
    variable_of,
)

SHARED_SECTIONS = frozenset({"kafka", "clickhouse"})
"""Several parts read these, and the parts are not always of one version."""

_log = logging.getLogger(__name__)
warned_of: set[str] = set()
"""Names that this process has been told of, each once."""


class _Unknown(NamedTuple):
    """A name that nothing declares; `slip_of` is the setting that it is one letter away from, if any."""

    name: str
    where: str
    section: str
    slip_of: str
    known: Iterable[str]


def check_names(section: str) -> None:
    """Refuse names that are meant for *section* and are not settings; warn, once, of those for others.

    In a section that parts share, a name may be a newer version's: it is warned of as well, unless it
    is one letter away from a setting that there is.

    Raises:
        ConfigError: Names the unknown setting and the nearest known one. Permanent.
    """
    is_shared = section in SHARED_SECTIONS
    for unknown in (*_unknown_variables(), *_unknown_keys()):
        is_own = unknown.section == section
        # In a section of one part only that part is wrong; in a shared one another part may be newer.
        if is_own and (unknown.slip_of or not is_shared):
            nearest = unknown.slip_of or _nearest(unknown.name, unknown.known)
            way_out = (
                f"did you mean {nearest}?"
                if nearest
                else "`trailhouse --help` and the README list the settings"
            )
            raise ConfigError(f"unknown setting {unknown.name}{unknown.where}; {way_out}")
        # Once a process: every logger that is made looks anew.
        if (is_own or not is_shared) and unknown.name not in warned_of:
            warned_of.add(unknown.name)
            _log.warning(
                "%s%s is not a setting of this version, and has no effect",
                unknown.name,
                unknown.where,
            )


def _unknown_variables() -> Iterator[_Unknown]:
    known = [*setting_variables(), *secret_file_variables()]
    for name, text in os.environ.items():
        section = name.removeprefix(PREFIX).partition("_")[0].lower()
        if not name.startswith(PREFIX) or section not in SETTING_KEYS or name in known:
            continue
        if name not in PROCESS_VARIABLES and not is_made_by_kubernetes(name, text):
            yield _Unknown(name, "", section, _slip_of(name, known), known)


def _unknown_keys() -> Iterator[_Unknown]:
    known = {
        f"[{section}] {key}": section for section, keys in SETTING_KEYS.items() for key in keys
    }
    # A settings file that could name any file as a password could send any file away.
    of_environment = {
        f"[{section}] {key}_file": f"{variable_of(section, key)}{FILE_SUFFIX}"
        for section, key in SECRET_KEYS
    }
    for section, keys in read_config_file().items():
        for name in (f"[{section}] {key}" for key in keys):
            if name not in known:
                slip_of = of_environment.get(name) or _slip_of(name, known)
                meant = known.get(slip_of, section)
                yield _Unknown(name, f" in {config_path()}", meant, slip_of, known)


def _slip_of(name: str, known: Iterable[str]) -> str:
    return next((each for each in known if _is_one_slip(name, each)), "")


def _is_one_slip(name: str, known: str) -> bool:
    """Tell whether one letter was added, left out, changed, or changed places with the next."""
    if abs(len(name) - len(known)) > 1:
        return False
    start = 0
    while start < min(len(name), len(known)) and name[start] == known[start]:
        start += 1
    left, right = name[start:], known[start:]
    while left and right and left[-1] == right[-1]:
        left, right = left[:-1], right[:-1]
    if len(left) == len(right) == 2:
        return left == right[::-1]
    return len(left) <= 1 and len(right) <= 1


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib  # only when something is wrong: import time counts in every agent

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")
