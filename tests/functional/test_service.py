"""systemd/encrootd.service: what systemd itself says of it."""

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


if __name__ == "__main__":
    unittest.main()
