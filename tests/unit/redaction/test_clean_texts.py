"""An audit log that is eaten is worthless: what is no secret stays, to the character."""

from typing import Any

import pytest
from benchmarks.records import ready_records, recorded_fields

from clean_texts import files, others, sentences, sources, standard_library
from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.redactor import Redactor

MOST_RECORDED, MOST_CODING = 0.005, 0.01


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    """A redactor as it comes."""
    return Redactor(RedactionConfig(), limit_bytes=1_000_000)


def _touched(redactor: Redactor, texts: list[str]) -> list[Any]:
    events = [{"content": text} for text in texts]
    return [left for event in events if (left := redactor.without_secrets(event)) != event]


def test_recorded_events_stay(redactor: Redactor) -> None:
    """Of what airline agents said and did, at most five in a thousand events are touched."""
    records = [ready.value for ready in ready_records(len(recorded_fields()))]
    touched = [record for record in records if redactor.redacted(record) != record]
    assert len(touched) <= MOST_RECORDED * len(records), touched[:3]


@pytest.mark.parametrize("seed", range(8))
def test_lines_of_coding_agents_stay(redactor: Redactor, seed: int) -> None:
    """Counts of tokens, names of secrets, placeholders, code, ids and hashes are no secrets."""
    assert _touched(redactor, sentences(seed)) == []


@pytest.mark.parametrize("seed", range(4))
def test_names_types_and_other_languages_stay(redactor: Redactor, seed: int) -> None:
    """Names of pods, traces, types of keys, members of enumerations and sentences in other languages are no secrets."""
    assert _touched(redactor, others(seed)) == []


def test_the_standard_library_stays(redactor: Redactor) -> None:
    """Of pieces of Python's own sources, at most one in a hundred is touched."""
    pieces = standard_library()
    assert len(pieces) > 300
    touched = _touched(redactor, pieces)
    assert len(touched) <= MOST_CODING * len(pieces), [str(event)[:300] for event in touched]


@pytest.mark.parametrize("seed", range(1))
def test_files_stay(redactor: Redactor, seed: int) -> None:
    """Images in base64, dumps, lock files and tables of ids are no secrets."""
    assert [str(event)[:200] for event in _touched(redactor, files(seed))] == []


def test_sources_stay(redactor: Redactor) -> None:
    """Of pieces of source code and documents, at most one in a hundred is touched."""
    pieces = sources()
    assert len(pieces) > 300
    touched = _touched(redactor, pieces)
    assert len(touched) <= MOST_CODING * len(pieces), [str(event)[:300] for event in touched]
