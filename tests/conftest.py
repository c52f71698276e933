"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from archives import REPOSITORY

# A first example may compile a kernel, and a busy machine is slow: time is measured by tests that are about it.
hypothesis.settings.register_profile("tests", deadline=None, max_examples=30)
hypothesis.settings.load_profile("tests")

# The files that take longest begin, so that at the end no worker waits for the other.
SLOW = """
    test_demo test_real_web test_crash test_killed_writer test_ui test_failures test_automation
    test_automation_conditions test_explorer test_postgres test_hostile_names test_filters test_pipeline test_c4
    test_generate_client test_synthetic test_synthetic_share test_unchanged test_shards_kept test_stats test_maintain
    test_plain_readers test_segments test_annotators
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="run also the tests that take long and seldom find anything"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--thorough"):
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker(pytest.mark.skip(reason="takes long: pytest --thorough runs it"))
    places = {name: place for place, name in enumerate(SLOW.split())}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository; the test is skipped where there is none."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the repository")
    return folder
