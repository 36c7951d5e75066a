"""Secrets made at run time from how their vendors describe them: no token stands in this repository."""

from __future__ import annotations

import random
import re
import string
from typing import NamedTuple

from secret_forms import FORMS

_ALPHABETS = {
    "n": string.ascii_letters + string.digits,
    "l": string.ascii_lowercase + string.digits,
    "U": string.ascii_uppercase + string.digits,
    "c": string.ascii_letters,
    "a": string.ascii_lowercase,
    "d": string.digits,
    "h": string.digits + "abcdef",
    "H": string.digits + "ABCDEF",
    "w": string.ascii_letters + string.digits + "_-",
    "b": string.ascii_letters + string.digits + "+/",
}
_PART = re.compile(r"<(?:(\w)(\d+)|uuid)>")


class Example(NamedTuple):
    """A secret, with what it stands in if it is none without that, and its vendor's word if it needs one."""

    category: str
    form: str
    secret: str
    text: str
    name: str


def made_of(form: str, made: random.Random) -> str:
    """Return a random text of *form*: `<n36>` is 36 letters and digits, `<h32>` 32 hex digits, `<uuid>` a UUID."""

    def part(found: re.Match[str]) -> str:
        if found[1] is None:
            return made_of("<h8>-<h4>-4<h3>-a<h3>-<h12>", made)
        return "".join(made.choices(_ALPHABETS[found[1]], k=int(found[2])))

    return _PART.sub(part, form)


def examples(made: random.Random) -> list[Example]:
    """Return one example of every form."""
    made_of_all: list[Example] = []
    category = ""
    for line in FORMS.strip().splitlines():
        named, _, forms = line.partition("|")
        category = named.strip() or category  # a line without one goes on with the last
        made_of_all += (_example(category, form.strip(), made) for form in forms.split(" ; "))
    return made_of_all


def _example(category: str, form: str, made: random.Random) -> Example:
    if form.startswith("@"):
        name, _, value = form[1:].partition(" ")
        secret = made_of(value, made)
        return Example(category, form, secret, secret, name)
    text = made_of(form, made)
    if "[" in form:
        before, _, rest = text.partition("[")
        secret, _, after = rest.partition("]")
        return Example(category, form, secret, before + secret + after, "")
    return Example(category, form, text, text, "")
