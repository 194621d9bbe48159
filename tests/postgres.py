#!/usr/bin/env python3
"""A real PostgreSQL server for tests, from Debian's package, in a temporary folder.

    from postgres import PostgresServer
    server = PostgresServer()          # made and started; the database "encroot" is empty
    self.addCleanup(server.remove)
    server.url                         # over its socket; server.tcp_url: over loopback
    server.stop(); server.start(); server.kill(); server.pause(); server.resume()

As a program it does so for tests in other languages: it writes the URL, then reads a word a line
(start, stop, kill, pause, resume) and answers "ok". When its input ends the server is removed.
"""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ports import free_port

PATIENCE = 60  # seconds, for anything


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    if not found:
        raise RuntimeError("no PostgreSQL in /usr/lib/postgresql: run tools/install-deps")
    return Path(found[-1])


class PostgresServer:
    def __init__(self, options=()):
        """`options`: more settings of the server, as ("max_connections=20",)."""
        self.process = None
        self.options = options
        self.programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="encroot-pg-"))
        self.data = self.folder / "data"
        # The server refuses to run as root. If the test dies, it goes, too.
        self.drop = ["setpriv", "--pdeathsig", "QUIT"]
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            os.chmod(self.folder, 0o755)
            self.drop += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        try:
            self.run("initdb", "-D", self.data, "-U", "encroot", "--auth=trust", "--no-sync",
                     "--encoding=UTF8", "--no-locale")
            self.start()
            self.psql("CREATE DATABASE encroot", database="postgres")
        except BaseException:
            self.remove()
            raise

    def run(self, program, *arguments):
        result = subprocess.run([*self.drop, self.programs / program, *map(str, arguments)],
                                cwd=self.folder, env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=PATIENCE)
        if result.returncode != 0:
            raise RuntimeError(f"{program}: exit status {result.returncode}\n{result.stdout}")
        return result.stdout

    @property
    def url(self):
        host = str(self.folder).replace("/", "%2F")
        return f"postgresql://encroot@{host}:{self.port}/encroot"

    @property
    def tcp_url(self):
        return f"postgresql://encroot@127.0.0.1:{self.port}/encroot"

    def psql(self, sql, database="encroot"):
        """Run statements; returns their output, unaligned."""
        return self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder,
                        "-p", self.port, "-U", "encroot", "-d", database, "-c", sql)

    # ---- life and death ----
    def start(self):
        """Returns when it takes connections. On the same port each time."""
        if not hasattr(self, "port"):
            self.port = free_port()
        settings = ["fsync=on", "listen_addresses=127.0.0.1", f"port={self.port}",
                    f"unix_socket_directories={self.folder}", "shared_buffers=32MB", *self.options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.drop, self.programs / "postgres", "-D", self.data,
                 *(word for setting in settings for word in ("-c", setting))],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)
        end = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("PostgreSQL did not start:\n" + self.log())
            time.sleep(0.02)

    def answers(self):
        return subprocess.run([self.programs / "pg_isready", "-q", "-h", self.folder, "-p",
                               str(self.port)], env=self.environment,
                              timeout=PATIENCE).returncode == 0

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def stop(self):
        """In order: sessions are ended, transactions rolled back."""
        self.end(signal.SIGINT)

    def kill(self):
        """As if the power went: every process at once by SIGKILL."""
        self.signal_all(signal.SIGKILL)
        self.end(signal.SIGKILL)
        # It would wait for its dead predecessor's processes, whose numbers may be others' by now.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def end(self, number):
        if self.process:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)
            self.process = None

    def processes(self):
        """Of the server: itself and its children."""
        if not self.process:
            return []
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def signal_all(self, number):
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it had just ended

    def pause(self):
        """It is there, but says nothing any more."""
        self.signal_all(signal.SIGSTOP)

    def resume(self):
        self.signal_all(signal.SIGCONT)

    def remove(self):
        """In all cases, and more than once."""
        if self.process and self.process.poll() is None:
            self.resume()
            self.end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left behind
    server = PostgresServer()
    try:
        print(server.url, flush=True)
        for line in sys.stdin:
            word = line.strip()
            if word not in ("start", "stop", "kill", "pause", "resume"):
                raise ValueError(f"no such word: {word}")
            getattr(server, word)()
            print("ok", flush=True)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
