"""Settings: one loader for all parts, from code, then the environment, then a file that was named, then defaults.

A configuration is a frozen msgspec struct whose fields are made by `setting`. A field that is not
given to the constructor is looked up when the struct is made, and `settle` puts the value in its
place and says which source it has. A wrong value or an unknown name raises `ConfigError` then, before
any I/O of ours but reading the settings file and the files of secrets. Nothing is read from the
working directory unless ``TRAILHOUSE_CONFIG_FILE`` names it.
"""

import os
import stat
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import force_setattr

from trailhouse.schemas.errors import ConfigError
from trailhouse.schemas.kubernetes_variables import is_made_by_kubernetes
from trailhouse.schemas.setting_table import SECRET_KEYS, SETTING_KEYS

PREFIX = "TRAILHOUSE_"
FILE_SUFFIX = "_FILE"
CONFIG_FILE_VARIABLE = "TRAILHOUSE_CONFIG_FILE"
DEV_DATA_DIR_VARIABLE = "TRAILHOUSE_DEV_DATA_DIR"
LARGEST_SECRET_BYTES = 65_536
LONGEST_WAIT_SECONDS = 86_400.0
"""Every wait has a deadline; Python's own locks overflow at about 292 years."""


class Source(IntEnum):
    """Who gave a value; the greater one is the stronger, and wins."""

    FILE = 1
    ENVIRONMENT = 2
    CODE = 3
    """The program itself; our defaults are as trustworthy."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One declared setting: where it is looked up, its type, its default and what it does."""

    section: str
    key: str
    kind: type
    default: object
    text: str
    is_secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable, such as ``TRAILHOUSE_KAFKA_TOPIC``."""
        return variable_of(self.section, self.key)

    @property
    def file_variable(self) -> str:
        """The variable that names a file with the value; secrets alone have one."""
        return f"{self.variable}{FILE_SUFFIX}"


class Secret(str):
    """Text that is not shown where a value is printed for people: ``repr``, tracebacks, rich."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class _Found(NamedTuple):
    """A value that was looked up, until `settle` puts it in its place."""

    value: object
    source: Source


SETTINGS: dict[str, Setting] = {}
"""Every setting that a part of this process has declared, by its environment variable."""

PROCESS_VARIABLES = {
    CONFIG_FILE_VARIABLE: "Path of a settings file (TOML); without it there is none.",
    DEV_DATA_DIR_VARIABLE: "Data folder of the local stack that `trailhouse dev` acts on.",
}


def setting(
    section: str, key: str, default: Any, text: str, *, kind: type = str, is_secret: bool = False
) -> Any:
    """Declare a struct field that is looked up as ``[section] key`` when it is not given."""
    declared = Setting(
        section=section, key=key, kind=kind, default=default, text=text, is_secret=is_secret
    )
    if key not in SETTING_KEYS[section] or is_secret is not ((section, key) in SECRET_KEYS):
        raise ValueError(
            f"[{section}] {key} is not in the table of settings, or not as it is declared"
        )
    SETTINGS[declared.variable] = declared
    return msgspec.field(default_factory=lambda: _look_up(declared))


def secret_file_variables() -> list[str]:
    """Return the variables that name a file with a secret, such as ``TRAILHOUSE_KAFKA_SASL_PASSWORD_FILE``."""
    return [f"{variable_of(*names)}{FILE_SUFFIX}" for names in sorted(SECRET_KEYS)]


def setting_variables() -> list[str]:
    """Return the variable of every setting that there is, whichever part declares it."""
    return [variable_of(section, key) for section, keys in SETTING_KEYS.items() for key in keys]


def variable_of(section: str, key: str) -> str:
    """Return the environment variable of a setting."""
    return f"{PREFIX}{section}_{key}".upper()


def settle(section: str, config: msgspec.Struct) -> Mapping[str, Source]:
    """Put what was looked up into the fields of *config*, check every type, and return each field's source.

    Raises:
        ConfigError: A value of the wrong type was given in code: msgspec checks what it decodes
            alone. Names the setting, what it must be, and the type it has. Permanent.
    """
    sources: dict[str, Source] = {}
    for declared in SETTINGS.values():
        if declared.section != section:
            continue
        value: object = getattr(config, declared.key)
        sources[declared.key] = Source.CODE
        if isinstance(value, _Found):
            sources[declared.key], value = value.source, value.value
        # A whole number of seconds is as good as 30.0; a truth value is neither, though Python calls it an int.
        kinds = (int, float) if declared.kind is float else (declared.kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigError(
                f"{section}.{declared.key}: must be {_kind_of(declared)}, got {type(value).__name__}"
            )
        force_setattr(config, declared.key, Secret(value) if declared.is_secret else value)
    return sources


def require(is_right: bool, name: str, rule: str) -> None:
    """Raise `ConfigError` saying what the setting *name* must be, unless it is."""
    if not is_right:
        raise ConfigError(f"{name}: must be {rule}")


def require_file(path: str, name: str, kind: str = "a file that can be read") -> None:
    """Raise `ConfigError` unless *path* is empty, or names something that this process can read."""
    require(not path or os.access(path, os.R_OK), name, kind)


def _look_up(declared: Setting) -> _Found:
    """Find the value of *declared* in the environment, a secret's file, the settings file, or its default.

    Raises:
        ConfigError: The value does not fit the type, or a secret's file cannot be read. Permanent.
    """
    # The environment before the file: what is said for one process wins over what is kept for many.
    text = os.environ.get(declared.variable)
    if text is not None and is_made_by_kubernetes(declared.variable, text):
        text = None
    if declared.is_secret and (path := os.environ.get(declared.file_variable)):
        if text:
            raise ConfigError(
                f"{declared.variable} and {declared.file_variable} are both given; unset one of them"
            )
        return _Found(_read_secret(declared.file_variable, Path(path)), Source.ENVIRONMENT)
    if text is not None:
        return _Found(_convert(text, declared, declared.variable), Source.ENVIRONMENT)
    section = read_config_file().get(declared.section, {})
    if declared.key in section:
        name = f"{config_path()}: [{declared.section}] {declared.key}"
        return _Found(_convert(section[declared.key], declared, name), Source.FILE)
    return _Found(declared.default, Source.CODE)


def _read_secret(variable: str, path: Path) -> str:
    """Return what stands in a secret's file, without the line's end that editors leave."""
    try:
        # Not blocking: a pipe that nobody writes to would hold the start of its program.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # Of what was opened, not of the name, which may lead elsewhere by now.
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{variable} must name a regular file")
            content = os.read(descriptor, LARGEST_SECRET_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(
            f"the file that {variable} names cannot be read: {error.strerror}"
        ) from None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"the file that {variable} names is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or len(content) > LARGEST_SECRET_BYTES:
        fault = "is empty" if not text else f"has more than {LARGEST_SECRET_BYTES} bytes"
        raise ConfigError(f"the file that {variable} names {fault}")
    return text


_file_cache: dict[tuple[str, int, int], dict[str, dict[str, Any]]] = {}


def read_config_file() -> dict[str, dict[str, Any]]:
    """Return the sections of the settings file; empty when none was named.

    Raises:
        ConfigError: The file named by ``TRAILHOUSE_CONFIG_FILE`` is missing, or is not TOML of
            sections. Permanent.
    """
    path = config_path()
    if path is None:
        return {}
    import tomllib  # only where a file is named: import time counts in every agent

    try:
        status = path.stat()
        # Four structs are made of one file, and each field asks: it is read once while it stays as it is.
        stamp = (str(path.absolute()), status.st_mtime_ns, status.st_size)
        if stamp not in _file_cache:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            _file_cache.clear()
            _file_cache[stamp] = _sections(content, path)
        return _file_cache[stamp]
    except FileNotFoundError:
        raise ConfigError(f"{CONFIG_FILE_VARIABLE} names {path}, which does not exist") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        # Its text names line and column, and may quote a value.
        place = f": {found}" if (found := _place_of(str(error))) else ""
        raise ConfigError(f"{path} cannot be read: it is not TOML{place}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} cannot be read: it is not UTF-8 text") from None


def config_path() -> Path | None:
    """Return the settings file that ``TRAILHOUSE_CONFIG_FILE`` names, if it does."""
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    return Path(named) if named else None


def _place_of(text: str) -> str:
    _, opening, place = text.rpartition("(at ")
    return f"at {place.removesuffix(')')}" if opening else ""


def _sections(content: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    for name, value in content.items():
        if not isinstance(value, dict):
            raise ConfigError(
                f"{path}: {name} stands outside a section; write it under [kafka], [producer] …"
            )
    return content


def _convert(value: object, declared: Setting, name: str) -> object:
    try:
        # The environment has text alone, so text is read as a number or a truth value.
        return msgspec.convert(value, declared.kind, strict=not isinstance(value, str))
    except msgspec.ValidationError:
        raise ConfigError(f"{name}: must be {_kind_of(declared)}") from None


def _kind_of(declared: Setting) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    return kinds.get(declared.kind, "text")
