"""The default name of a service: a table of how programs are started, and two that really are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trailhouse.producer.service_name import name_of

FOLDER = Path("/srv/billing")
PROGRAM = "from trailhouse.producer.service_name import default_service; print(default_service())"


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [
        ("/usr/bin/gunicorn shop.wsgi:app", "", "shop.wsgi"),
        ("gunicorn -w 4 -b localhost:8000 shop.wsgi:create(1)", "", "shop.wsgi"),
        ("gunicorn -b unix:run.sock -k uvicorn.workers.UvicornWorker shop:app", "", "shop"),
        ("gunicorn -w 4 shop.wsgi", "", "shop.wsgi"),
        ("gunicorn -c gunicorn.conf.py shop.wsgi:app", "", "shop.wsgi"),
        ("gunicorn --config gunicorn.conf.py -w 4 shop.wsgi", "", "shop.wsgi"),
        ("gunicorn --config=gunicorn.conf.py shop.wsgi:app", "", "shop.wsgi"),
        ("gunicorn -c gunicorn.conf.py", "", "billing"),
        ("gunicorn --certfile cert:pem shop.wsgi:app", "", "shop.wsgi"),
        ("uvicorn --reload shop.api:app", "", "shop.api"),
        ("gunicorn shop.wsgi -w 4", "", "shop.wsgi"),
        ("gunicorn -b unix:sock -c conf", "", "billing"),
        ("gunicorn main:app", "", "billing"),
        ("gunicorn", "", "billing"),
        ("uvicorn shop.api:app --reload --port 80", "", "shop.api"),
        ("/x/uvicorn/__main__.py shop.api:app", "uvicorn.__main__", "shop.api"),
        ("hypercorn shop.api:app", "", "shop.api"),
        ("celery -A shop.tasks worker -l info", "", "shop.tasks"),
        ("celery --app=shop.tasks:app worker", "", "shop.tasks"),
        ("celery -Ashop worker", "", "shop"),
        ("/x/celery/__main__.py -A shop worker", "celery.__main__", "shop"),
        ("celery worker", "", "billing"),
        ("flask --app shop.web run", "", "shop.web"),
        ("dramatiq shop.jobs", "", "shop.jobs"),
        ("fastapi run shop/main.py", "", "shop"),
        ("streamlit run dashboard.py", "", "dashboard"),
        ("/x/pytest/__main__.py tests", "pytest.__main__", "billing"),
        ("pytest tests/test_it.py", "", "billing"),
        ("/x/pkg/mod.py", "pkg.mod", "pkg.mod"),
        ("/x/pkg/__main__.py", "pkg.__main__", "pkg"),
        ("/x/pkg/__main__.py", "", "pkg"),
        ("/x/pkg", "__main__", "pkg"),
        ("-m", "", "billing"),
        ("-c", "", "billing"),
        ("-", "", "billing"),
        ("", "", "billing"),
        ("/usr/bin/python3.11", "", "billing"),
        ("invoices.py", "", "invoices"),
        ("/usr/local/bin/invoices", "", "invoices"),
        ("/srv/mailer/main.py", "", "mailer"),
        ("manage.py runserver", "", "billing"),
        ("/app/main.py", "", "main"),
        ("/opt/tool.pyz", "", "tool"),
        ("/usr/lib/ipykernel_launcher.py -f kernel.json", "", "billing"),
    ],
)  # fmt: skip
def test_a_program_is_named_by_what_it_is(command: str, module: str, name: str) -> None:
    """The module, application, script or folder names the service; never what started it."""
    assert name_of(command.split(" "), module, FOLDER, {}) == name


def test_a_folder_that_says_nothing_names_nothing() -> None:
    """Where nothing is known the name is python, and not that of a folder such as /app."""
    for folder in ("/", "/app", "/home", "/tmp"):
        assert name_of(["-c"], "", Path(folder), {}) == "python"
    assert name_of(["gunicorn", "main:app"], "", Path("/app"), {}) == "main"
    assert name_of([], "", FOLDER, {}) == "billing"


def test_the_name_that_opentelemetry_has_is_taken() -> None:
    """OTEL_SERVICE_NAME names the service whatever the program is; an empty one names nothing."""
    assert name_of(["gunicorn"], "", FOLDER, {"OTEL_SERVICE_NAME": "shop"}) == "shop"
    assert name_of(["gunicorn"], "", FOLDER, {"OTEL_SERVICE_NAME": ""}) == "billing"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["-m", "invoicing.daily"], "invoicing.daily"),
        (["-m", "invoicing"], "invoicing"),
        (["invoicing"], "invoicing"),
        (["invoicing/daily.py"], "daily"),
        (["-c", PROGRAM], "counting_house"),
        (["-m", "gunicorn", "-w", "2", "invoicing.wsgi:app"], "invoicing.wsgi"),
    ],
)
def test_a_real_process_is_named(tmp_path: Path, arguments: list[str], name: str) -> None:
    """What Python tells a running program of itself is read as the table says."""
    folder = tmp_path / "counting_house"
    for path in ("invoicing/__main__.py", "invoicing/daily.py", "gunicorn/__main__.py"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name != "OTEL_SERVICE_NAME"}
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, name), ended.stderr


def test_a_file_whose_name_is_no_unicode_names_the_service(tmp_path: Path) -> None:
    """A name that UTF-8 cannot carry is written with escapes: no event would be taken with it."""
    script = tmp_path / os.fsdecode(b"pay\xff.py")
    script.write_text(PROGRAM)

    done = subprocess.run([sys.executable, script], capture_output=True, check=True)

    assert done.stdout == b"pay\\udcff\n"
