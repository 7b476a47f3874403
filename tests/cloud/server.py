"""moto's server, with what stands before it: faults that a test asks for, and Glue's optimistic lock.

``POST /faults`` takes a list of faults, in place of those before; see :class:`tests.cloud.emulator.Fault`. moto ignores
the VersionId of an UpdateTable, where AWS answers ConcurrentModificationException when the table has moved on, which
is what an Iceberg commit on Glue relies on; so it is checked here.
"""

import io
import json
import socket
import sys
import threading
import time
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.glue.responses import GlueResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_lock = threading.Lock()
_update_table = GlueResponse.update_table


def update_table(self: GlueResponse) -> Any:
    with _lock:
        given = self.parameters.get("VersionId")
        table = self.glue_backend.get_table(self.parameters["DatabaseName"], self.parameters["TableInput"]["Name"])
        if given and given != table.as_dict()["VersionId"]:
            raise JsonRESTError("ConcurrentModificationException", "the table has moved on")
        return _update_table(self)


class Faulty:
    """WSGI middleware: does to a request what the first fault says that fits it."""

    def __init__(self, app: Any) -> None:
        self.app, self.faults, self.seen = app, [], []

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        if environ["PATH_INFO"] == "/faults":
            return self.control(environ, start)
        name = environ.get("HTTP_X_AMZ_TARGET") or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        fault = self.fault(name)
        if fault is None:
            return self.app(environ, start)
        return getattr(self, fault["kind"])(fault, environ, start)

    def fault(self, name: str) -> dict[str, Any] | None:
        with _lock:
            for fault in self.faults:
                if fault["matches"] in name and fault["times"] > 0 and time.time() < fault["until"]:
                    fault["times"] -= 1
                    self.seen.append([fault["kind"], name])
                    return fault
        return None

    def control(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        with _lock:
            seen = json.dumps(self.seen).encode()
            if environ["REQUEST_METHOD"] == "POST":
                self.faults, self.seen = json.loads(_body(environ)), []
        start("200 OK", [("Content-Type", "application/json")])
        return [seen]

    def refuses(self, fault: dict[str, Any], environ: dict[str, Any], start: Any) -> list[bytes]:
        """Answer an error code without doing anything, in the form of the service's protocol."""
        code, status = fault["code"], fault["status"]
        if "HTTP_X_AMZ_TARGET" in environ:
            content, kind = json.dumps({"__type": code, "message": "made up"}).encode(), "application/x-amz-json-1.1"
        else:
            said = f"<Error><Code>{code}</Code><Message>made up</Message></Error>"
            if "form" in environ.get("CONTENT_TYPE", ""):  # the older protocol, of STS
                said = f"<ErrorResponse>{said}</ErrorResponse>"
            content, kind = said.encode(), "text/xml"
        start(f"{status} Fault", [("Content-Type", kind), ("Content-Length", str(len(content)))])
        return [content]

    def loses(self, fault: dict[str, Any], environ: dict[str, Any], start: Any) -> list[bytes]:
        """Do what was asked, and close the connection instead of answering."""
        list(self.app(environ, lambda *_, **__: None))
        return self.hangs_up(fault, environ, start)

    def hangs_up(self, _fault: dict[str, Any], environ: dict[str, Any], start: Any) -> list[bytes]:
        """Close the connection without doing anything."""
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start("500 Closed", [("Content-Length", "0")])
        return []

    def waits(self, fault: dict[str, Any], environ: dict[str, Any], start: Any) -> Any:
        """Answer after some seconds."""
        time.sleep(fault["seconds"])
        return self.app(environ, start)

    def breaks_off(self, _fault: dict[str, Any], environ: dict[str, Any], start: Any) -> list[bytes]:
        """Send only the first half of the answer's body."""
        answered: list[Any] = []
        body = b"".join(self.app(environ, lambda status, headers, *_: answered.extend((status, headers))))
        start(*answered)
        environ["werkzeug.socket"].settimeout(5)

        def half() -> Any:
            yield body[: len(body) // 2]
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

        return half()

    def leaves_out(self, _fault: dict[str, Any], environ: dict[str, Any], start: Any) -> Any:
        """Answer a BatchGetItem for the first half of its keys only, as DynamoDB does when it is busy."""
        asked = json.loads(_body(environ))
        ((table, wanted),) = asked["RequestItems"].items()
        keys = wanted["Keys"]
        first, rest = keys[: len(keys) // 2], keys[len(keys) // 2 :]
        answered: list[Any] = []
        items = []
        if first:
            data = json.dumps({"RequestItems": {table: {**wanted, "Keys": first}}}).encode()
            inner = {**environ, "wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(len(data))}
            items = json.loads(b"".join(self.app(inner, lambda *given: answered.extend(given))))["Responses"][table]
        content = json.dumps(
            {"Responses": {table: items}, "UnprocessedKeys": {table: {**wanted, "Keys": rest}}}
        ).encode()
        start("200 OK", [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(content)))])
        return [content]

    def takes_no_event(self, _fault: dict[str, Any], _environ: dict[str, Any], start: Any) -> list[bytes]:
        """Answer a PutEvents with success, and in it that the event was not taken."""
        entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "made up"}
        content = json.dumps({"FailedEntryCount": 1, "Entries": [entry]}).encode()
        start("200 OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(content)))])
        return [content]


def _body(environ: dict[str, Any]) -> bytes:
    return environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))  # type: ignore[no-any-return]


if __name__ == "__main__":
    GlueResponse.update_table = update_table  # type: ignore[method-assign]
    moto = DomainDispatcherApplication(create_backend_app)
    run_simple(sys.argv[2], int(sys.argv[1]), Faulty(moto), threaded=True)
