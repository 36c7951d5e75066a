"""What redaction costs: `python -m benchmarks.redaction`, in CPU time, beside the goals that it has to hold."""

import base64
import random
import re
import statistics
import string
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.records import ready_records, recorded_fields
from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.redactor import Redactor, decoded
from trailhouse.schemas.record import encode_sorted

LIMIT_BYTES = 1_000_000
HOSTILE_BYTES = 900_000
ROUNDS = 5
CLEAN_TEXT_BYTES = 4_096
PAUSES = 2_000
PAUSE_SECONDS = 0.001
PACKAGES = Path(__file__).parents[1]


_BEGIN = "-----BEGIN RSA PRIVATE" + " KEY-----"
_UNITS = {
    "key=key=": "key=key=",
    "password=password=": "password=",
    "password=( (": "pwd=(",
    "api_key=é": "api_key=é ",
    "auth=éauth=": "auth=é",
    'password=\\"': 'password=\\"',
    'secret: "': 'secret: "',
    "eyJ.": "eyJ" + ".",
    "eyJ…eyJ": "eyJ" + "abcdefgh.",
    "unended key blocks": f"{_BEGIN}\nMIIE",
    "unended key blocks in one line": _BEGIN,
    "://": "a://b:c",
    "https://a:b@": "https://a:b@c ",
    "digits": "4",
    "digits and blanks": "4111 ",
    "cookie: a=": "cookie: a=b;",
    "Authorization:": "Authorization: Bearer ",
    "name: PASSWORD": "name: PASSWORD\n",
    "sk-": "sk-",
    "ghp_": "ghp_",
    "AKIA": "AKIA",
    "backslashes": "\\",
    "quotes": '"',
    "mysql": "mysql -",
    "a@": "a@",
    "xoxb-": "xoxb-1-",
    "[REDACTED:": "[REDACTED:x",
    "key names": "token_key_secret_auth_password_",
    "twilio auth token": "twilio auth token ",
    "paths of URLs": "https://a/AK",
    "four words": "password=abcd efgh ijkl ",
    "names of resources": "arn:aws:a:secret:",
    "lines of tokens": "glpat-" + "aB3dE5gH7jK9mN1pQ3sT\n",
    "base64 of assignments": "cGFzc3dvcmQ9aHVudGVyMlpx" + " ",
    "base64 of base64": "WjJod1gyRmhZV0U9 Z2hwX2FhYWE= ",
    "lines of pieces": "ghp_aB3dE5gH7\nK9mN1pQ3sT7u\n",
    "comparisons": "(password) > ",
    "my-a": "password=my-a",
}
"""What hostile texts repeat, by what they are."""


def main() -> None:
    """Print each figure beside its goal."""
    redactor = Redactor(RedactionConfig(), limit_bytes=LIMIT_BYTES)
    recorded = [ready.value for ready in ready_records(len(recorded_fields()))]
    touched = sum(redactor.redacted(record) is not record for record in recorded)
    opened = [record for record in recorded if redactor.opens(record)]
    secrets = [record_of(f"{text} password=hunter{n}Zq") for n, text in enumerate(texts(500))]
    large = [record_of(text) for text in large_texts(CLEAN_TEXT_BYTES)]
    show("clean recorded events touched", 100 * touched / len(recorded), "%", 0.5)
    show("of them looked into text by text", 100 * len(opened) / len(recorded), "%", None)
    show("a recorded event, mean", microseconds(redactor, recorded), "µs", 6)
    fresh_us = fresh_microseconds(redactor, recorded)
    show("a recorded event with ids never seen before", fresh_us, "µs", 20)
    show(
        "a recorded event after a pause, median",
        paused_microseconds(redactor, recorded),
        "µs",
        None,
    )
    show("a recorded event that is looked into", microseconds(redactor, opened), "µs", None)
    show("an event with a secret, encoded again", microseconds(redactor, secrets), "µs", 15)
    show(
        "of it: the passes that look for it", mean_microseconds(redactor.opens, secrets), "µs", None
    )
    show("of it: its JSON read and encoded", mean_microseconds(_again, secrets), "µs", None)
    show("4 kB of clean text", microseconds(redactor, large), "µs", 25)
    longest_held_seconds = 0.0
    for what, text in hostile_texts().items():
        began = time.process_time()
        redactor.redacted(record_of(text))
        show(f"900 kB of {what}", time.process_time() - began, "s", 2)
        longest_held_seconds = max(longest_held_seconds, held_seconds(redactor, record_of(text)))
    show("another thread held by one of these", longest_held_seconds * 1e3, "ms", 100)
    for what, goal, figure in (
        ("import, beside the schemas", 30, _import_ms()),
        ("rules ready and first event redacted", 150, _ready_ms()),
    ):
        show(what, figure, "ms", goal)
    show("memory, after hostile texts", _memory_mb(), "MB", 40)


def show(what: str, figure: float, unit: str, goal: float | None) -> None:
    """Print one line."""
    says = "" if goal is None else f"  goal {goal:g}{'' if figure <= goal else '  MISSED'}"
    print(f"{what:<44} {figure:>9.2f} {unit:<3}{says}")


def microseconds(redactor: Redactor, records: Sequence[bytes], rounds: int = ROUNDS) -> float:
    """Return the CPU time of one of *records*, the least of several rounds."""
    return mean_microseconds(redactor.redacted, records, rounds)


def _again(record: bytes) -> bytes:
    return encode_sorted(decoded(record))


def mean_microseconds(
    work: Callable[[bytes], object], records: Sequence[bytes], rounds: int = ROUNDS
) -> float:
    """Return the CPU time of *work* on one of *records*, the least of several rounds."""

    def once() -> float:
        began = time.process_time()
        for record in records:
            work(record)
        return (time.process_time() - began) / len(records) * 1e6

    return min(once() for _ in range(rounds))


def fresh_microseconds(redactor: Redactor, records: Sequence[bytes]) -> float:
    """Return the same where each event has ids of its own, as in life: what RE2 has learned of others helps little."""
    chance = random.Random(8)  # noqa: S311 - no secret

    def fresh(record: bytes) -> bytes:
        record = _CALL_ID.sub(lambda _: b"call_" + _id(chance), record)
        ids = b'{"request_id":"%b","trace":"%032x"}' % (_id(chance), chance.getrandbits(128))
        return record.replace(b'"metadata":{}', b'"metadata":' + ids)

    return min(
        microseconds(redactor, [fresh(record) for record in records], rounds=1)
        for _ in range(ROUNDS)
    )


def paused_microseconds(redactor: Redactor, records: Sequence[bytes]) -> float:
    """Return the median CPU time of one of *records*, each after a pause: caches have lost what RE2 learned."""
    taken_ns: list[int] = []
    for record in records[:PAUSES]:
        time.sleep(PAUSE_SECONDS)
        began_ns = time.thread_time_ns()
        redactor.redacted(record)
        taken_ns.append(time.thread_time_ns() - began_ns)
    return statistics.median(taken_ns) / 1e3


_CALL_ID = re.compile(rb"call_[0-9A-Za-z]{20,}")


def _id(chance: random.Random) -> bytes:
    letters = string.ascii_letters + string.digits
    return "".join(chance.choices(letters, k=24)).encode()


def held_seconds(redactor: Redactor, record: bytes) -> float:
    """Return how long another thread does not get to run while *record* is redacted, in this thread's CPU time.

    In CPU time, since on a busy machine that thread may wait for others as well. RE2 gives the interpreter's lock away.
    """
    clock = time.pthread_getcpuclockid(threading.get_ident())
    is_ready, is_done = threading.Event(), threading.Event()
    held: list[float] = []

    def tick() -> None:
        last = time.clock_gettime(clock)
        is_ready.set()
        while not is_done.wait(0.0005):
            now = time.clock_gettime(clock)
            held.append(now - last)
            last = now

    ticking = threading.Thread(target=tick)
    ticking.start()
    is_ready.wait()
    redactor.redacted(record)
    is_done.set()
    ticking.join()
    return max(held, default=0.0)


def record_of(text: str) -> bytes:
    """Return the record of an event that says *text*."""
    return encode_sorted({
        "data": {"content": text, "role": "assistant"},
        "event_id": "01a22626-1f43-7d3f-aa76-ec255b3ecdf9",
        "metadata": {},
        "occurred_at": "2026-11-29T07:12:42.307820Z",
        "schema_version": 1,
        "session_id": "bench",
        "type": "message_sent",
    })  # fmt: skip


def texts(count: int) -> list[str]:
    """Return what recorded agents said."""
    found = [
        str(content)
        for fields in recorded_fields()
        if isinstance(data := fields["data"], dict) and (content := data.get("content"))
    ]
    return found[:count]


def large_texts(size_bytes: int) -> list[str]:
    """Return what recorded agents said in pieces of *size_bytes*."""
    said = "\n".join(texts(5_000))
    return [said[at : at + size_bytes] for at in range(0, len(said) - size_bytes, size_bytes)]


def hostile_texts() -> dict[str, str]:
    """Return texts that are written to take long, by what they are."""
    chance = random.Random(7)  # noqa: S311 - no secret
    made = {
        what: (unit * (HOSTILE_BYTES // len(unit.encode())))[:HOSTILE_BYTES]
        for what, unit in _UNITS.items()
    }
    made["base64"] = "".join(chance.choices("ABCDEFabcdef0123456789+/", k=HOSTILE_BYTES))
    said = ("the agent has read the file and found nothing. " * HOSTILE_BYTES)[
        :HOSTILE_BYTES
    ].encode()
    made["base64 of a long text"] = base64.b64encode(said).decode()[:HOSTILE_BYTES]
    made["base64 of text and other bytes in turn"] = base64.b64encode(
        b"".join(said[:40] + chance.randbytes(20) for _ in range(HOSTILE_BYTES // 80))
    ).decode()[:HOSTILE_BYTES]
    made["all openers in turn"] = (" ".join(_UNITS.values()) + " ") * (HOSTILE_BYTES // 3_000)
    made["random ASCII"] = "".join(
        chance.choices([chr(n) for n in range(32, 127)], k=HOSTILE_BYTES)
    )
    made["random words of secrets"] = " ".join(
        chance.choices([*_UNITS.values(), "=", ":", '"', "\n"], k=HOSTILE_BYTES // 60)
    )[:HOSTILE_BYTES]
    return made


def _measured(program: str) -> float:
    """Return what *program* prints, run by itself; the least of several runs."""

    def once() -> float:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=PACKAGES,
        )
        return float(done.stdout)

    return min(once() for _ in range(ROUNDS))


def _import_ms() -> float:
    return _measured(
        "import time, trailhouse.schemas, trailhouse.schemas.settings; began = time.process_time();"
        "import trailhouse.redaction; print((time.process_time() - began) * 1e3)"
    )


def _ready_ms() -> float:
    record = record_of("the password is hunter" + "2Zq, and a token")
    return _measured(
        "import time; from trailhouse.redaction import RedactionConfig; began = time.process_time();"
        "from trailhouse.redaction.redactor import Redactor;"
        f"Redactor(RedactionConfig(), limit_bytes={LIMIT_BYTES}).redacted({record!r});"
        "print((time.process_time() - began) * 1e3)"
    )


def _memory_mb() -> float:
    """Return what redaction adds to a process that has hostile texts looked through, and then small ones."""
    program = (
        "import os; from benchmarks.redaction import hostile_texts, large_texts, record_of\n"
        "def used(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20\n"
        "hostile = [record_of(text) for text in hostile_texts().values()]\n"
        "small = [record_of(text) for text in large_texts(1_000)]\n"
        "before = used()\n"
        "from trailhouse.redaction import RedactionConfig; from trailhouse.redaction.redactor import Redactor\n"
        f"redactor = Redactor(RedactionConfig(), limit_bytes={LIMIT_BYTES})\n"
        "for record in (*small, *hostile, *small): redactor.redacted(record)\n"
        "print(used() - before)"
    )
    return _measured(program)


if __name__ == "__main__":
    main()
