"""The data folder and the ports of a stack: free or refused in one clear line."""

import shutil
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from trailhouse.devstack.data_folder import DataFolder, default_data_dir
from trailhouse.devstack.ports import (
    Ports,
    check_free,
    free_port,
    given_to_no_connection,
    is_listening,
)
from trailhouse.schemas.errors import StackError


class Usage(NamedTuple):
    """What `shutil.disk_usage` gives."""

    total: int
    used: int
    free: int


def test_one_holder_a_folder(tmp_path: Path) -> None:
    """A held folder is refused with the way out, and is free again after its release."""
    first, second = DataFolder(tmp_path / "data"), DataFolder(tmp_path / "data")
    first.take()
    with pytest.raises(StackError, match=r"already runs on .*--data-dir"):
        second.take()
    first.release()
    second.take()
    second.release()


def test_a_full_disk_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little room names the folder, what is free and what is needed; the folder is let go."""
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 5_000_000))
        with pytest.raises(StackError, match="5 MB free, 1000 MB are needed"):
            DataFolder(tmp_path / "data").take()
    again = DataFolder(tmp_path / "data")
    again.take()
    again.release()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A path that cannot be a folder is named with the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="cannot be used"):
        DataFolder(tmp_path / "file" / "data").take()


def test_where_the_data_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`TRAILHOUSE_DEV_DATA_DIR` wins over `XDG_DATA_HOME`, which wins over the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data_dir() == tmp_path / ".local" / "share" / "trailhouse" / "dev"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_data_dir() == tmp_path / "xdg" / "trailhouse" / "dev"
    monkeypatch.setenv("TRAILHOUSE_DEV_DATA_DIR", str(tmp_path / "mine"))
    assert default_data_dir() == tmp_path / "mine"


def test_free_ports_differ_and_are_free() -> None:
    """Three free ports are three ports, and none of those that Linux gives to connections."""
    ports = Ports.free()
    assert len(set(ports)) == 3
    for port in (*ports, free_port()):
        check_free("kafka", port)
        assert port in given_to_no_connection()


@pytest.mark.parametrize(
    ("of_connections", "expected"),
    [
        ("32768\t60999\n", range(20_000, 32_768)),
        ("16000 50000", range(50_001, 65_536)),
        ("15000 65535", range(10_000, 15_000)),
        ("1024 65535", range(20_000, 32_768)),
        ("nonsense", range(20_000, 32_768)),
    ],
)
def test_ports_that_no_connection_takes(
    of_connections: str, expected: range, tmp_path: Path
) -> None:
    """Free ports lie outside those that the machine's connections come from, where there is room."""
    (tmp_path / "range").write_text(of_connections)
    assert given_to_no_connection(tmp_path / "range") == expected
    assert given_to_no_connection(tmp_path / "none") == range(20_000, 32_768)


def test_a_port_in_use_names_part_port_and_option() -> None:
    """A taken port says which part wanted it and how to choose another."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert is_listening(port)
        with pytest.raises(
            StackError, match=rf"port {port} for clickhouse is in use.*--clickhouse-port"
        ):
            check_free("clickhouse", port)
    assert not is_listening(port)
