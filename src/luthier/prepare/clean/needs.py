"""The libraries of the `clean` extra: named before the run where a rule asks for one that is not installed."""

import importlib
from types import ModuleType

from luthier.errors import ToolError


def load(library: str, setting: str) -> ModuleType:
    """Import a library that a setting needs. Raises ToolError that names the setting and the extra."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ToolError(
            f"{library} is not installed ({error})", where=setting, mend="pip install 'luthier[clean]'"
        ) from None
