"""The tiny model: deterministic, small, and usable where a real one is."""

from luthier.artifact.store import Artifact
