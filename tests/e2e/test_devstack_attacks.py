"""What hostile SQL and hostile requests reach through the dev stack's ClickHouse: nothing of its owner's."""

import base64
import contextlib
import shutil
import socket
import threading
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import pytest

from clickhouse_http import Reply, Server
from trailhouse.devstack import DevStack

pytestmark = pytest.mark.cluster

SECRET = "the-owner-s-secret"


class AttackedStack(NamedTuple):
    """A running ClickHouse of the dev stack, a secret file beside it, and a socket that counts callers."""

    server: Server
    home: Path
    data_dir: Path
    callers: list[object]
    port: int
    pid: int

    @property
    def secret_file(self) -> Path:
        """A file of the owner's."""
        return self.home / "secret.csv"

    def attack(self, sql: str, **values: str) -> Reply:
        """Send *sql* with every name replaced: OUT, IN, HOME, PORT."""
        names = {"OUT": self.home / "out", "IN": self.secret_file, "HOME": self.home}
        for name, path in names.items():
            sql = sql.replace(f"<{name}>", str(path))
        sql = sql.replace("<PORT>", str(self.port)).replace("<PID>", str(self.pid))
        return self.server.ask(sql, **values)

    def files(self) -> dict[Path, bytes]:
        """Everything in the owner's folder with its content."""
        return {path: path.read_bytes() if path.is_file() else b"" for path in self.home.rglob("*")}


@contextlib.contextmanager
def with_secret_in_environment() -> Generator[None]:
    """Start what is started here with a secret of the owner's in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OWNERS_TOKEN", SECRET)
        yield


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Generator[AttackedStack]:
    """Return a stack whose SQL is attacked."""
    home, data_dir = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("stack") / "data"
    (home / "secret.csv").write_text(f"1,{SECRET}\n")
    script = home / "script.sh"
    script.write_text(f"#!/bin/sh\ntouch {home}/ran\necho 1\n")
    script.chmod(0o755)
    callers: list[object] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        with_secret_in_environment(),
        DevStack(data_dir, parts=("clickhouse",)) as stack,
    ):
        [pid] = [part.pid for part in stack.status() if part.name == "clickhouse"]
        assert pid is not None

        def accept() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                callers.append(address)
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        variables = stack.environment()
        server = Server(
            variables["TRAILHOUSE_CLICKHOUSE_URL"],
            variables["TRAILHOUSE_CLICKHOUSE_USER"],
            variables["TRAILHOUSE_CLICKHOUSE_PASSWORD"],
            "d",
        )
        server.text("CREATE DATABASE d")
        server.text("CREATE TABLE d.t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
        server.text("INSERT INTO d.t VALUES (1, 'x')")
        scripts = data_dir / "clickhouse" / "store" / "user_scripts"
        scripts.mkdir(exist_ok=True)
        shutil.copy(script, scripts)
        # A table over a program may be made; there is no way to run the program.
        server.text("CREATE TABLE d.e (a UInt64) ENGINE = Executable('script.sh', 'CSV')")
        server.text("CREATE TABLE d.ep (a UInt64) ENGINE = ExecutablePool('script.sh', 'CSV')")
        upwards = "../" * 12 + str(script)
        server.text(f"CREATE TABLE d.ex (a UInt64) ENGINE = Executable('{upwards}', 'CSV')")
        yield AttackedStack(server, home, data_dir, callers, listener.getsockname()[1], pid)
        listener.shutdown(socket.SHUT_RDWR)


ATTACKS = """
SELECT 1 INTO OUTFILE '<OUT>'
SELECT 1 INTO/**/OUTFILE '<OUT>'
select 1 into -- x\\n outfile '<OUT>' truncate
(SELECT 1) INTO OUTFILE '<OUT>' FORMAT CSV
WITH 1 AS x SELECT x INTO OUTFILE '<OUT>' AND STDOUT
SELECT 1 INTO OUTFILE '<OUT>.gz' COMPRESSION 'gzip'
SELECT 1 INTO OUTFILE '<IN>' TRUNCATE
SELECT 1 INTO OUTFILE '<IN>' APPEND
SELECT 1 INTO OUTFILE '/dev/fd/../../../../../../../..<OUT>'
EXPLAIN SELECT 1 INTO OUTFILE '<OUT>'
SHOW TABLES FROM d INTO OUTFILE '<OUT>'
DESCRIBE TABLE d.t INTO OUTFILE '<OUT>'
INSERT INTO d.t FROM INFILE '<IN>' FORMAT CSV
INSERT INTO d.t FROM INFILE '<HOME>/*.csv' FORMAT CSV
INSERT INTO d.t FROM/**/INFILE '/proc/self/environ' FORMAT LineAsString
SELECT * FROM file('<IN>', 'CSV', 'a UInt64, b String')
SELECT * FROM file('<IN>')
SELECT * FROM file('../../../../../../../../../..<IN>', 'LineAsString')
SELECT file('<IN>')
SELECT arrayMap(x -> file(x), ['<IN>'])
SELECT file('/proc/self/environ')
SELECT file('/proc/<PID>/environ')
SELECT file('/proc/<PID>/task/<PID>/environ')
INSERT INTO d.t FROM INFILE '/proc/<PID>/task/<PID>/environ' FORMAT LineAsString
SELECT * FROM file('/proc/<PID>/task/<PID>/environ', 'LineAsString')
SELECT file('/proc/<PID>/task/<PID>/mem')
INSERT INTO d.t (b) FROM INFILE '/proc/<PID>/task/<PID>/mem' FORMAT LineAsString
SELECT file('/proc/<PID>/task/<PID>/root<IN>')
SELECT file('/proc/<PID>/task/<PID>/cwd/pyproject.toml')
SELECT file('/etc/passwd')
SELECT * FROM '<IN>'
SELECT * FROM `<IN>`
SELECT * FROM default.`<IN>`
SELECT * FROM d.t SETTINGS format_schema = '<IN>:x'
INSERT INTO FUNCTION file('<OUT>', 'CSV', 'a UInt64') SELECT 1
CREATE TABLE d.f (a UInt64, b String) ENGINE = File(CSV, '<IN>')
CREATE TABLE d.f2 (a UInt64) ENGINE = File(CSV)
CREATE TABLE d.f3 AS file('<IN>')
CREATE VIEW d.v AS SELECT * FROM file('<IN>')
CREATE DATABASE fs ENGINE = Filesystem('<HOME>')
CREATE DATABASE sq ENGINE = SQLite('<OUT>')
SELECT * FROM sqlite('<OUT>', 't')
SELECT * FROM filesystem('<HOME>')
CREATE TABLE d.o (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '<OUT>/')
CREATE TABLE d.r (a UInt64) ENGINE = EmbeddedRocksDB(0, '<OUT>') PRIMARY KEY a
CREATE TABLE d.l (a String) ENGINE = FileLog('<HOME>', 'LineAsString')
ATTACH TABLE d.moved FROM '<HOME>/' (a UInt64) ENGINE = MergeTree ORDER BY a
BACKUP TABLE d.t TO File('<OUT>')
BACKUP TABLE d.t TO Disk('default', '../../out')
RESTORE TABLE d.t FROM File('<IN>')
SELECT * FROM icebergLocal('<HOME>')
SELECT * FROM deltaLakeLocal('<HOME>')
SELECT * FROM executable('script.sh', 'CSV', 'a UInt64')
SELECT * FROM executable('../../../../../../../../../..<HOME>/script.sh', 'CSV', 'a UInt64')
SELECT * FROM d.e
SELECT * FROM d.ep
SELECT * FROM d.ex
CREATE FUNCTION f AS (x) -> file(x)
CREATE DICTIONARY d.d1 (a UInt64) PRIMARY KEY a SOURCE(FILE(path '<IN>' format 'CSV')) LAYOUT(FLAT())
CREATE DICTIONARY d.d2 (a UInt64) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1:<PORT>/' format 'CSV')) LAYOUT(FLAT())
CREATE DICTIONARY d.d (a UInt8) PRIMARY KEY a SOURCE(EXECUTABLE(command '<HOME>/script.sh' format 'CSV')) LAYOUT(FLAT())
SELECT * FROM url('http://127.0.0.1:<PORT>/', 'CSV', 'a UInt64')
INSERT INTO FUNCTION url('http://127.0.0.1:<PORT>/', 'CSV', 'a UInt64') SELECT 1
SELECT * FROM 'http://127.0.0.1:<PORT>/x.csv'
CREATE TABLE d.u (a UInt64) ENGINE = URL('http://127.0.0.1:<PORT>/', 'CSV')
CREATE DATABASE u ENGINE = URL('http://127.0.0.1:<PORT>/')
SELECT * FROM s3('http://127.0.0.1:<PORT>/bucket/key', 'CSV', 'a UInt64')
CREATE TABLE d.s (a UInt64) ENGINE = S3('http://127.0.0.1:<PORT>/bucket/key', 'CSV')
SELECT * FROM gcs('http://127.0.0.1:<PORT>/bucket/key', 'CSV', 'a UInt64')
SELECT * FROM azureBlobStorage('http://127.0.0.1:<PORT>/', 'c', 'k', 'n', 'a2V5', 'CSV', 'auto', 'a UInt64')
SELECT * FROM hdfs('hdfs://127.0.0.1:<PORT>/x', 'CSV', 'a UInt64')
SELECT * FROM remote('127.0.0.1:<PORT>', 'system', 'one')
SELECT * FROM remoteSecure('127.0.0.1:<PORT>', 'system', 'one')
SELECT * FROM cluster('default', 'system', 'one')
CREATE TABLE d.dist (a UInt64) ENGINE = Remote('127.0.0.1:<PORT>', 'd', 't')
SELECT * FROM mysql('127.0.0.1:<PORT>', 'd', 't', 'u', 'p')
CREATE DATABASE my ENGINE = MySQL('127.0.0.1:<PORT>', 'd', 'u', 'p')
SELECT * FROM postgresql('127.0.0.1:<PORT>', 'd', 't', 'u', 'p')
CREATE DATABASE pg ENGINE = PostgreSQL('127.0.0.1:<PORT>', 'd', 'u', 'p')
SELECT * FROM mongodb('127.0.0.1:<PORT>', 'd', 'c', 'u', 'p', 'a UInt64')
SELECT * FROM redis('127.0.0.1:<PORT>', 'a', 'a String')
SELECT * FROM odbc('DSN=x', 'd', 't')
SELECT * FROM jdbc('jdbc:x', 'd', 't')
SELECT * FROM ytsaurus('http://127.0.0.1:<PORT>', '//x', 't', 'a UInt64')
CREATE TABLE d.k (a UInt64) ENGINE = Kafka('127.0.0.1:<PORT>', 'topic', 'group', 'CSV')
SELECT * FROM prometheusQuery('http://127.0.0.1:<PORT>', 'up', now())
SELECT * FROM Python(password)
SELECT * FROM Python(environ)
SELECT * FROM python(self)
SELECT * FROM python(options)
SELECT * FROM python(server)
CREATE TABLE d.py (a String) ENGINE = Python(values)
CREATE USER u IDENTIFIED BY 'x'
GRANT ALL ON *.* TO default
CREATE NAMED COLLECTION n AS url = 'http://127.0.0.1:<PORT>/'
SYSTEM SHUTDOWN
SYSTEM RELOAD CONFIG
SYSTEM DROP DNS CACHE
SELECT addressToLine(1)
"""
MAY_ANSWER = (
    "FROM INFILE '/proc/<PID>/task/<PID>/mem'",  # no row: memory has none at its beginning
    "file('/proc/<PID>/task/<PID>/environ', 'Line",  # zeros: what the process was started with is erased
    "SELECT file('/proc/<PID>/task/<PID>/",  # nothing: by its size, which it goes by, such a file is empty
    "SETTINGS format_schema",  # the format of this answer has no schema
    "FROM INFILE '<HOME>/*.csv'",  # it finds no file, and stores no row
    "filesystem(",  # name, size and times of a path, as `ls -d` gives them; no content and no list
    "executable('script.sh'",  # no row: the program cannot be run
    "FROM d.e",
)
"""What is answered though it reached nothing."""


@pytest.mark.parametrize("sql", [line for line in ATTACKS.splitlines() if line])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_sql_reaches_no_file_no_address_and_no_program(
    attacked: AttackedStack, sql: str, method: str
) -> None:
    """Nothing is written, read, called or run outside ClickHouse's own data, and the answer is an error."""
    before, callers = attacked.files(), len(attacked.callers)

    reply = attacked.attack(
        sql.replace("\\n", "\n"), **({"readonly": "2"} if method == "GET" else {})
    )

    assert attacked.files() == before, "a file appeared, went, or was changed"
    assert len(attacked.callers) == callers, "a connection arrived"
    assert SECRET.encode() not in reply.body, "content leaked"
    assert attacked.server.text("SELECT a, b FROM d.t") == "1\tx\n", "content leaked into a table"
    if not any(each in sql for each in MAY_ANSWER):
        assert reply.code != 0, f"it must be refused, but: {reply}"


@pytest.mark.parametrize(
    "values",
    [
        {"readonly": "0"},
        {"readonly": "00"},
        {"readonly": "+0"},
        {"readonly": " 0"},
        {"%72eadonly": "0"},
        {"readonly": "0", "allow_ddl": "1"},
        {"profile": "default", "readonly": "0"},
        {"limit": "0"},
    ],
)
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO d.t VALUES (2, 'y')",
        "WITH 2 AS n INSERT INTO d.t SELECT n, 'y'",
        "INSERT INTO d.t SELECT 2, 'y' SETTINGS readonly = 0",
        "CREATE TABLE d.n (a UInt64) ENGINE = Memory",
        "ALTER TABLE d.t DELETE WHERE 1",
        "DROP TABLE d.t",
        "TRUNCATE TABLE d.t",
    ],
)
def test_get_changes_nothing(attacked: AttackedStack, values: dict[str, str], sql: str) -> None:
    """GET is read-only by the engine, however `readonly` is spelled and whatever the statement looks like."""
    address = "&".join(
        f"{name}={text.replace('+', '%2B').replace(' ', '%20')}" for name, text in values.items()
    )
    query = "".join(f"%{byte:02X}" for byte in sql.encode())
    for extra in ("", "&readonly=0", "&session_id=s"):
        reply = attacked.server.request("GET", f"/?{address}{extra}&query={query}")
        assert reply.code != 0, f"it must be refused, but: {reply}"
    assert attacked.server.text("SELECT a, b FROM d.t") == "1\tx\n"
    assert attacked.server.text("SHOW TABLES FROM d").split() == ["e", "ep", "ex", "t"]


def test_a_setting_of_the_server_is_no_setting_of_a_request(attacked: AttackedStack) -> None:
    """Paths and disks cannot be changed by the address."""
    for name in ("user_files_path", "path", "config-file", "custom_local_disks_base_directory"):
        assert attacked.server.ask("SELECT 1", **{name: "/"}).code == 115


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"X-ClickHouse-Key": ""},
        {"X-ClickHouse-Key": "wrong"},
        {"X-ClickHouse-User": "other"},
        {"Authorization": "Basic " + base64.b64encode(b"default:wrong").decode()},
        {"Authorization": "Basic !"},
    ],
)
def test_nobody_is_let_in_without_the_password(
    attacked: AttackedStack, credentials: dict[str, str]
) -> None:
    """A missing or wrong password is refused with ClickHouse's own code and status."""
    stranger = attacked.server._replace(password="")
    for method in ("GET", "POST"):
        reply = stranger.request(method, "/?query=SELECT+1", headers=credentials)
        assert (reply.status, reply.code) == (403, 516)


def test_the_password_may_come_in_headers_and_never_in_an_address(attacked: AttackedStack) -> None:
    """By ClickHouse's headers or by Basic; addresses are logged, so what stands there lets nobody in."""
    user, password = attacked.server.user, attacked.server.password
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    for headers in (
        {"X-ClickHouse-User": user, "X-ClickHouse-Key": password},
        {"Authorization": f"Basic {token}"},
    ):
        assert _plain(attacked, "/?query=SELECT+1", headers) == 200
    assert _plain(attacked, f"/?query=SELECT+1&user={user}&password={password}", {}) == 403


def test_what_would_not_last_is_refused(attacked: AttackedStack) -> None:
    """A SET would end with its request, since there are no sessions: it is refused, not taken and forgotten."""
    assert attacked.server.ask("SET max_block_size = 23", session_id="s").code == 48


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8123"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_web_page_reaches_nothing(attacked: AttackedStack, headers: dict[str, str]) -> None:
    """Another Host or an Origin is refused, even with the right password."""
    for method in ("GET", "POST", "OPTIONS"):
        reply = attacked.server.request(method, "/?query=SELECT+1", headers=headers)
        assert (reply.status, reply.code) == (403, 497)
        assert "access-control-allow-origin" not in reply.headers


def test_no_table_of_the_system_has_the_password(attacked: AttackedStack) -> None:
    """Whoever may read everything in `system` still does not find a password there."""
    tables = attacked.server.text("SHOW TABLES FROM system").split()
    assert len(tables) > 50
    for table in tables:
        reply = attacked.server.ask(f"SELECT * FROM system.{table} LIMIT 5000 FORMAT TSV")
        assert attacked.server.password.encode() not in reply.body, table


def test_folders_and_files_are_the_owners_alone(attacked: AttackedStack) -> None:
    """No folder and no file of the stack can be entered, read or written by anybody else."""
    assert attacked.data_dir.stat().st_mode & 0o777 == 0o700
    for name in ("clickhouse-password", "trailhouse.toml", "netrc", "state.json"):
        assert (attacked.data_dir / name).stat().st_mode & 0o777 == 0o600, name
    folders = [path for path in attacked.data_dir.iterdir() if path.is_dir()]
    assert {path.name for path in folders} >= {"clickhouse", "logs"}
    assert [path for path in folders if path.stat().st_mode & 0o077] == []


def _plain(attacked: AttackedStack, target: str, headers: dict[str, str]) -> int:
    import http.client

    connection = http.client.HTTPConnection(*attacked.server.address, timeout=120)
    try:
        connection.request("GET", target, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()
