"""A PostgreSQL server of our own for tests, on the loopback address; skips where it is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

USER = "anna"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, the newest version; None if it is not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parent.parent.name))
    return installed[-1].parent if installed else None


@dataclass(frozen=True)
class Cluster:
    """A server with its data in `folder`, which has no passwords.

    It listens on the address `host`; its programs are started by the command `before`, as one that enters a network.
    """

    bin: Path
    folder: Path
    port: int
    host: str = "127.0.0.1"
    before: tuple[str, ...] = ()

    @classmethod
    def start(cls, host: str = "127.0.0.1", before: tuple[str, ...] = ()) -> Cluster:
        """Makes a server in a folder of its own and starts it; skips the test if that cannot be done here."""
        pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
        folder_of_programs = programs()
        if folder_of_programs is None:
            pytest.skip("PostgreSQL is not installed (.ci/system installs it)")
        if os.getuid() == 0 and shutil.which("runuser") is None:
            pytest.skip("PostgreSQL refuses to run as root, and there is no runuser")
        # Not in the folders of pytest, which the user postgres may not enter.
        folder = Path(tempfile.mkdtemp(prefix="lightcnn-postgres-"))
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            cluster = cls(folder_of_programs, folder, free.getsockname()[1], host, before)
        cluster.call("initdb", "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8", "--locale=C")
        with (folder / "pg_hba.conf").open("a", encoding="ascii") as file:
            file.write(f"host all all {host}/24 trust\n")
        cluster.resume()
        return cluster

    @property
    def url(self) -> str:
        """The URL of the storage in it."""
        return f"postgresql+psycopg://{USER}@{self.host}:{self.port}/postgres"

    def stop(self) -> None:
        """Ends the server and all connections at once."""
        self.call("pg_ctl", "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        """Ends the server and removes its data."""
        self.stop()
        shutil.rmtree(self.folder)

    def resume(self) -> None:
        """Starts the server."""
        options = f"-p {self.port} -h {self.host} -k {self.folder} -c fsync=off"
        self.call("pg_ctl", "-o", options, "-l", str(self.folder / "log"), "-w", "start")

    def call(self, program: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's programs on this server."""
        command: Sequence[str] = (str(self.bin / program), "-D", str(self.folder), *arguments)
        if os.getuid() == 0:
            command = ("runuser", "-u", "postgres", "--", *command)
        done = subprocess.run(
            [*self.before, *command], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
