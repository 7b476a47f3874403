"""Takes over tables whose files were copied or restored: into another bucket, or beside an empty catalog.

The metadata of an Iceberg table names each of its files by its whole address, in JSON and in Avro: table metadata →
manifest lists → manifests → data files (https://iceberg.apache.org/spec/). All but the data files are rewritten, under
the same snapshot ids, so that models still name the data they were trained on.
"""

import io
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import fastavro

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.io.pyarrow import PyArrowFileIO

_METADATA = re.compile(r"(?P<namespace>[^/]+)/(?P<table>[^/]+)/metadata/(?P<number>\d+)-[^/]+\.metadata\.json$")


class FoundTable(NamedTuple):
    """A table's latest metadata below the warehouse."""

    namespace: str
    table: str
    address: str
    document: dict[str, Any]

    @property
    def folder(self) -> str:
        """The address of the table's folder, by where its metadata lies."""
        return self.address.partition("/metadata/")[0]


def adopt(catalog: "Catalog", prefix: str) -> list[str]:
    """Register the tables whose files lie below the catalog's warehouse and that it does not have there.

    Namespaces in the catalog begin with ``prefix``, whatever they began with where the files come from. Returns the
    names of the tables that were registered. Safe to kill and to run again.
    """
    from pyiceberg.exceptions import NoSuchTableError
    from pyiceberg.io.pyarrow import PyArrowFileIO

    warehouse = catalog.properties["warehouse"].rstrip("/")
    files = catalog._load_file_io(location=warehouse)
    assert isinstance(files, PyArrowFileIO), "Arrow reads files of every kind that the profiles use"
    adopted = []
    for found in _found(files, warehouse):
        identifier = (prefix + found.namespace, found.table)
        try:
            known = catalog.load_table(identifier).location()
        except (NoSuchTableError, OSError):  # the catalog lacks it, or has it where its files are gone
            known = None
        if known == found.folder:
            continue
        address = _rewritten(files, found)
        catalog.create_namespace_if_not_exists(identifier[:1])
        with suppress(NoSuchTableError):
            catalog.drop_table(identifier)
        catalog.register_table(identifier, address)
        adopted.append(f"{found.namespace}.{found.table}")
    return adopted


def _found(files: "PyArrowFileIO", warehouse: str) -> Iterator[FoundTable]:
    """Yield the tables below the warehouse; of one with two latest metadata files the one that was written last."""
    from pyarrow.fs import FileSelector

    scheme, host, root = files.parse_location(f"{warehouse}/", files.properties)
    listed = files.fs_by_scheme(scheme, host).get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
    latest: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for path in (info.path for info in listed if info.is_file):
        if match := _METADATA.search(path):
            namespace = match["namespace"].removesuffix(".db").rpartition("_")[2]  # Glue's has a prefix and a suffix
            name, number = (namespace, match["table"]), int(match["number"])
            at = latest.setdefault(name, (number, []))
            if number > at[0]:
                at = latest[name] = (number, [])
            if number == at[0]:
                at[1].append(f"{warehouse}/{match.group()}")
    for name, (_, addresses) in sorted(latest.items()):
        documents = [(json.loads(_read(files, address)), address) for address in addresses]
        document, address = max(documents, key=lambda one: (one[0]["last-updated-ms"], one[1]))
        yield FoundTable(*name, address, document)


def _rewritten(files: "PyArrowFileIO", table: FoundTable) -> str:
    """Rewrite a table's metadata where its files lie elsewhere than it says, and return the address of the latest."""
    before, after = table.document["location"], table.folder
    if before == after:
        return table.address
    lengths: dict[str, int] = {}
    for snapshot in table.document["snapshots"]:
        _rewrite_list(files, _moved(snapshot["manifest-list"], before, after), before, after, lengths)
    number = int(table.address.rpartition("/")[2].partition("-")[0]) + 1
    address = f"{after}/metadata/{number:05d}-{uuid.uuid4()}.metadata.json"
    _write(files, address, json.dumps(_moved(table.document, before, after)).encode())
    return address


def _rewrite_list(files: "PyArrowFileIO", address: str, before: str, after: str, lengths: dict[str, int]) -> None:
    """Rewrite a manifest list and its manifests; ``lengths`` holds those of the manifests done already."""
    reader, entries = _moved_entries(files, address, before, after)
    for entry in entries:
        path = entry["manifest_path"]
        if path not in lengths:
            manifest = _avro(*_moved_entries(files, path, before, after))
            _write(files, path, manifest)
            lengths[path] = len(manifest)
        entry["manifest_length"] = lengths[path]
    _write(files, address, _avro(reader, entries))


def _moved_entries(files: "PyArrowFileIO", address: str, before: str, after: str) -> tuple[Any, list[Any]]:
    reader = fastavro.reader(io.BytesIO(_read(files, address)))
    return reader, [_moved(entry, before, after) for entry in reader]


def _avro(reader: Any, entries: list[Any]) -> bytes:
    """Return entries as an Avro file with the schema and the metadata of the one that they were read from."""
    extra = {name: value for name, value in reader.metadata.items() if not name.startswith("avro.")}
    out = io.BytesIO()
    fastavro.writer(out, reader.writer_schema, entries, codec=reader.metadata.get("avro.codec", "null"), metadata=extra)
    return out.getvalue()


def _moved(value: Any, before: str, after: str) -> Any:
    """Return a value in which every address at or below ``before`` is at or below ``after``."""
    if isinstance(value, str):
        below = value == before or value.startswith(f"{before}/")
        return after + value[len(before) :] if below else value
    if isinstance(value, dict):
        return {name: _moved(one, before, after) for name, one in value.items()}
    return [_moved(one, before, after) for one in value] if isinstance(value, list) else value


def _read(files: "PyArrowFileIO", address: str) -> bytes:
    with files.new_input(address).open() as stream:
        return stream.read()


def _write(files: "PyArrowFileIO", address: str, data: bytes) -> None:
    with files.new_output(address).create(overwrite=True) as stream:
        stream.write(data)
