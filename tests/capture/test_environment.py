"""What holds in every environment, whichever frameworks are there."""

import importlib
import importlib.util

import pytest

from trailhouse.capture.installation import FRAMEWORKS, installed_names, version_of
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import ConfigError

ADAPTERS = [name for name in FRAMEWORKS if importlib.util.find_spec(f"trailhouse.capture.{name}")]


def test_a_framework_is_here() -> None:
    """An environment that lost its frameworks would pass by testing nothing."""
    assert any(map(version_of, FRAMEWORKS))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_framework_that_is_not_here_is_named_with_its_extra(
    name: str, audit: InMemoryAuditLogger
) -> None:
    """An adapter is installed where its framework is, and elsewhere says how to install that."""
    install = importlib.import_module(f"trailhouse.capture.{name}").install

    if version_of(name) is None:
        with pytest.raises(
            ConfigError, match=rf"pip install .*trailhouse\[{FRAMEWORKS[name].extra}\]"
        ):
            install(audit)
    else:
        undo = install(audit)
        assert installed_names() == [name]
        undo()
    assert installed_names() == []
