"""Settings: one loader for all parts, from the environment, then ``trailhouse.toml``, then defaults.

A configuration is a frozen msgspec struct whose fields are made by `setting`. A field that is not
given to the constructor is looked up when the struct is made; a wrong value or an unknown name
raises `ConfigError` then, before any I/O of ours but reading ``trailhouse.toml``.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from trailhouse.schemas.errors import ConfigError

PREFIX = "TRAILHOUSE_"
CONFIG_FILE_VARIABLE = "TRAILHOUSE_CONFIG_FILE"
DEFAULT_CONFIG_FILE = "trailhouse.toml"
DEV_DATA_DIR_VARIABLE = "TRAILHOUSE_DEV_DATA_DIR"


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
        return f"{PREFIX}{self.section}_{self.key}".upper()


SETTINGS: dict[str, Setting] = {}
"""Every declared setting by its environment variable; the README's table is made from it."""

PROCESS_VARIABLES = {
    CONFIG_FILE_VARIABLE: "Path of the settings file; `trailhouse.toml` in the current folder if unset.",
    DEV_DATA_DIR_VARIABLE: "Data folder of the local stack that `trailhouse dev` acts on.",
}


def setting(
    section: str, key: str, default: Any, text: str, *, kind: type = str, is_secret: bool = False
) -> Any:
    """Declare a struct field that is looked up as ``[section] key`` when it is not given."""
    declared = Setting(
        section=section, key=key, kind=kind, default=default, text=text, is_secret=is_secret
    )
    SETTINGS[declared.variable] = declared
    return msgspec.field(default_factory=lambda: look_up(declared))


def look_up(declared: Setting) -> object:
    """Return the value of *declared* from the environment, the settings file, or its default.

    Raises:
        ConfigError: The value does not fit the type. Permanent.
    """
    if (text := os.environ.get(declared.variable)) is not None:
        return _convert(text, declared, declared.variable)
    section = read_config_file().get(declared.section, {})
    if declared.key in section:
        return _convert(
            section[declared.key],
            declared,
            f"{_config_path()}: [{declared.section}] {declared.key}",
        )
    return declared.default


def check_kinds(section: str, config: object) -> None:
    """Refuse a value of the wrong type that was given in code; msgspec checks what it decodes alone.

    Raises:
        ConfigError: Names the setting, what it must be, and the type it has. Permanent.
    """
    for declared in SETTINGS.values():
        if declared.section == section:
            value: object = getattr(config, declared.key)
            kinds = (int, float) if declared.kind is float else (declared.kind,)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise ConfigError(
                    f"{section}.{declared.key}: must be {_kind_of(declared)}, got {type(value).__name__}"
                )


def check_names() -> None:
    """Refuse a ``TRAILHOUSE_`` variable or a key of the settings file that nothing declares.

    Raises:
        ConfigError: Names the unknown setting and the nearest known one. Permanent.
    """
    for name in os.environ:
        if name.startswith(PREFIX) and name not in SETTINGS and name not in PROCESS_VARIABLES:
            raise ConfigError(f"unknown setting {name}{_nearest(name, SETTINGS)}")
    known = {f"[{s.section}] {s.key}" for s in SETTINGS.values()}
    for section, keys in read_config_file().items():
        for key in keys:
            if (name := f"[{section}] {key}") not in known:
                raise ConfigError(
                    f"unknown setting {name} in {_config_path()}{_nearest(name, known)}"
                )


_file_cache: dict[tuple[str, int, int], dict[str, dict[str, Any]]] = {}


def read_config_file() -> dict[str, dict[str, Any]]:
    """Return the sections of the settings file; empty when there is none.

    Raises:
        ConfigError: The file named by ``TRAILHOUSE_CONFIG_FILE`` is missing, or is not TOML of
            sections. Permanent.
    """
    path = _config_path()
    try:
        status = path.stat()
        stamp = (str(path.absolute()), status.st_mtime_ns, status.st_size)
        if stamp not in _file_cache:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            _file_cache.clear()
            _file_cache[stamp] = _sections(content, path)
        return _file_cache[stamp]
    except FileNotFoundError:
        if CONFIG_FILE_VARIABLE in os.environ:
            raise ConfigError(
                f"{CONFIG_FILE_VARIABLE} names {path}, which does not exist"
            ) from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _sections(content: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    for name, value in content.items():
        if not isinstance(value, dict):
            raise ConfigError(
                f"{path}: {name} stands outside a section; write it under [kafka], [producer] …"
            )
    return content


def _config_path() -> Path:
    return Path(os.environ.get(CONFIG_FILE_VARIABLE, DEFAULT_CONFIG_FILE))


def _convert(value: object, declared: Setting, name: str) -> object:
    try:
        # The environment has text alone, so text is read as a number or a truth value.
        return msgspec.convert(value, declared.kind, strict=not isinstance(value, str))
    except msgspec.ValidationError:
        raise ConfigError(f"{name}: must be {_kind_of(declared)}") from None


def _kind_of(declared: Setting) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    return kinds.get(declared.kind, "text")


def _nearest(name: str, known: "dict[str, Setting] | set[str]") -> str:
    import difflib  # only when something is wrong: import time counts in every agent

    close = difflib.get_close_matches(name, known, n=1)
    return (
        f"; did you mean {close[0]}?"
        if close
        else "; `trailhouse --help` and the README list the settings"
    )
