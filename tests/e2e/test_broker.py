"""A guest that comes up by itself: two brokers of which the first is down, two reboots without an
operator, then a volume that was disabled."""
import pathlib
import shutil
import sys
import tempfile
import unittest

import disk
import lab
from guest_test import GuestTest
from vm import VM, free_port

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))
from broker import Broker  # noqa: E402


class Unattended(GuestTest):
    def encroot(self, *words, status=0, **_):
        """As the harness of the broker runs commands."""
        done = lab.command(lab.ENCROOT, *words, check=status == 0)
        self.assertEqual(done.returncode, status, done.stdout)
        return done

    def setUp(self):
        super().setUp()
        # In a short path, as a socket's must be.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="encroot-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.keys, self.test = self.operator.keys, self
        self.broker = Broker(self).start()
        self.down = free_port()
        self.image = self.work / "disk.qcow2"
        self.addCleanup(disk.remove, self.image)
        self.boots = 0
        self.operator.encrypt(
            self.image, "--broker", f"10.0.2.2:{self.down}", "--broker",
            f"10.0.2.2:{self.broker.port}", f"--vault=unix:{self.broker.socket}", "--name", "web-1",
            "-m", self.operator.rim(VM(self.work, self.image, "qcow2")), "--deadline", "900")

    def start(self):
        """The next boot: a new machine on the same disk."""
        self.boots += 1
        vm = VM(self.work / f"boot-{self.boots}", self.image, "qcow2", tmm=self.operator.tmm())
        self.addCleanup(vm.stop)
        return vm.start()

    def wait_for_login(self, vm):
        vm.wait_for(lab.LOGIN, lab.BOOT_TIMEOUT)
        self.assertRegex(vm.run("lsblk"), r"encroot\s.*\bcrypt\s+/\s")

    def test_reboots_without_an_operator(self):
        for _ in range(3):
            vm = self.start()
            self.wait_for_login(vm)
            self.assertRegex(vm.console.text(),
                             r"encroot: broker 1 of 2 .*connection refused; next try in")
            vm.reboot()
            vm.stop()
        records = self.broker.decisions()
        self.assertEqual([r["verdict"] for r in records], ["granted"] * 3)
        listed = self.broker.encroot("audit", "list").stdout
        for record in records:
            self.assertIn(record["id"], listed)
        self.broker.encroot("audit", "verify")

        self.broker.encroot("volume", "disable", "web-1")
        vm = self.start()
        _, _, said = vm.wait_for(r"encroot: broker 2 of 2 .*refused.*\bid ([0-9a-f]{32})",
                                 lab.BOOT_TIMEOUT)
        shown = self.broker.encroot("audit", "show", said[1]).stdout
        self.assertIn("volume.enabled", shown)
        self.assertIsNone(vm.console.find(r"starting the guest|login:"))

        # It has not given up: enabled again, it comes up by itself.
        self.broker.encroot("volume", "enable", "web-1")
        self.wait_for_login(vm)
        self.assertEqual([r["action"] for r in self.broker.audit() if r["verdict"] == "changed"],
                         ["volume.add", "volume.set", "volume.set"])


if __name__ == "__main__":
    unittest.main()
