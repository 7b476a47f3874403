"""Pulumi's language host for Python: the engine starts it, calls it by gRPC and has it run programs and policy packs.

It stands in for the host that Pulumi ships with its CLI, and speaks the protocol by the stubs of Pulumi's own SDK. Each
program runs in a process of its own, as a program registers its resources in the global state of the SDK.
"""

import contextlib
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

LARGEST = [("grpc.max_receive_message_length", 1 << 28)]  # bytes: a message holds a resource, with its policies


def run(request: Path, answer: Path) -> None:
    """Run the program of a request as the SDK does, and write what became of it."""
    wanted = language_pb2.RunRequest.FromString(request.read_bytes())
    folder = Path(wanted.info.program_directory)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    server = LanguageServer(lambda: _execute(folder / (wanted.info.entry_point or ".")))
    answer.write_bytes(server.Run(wanted, None).SerializeToString())


def _execute(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


class Host(language_pb2_grpc.LanguageRuntimeServicer):  # type: ignore[misc]
    """Answers the engine at an address."""

    def __init__(self, engine: str) -> None:
        self.engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:
        """Agree to whatever the engine says."""
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """Say nothing of a version, as this host has none."""
        return plugin_pb2.PluginInfo()

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        """Require none beforehand: providers are found on the path when a resource asks for one."""
        return language_pb2.GetRequiredPackagesResponse()

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        """Ask people nothing."""
        return language_pb2.RuntimeOptionsResponse()

    def About(self, request: Any, context: Any) -> Any:
        """Name the Python that programs run on."""
        return language_pb2.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        """Install nothing: the programs run where the tests do."""
        yield from ()

    def Cancel(self, request: Any, context: Any) -> Any:
        """Take notice."""
        return Empty()

    def Run(self, request: Any, context: Any) -> Any:
        """Run a program until it has registered everything."""
        del request.args[:]
        request.args.append(self.engine)
        with tempfile.TemporaryDirectory() as folder:
            asked, answer = Path(folder, "asked"), Path(folder, "answer")
            asked.write_bytes(request.SerializeToString())
            done = subprocess.run([sys.executable, __file__, "run", asked, answer], stdout=sys.stderr, check=False)
            if answer.exists():
                return language_pb2.RunResponse.FromString(answer.read_bytes())
        return language_pb2.RunResponse(error=f"the program ended with {done.returncode}")

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:
        """Run a policy pack, which prints its port, until the engine is done with it."""
        given = dict(one.partition("=")[::2] for one in request.env)
        pack = Path(request.info.program_directory, request.info.entry_point or ".")
        with subprocess.Popen(
            [sys.executable, "-u", pack, *request.args],
            cwd=request.pwd,
            env={**os.environ, **given},
            stdout=subprocess.PIPE,
        ) as process:
            context.add_callback(process.terminate)
            for line in process.stdout or ():
                yield language_pb2.RunPluginResponse(stdout=line)
        yield language_pb2.RunPluginResponse(exitcode=process.returncode)


def serve(add: Any, servicer: Any) -> None:
    """Serve a plugin until the engine ends it or is gone, after printing its port, as the engine expects."""
    engine = os.getppid()
    server = grpc.server(ThreadPoolExecutor(16), options=LARGEST)
    add(servicer, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    with contextlib.suppress(KeyboardInterrupt):  # how the engine ends its plugins
        while server.wait_for_termination(timeout=1) and os.getppid() == engine:
            pass
    os._exit(0)  # whatever hangs


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        serve(language_pb2_grpc.add_LanguageRuntimeServicer_to_server, Host(sys.argv[-1]))
