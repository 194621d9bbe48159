"""Run build/encroot, and what tests of the command line share."""

import http.client
import shutil
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from sanitizer import BUILD, TOP, watch

ENCROOT = BUILD / "encroot"

OK, FAILED, USAGE, REFUSED, BAD_INPUT, UNREACHABLE = range(6)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class CommandTest(unittest.TestCase):
    """Each test has a folder of its own, which is also where commands run."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="encroot-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        watch(self)

    def encroot(self, *arguments, status=OK, timeout=120, umask=0o022):
        """Run it; assert the exit status. The result has .stdout and .stderr as text."""
        result = subprocess.run([ENCROOT, *map(str, arguments)], cwd=self.folder, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, umask=umask,
                                stderr=subprocess.PIPE, timeout=timeout, errors="replace")
        self.assertEqual(result.returncode, status,
                         f"encroot {' '.join(map(str, arguments))}\n{result.stdout}{result.stderr}")
        return result

    def openssl(self, *arguments):
        return subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE).stdout

    def contents(self):
        """Every file below the test's folder and what is in it: to see that nothing changed."""
        return {str(p.relative_to(self.folder)): (p.stat().st_mode, p.read_bytes())
                for p in self.folder.rglob("*") if p.is_file()}
