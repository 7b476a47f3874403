"""The Iceberg catalog of the embedded profile: SQLite, and files whose addresses are relative to one folder.

Iceberg's metadata names every file by its whole address. Here an address begins with ``home:/`` instead of the folder,
so the folder may be moved, and a copy is independent of its original.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.catalog import load_catalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

_SCHEME = "home"


class RelativeFileIO(PyArrowFileIO):
    """Reads and writes ``home:/…`` below the folder of the property ``home``, and other addresses as they are."""

    @staticmethod
    def parse_location(location: str, properties: Properties = EMPTY_DICT) -> tuple[str, str, str]:
        """Return the scheme, host and path of an address, as the base class does."""
        scheme, _, path = location.partition(":")
        if scheme != _SCHEME:
            return PyArrowFileIO.parse_location(location, properties)
        return "file", "", str(Path(properties["home"]) / path.lstrip("/"))


def sqlite_catalog(folder: Path) -> "Catalog":
    """Open the catalog of the tables in a folder, and create both if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    properties = {
        "uri": f"sqlite:///{folder}/catalog.db",
        "warehouse": f"{_SCHEME}:",
        "py-io-impl": f"{__name__}.{RelativeFileIO.__name__}",
        "home": str(folder),
    }
    return load_catalog("default", type="sql", **properties)
