"""systemd/encrootd.service: what systemd itself says of it, and what is installed with it."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ENCROOT_BUILD", TOP / "build"))
EXPOSURE_MAX = 1.6


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Service(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="encroot-test-")
        self.addCleanup(folder.cleanup)
        self.unit = Path(folder.name) / "encrootd.service"
        text = (BUILD / "systemd" / "encrootd.service").read_text()
        # `verify` wants a program that is there.
        self.unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M))

    def analyze(self, *arguments):
        return subprocess.run(["systemd-analyze", *arguments, self.unit], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120)

    def test_exposure(self):
        result = self.analyze("security", "--offline=true")
        found = re.search(r"Overall exposure level for encrootd.service: ([\d.]+)", result.stdout)
        self.assertIsNotNone(found, result.stdout)
        self.assertLessEqual(float(found.group(1)), EXPOSURE_MAX, result.stdout)

    def test_no_complaints(self):
        result = self.analyze("verify", "--man=no")
        self.assertNotIn("encrootd.service", result.stdout)


class Installation(unittest.TestCase):
    """Below PREFIX, where systemd, man and the shell look, for both prefixes that they know."""

    def meson(self, *arguments):
        return subprocess.run(["meson", *arguments], cwd=TOP, stdin=subprocess.DEVNULL, check=True,
                              stdout=subprocess.PIPE, text=True, timeout=300).stdout

    def test_prefixes(self):
        for prefix in "/usr", "/usr/local":
            with self.subTest(prefix), tempfile.TemporaryDirectory(prefix="encroot-test-") as build:
                self.meson("setup", "--prefix", prefix, build)
                installed = set(json.loads(self.meson("introspect", "--installed", build)).values())
                unit = (Path(build) / "systemd" / "encrootd.service").read_text()
                program = re.search(r"^ExecStart=(\S+)", unit, re.M)[1]
                self.assertEqual(program, f"{prefix}/bin/encrootd")
                pages = {f"{prefix}/share/man/man{page.suffix[1]}/{page.name}"
                         for page in (TOP / "man").glob("*.[1-8]")}
                needed = {program, f"{prefix}/bin/encroot", f"{prefix}/bin/encroot-tmm",
                          f"{prefix}/libexec/encroot/encroot-agent", *pages,
                          f"{prefix}/lib/systemd/system/encrootd.service",
                          f"{prefix}/lib/sysusers.d/encrootd.conf"}
                self.assertEqual(needed - installed, set())
                self.assertEqual({p for p in installed if not p.startswith(f"{prefix}/")}, set())


if __name__ == "__main__":
    unittest.main()
