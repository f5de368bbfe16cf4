"""Fixtures that several folders share.

Tiny bundles take some twenty seconds to export, so pytest's cache folder keeps them until a source file changes.
"""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bundles_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tiny bundles are kept between sessions; a temporary folder where pytest's cache is switched off."""
    cache = getattr(request.config, "cache", None)
    return Path(cache.mkdir("bundles")) if cache is not None else tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def perceive_bundle(bundles_folder: Path) -> Path:
    """A tiny perceive bundle of random weights. Read only: copy it before changing anything."""
    from tests.helpers.bundles import kept_bundle

    return kept_bundle(bundles_folder, "tiny-perceive")


@pytest.fixture(scope="session")
def people_bundle(bundles_folder: Path) -> Path:
    """A tiny bundle of segmentation, parts and saliency, averaged over mirror images. Read only."""
    from tests.helpers.bundles import kept_bundle

    return kept_bundle(bundles_folder, "tiny-people")


@pytest.fixture(scope="session")
def stitch_bundle(bundles_folder: Path) -> Path:
    """A tiny stitch bundle of random weights. Read only: copy it before changing anything."""
    from tests.helpers.bundles import kept_bundle

    return kept_bundle(bundles_folder, "tiny-stitch")
