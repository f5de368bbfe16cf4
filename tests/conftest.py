"""Fixtures that several folders share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def perceive_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny perceive bundle of random weights. Read only: copy it before changing anything."""
    from tests.helpers.bundles import make_perceive_bundle

    return make_perceive_bundle(tmp_path_factory.mktemp("bundles") / "tiny-perceive")


@pytest.fixture(scope="session")
def stitch_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny stitch bundle of random weights. Read only: copy it before changing anything."""
    from tests.helpers.bundles import make_stitch_bundle

    return make_stitch_bundle(tmp_path_factory.mktemp("bundles") / "tiny-stitch")
