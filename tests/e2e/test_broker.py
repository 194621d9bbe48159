"""A guest that comes up by itself: two brokers of which the first is down, two reboots without an
operator, then a volume that was disabled."""
import pathlib
import sys
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
        self.folder, self.keys, self.test = self.work, self.operator.keys, self
        self.broker = Broker(self).start()
        self.down = free_port()
        self.image = self.work / "disk.qcow2"
        self.addCleanup(disk.remove, self.image)
        self.vm = VM(self.work, self.image, "qcow2", tmm=self.operator.tmm())
        self.addCleanup(self.vm.stop)
        self.operator.encrypt(
            self.image, "--broker", f"10.0.2.2:{self.down}", "--broker",
            f"10.0.2.2:{self.broker.port}", f"--vault=unix:{self.broker.socket}", "--name", "web-1",
            "-m", self.operator.rim(self.vm), "--deadline", "900")

    def wait_for_login(self, since):
        """Returns where the console stands then."""
        at, _, _ = self.vm.wait_for(lab.LOGIN, lab.BOOT_TIMEOUT, since)
        self.assertRegex(self.vm.run("lsblk"), r"encroot\s.*\bcrypt\s+/\s")
        return at

    def test_reboots_without_an_operator(self):
        self.vm.start()
        at = self.wait_for_login(0)
        self.assertRegex(self.vm.console.text(), r"encroot: broker 1 of 2 .*refused.*next try in")
        for _ in range(2):
            at = self.reboot(at)
            at = self.wait_for_login(at)
        records = self.broker.audit()
        self.assertEqual([r["verdict"] for r in records], ["granted"] * 3)
        listed = self.broker.encroot("audit", "list").stdout
        for record in records:
            self.assertIn(record["id"], listed)
        self.broker.encroot("audit", "verify")

        self.broker.encroot("volume", "disable", "web-1")
        at = self.reboot(at)
        _, _, said = self.vm.wait_for(r"encroot: broker 2 of 2 .*refused.*\bid ([0-9a-f]{32})",
                                      lab.BOOT_TIMEOUT, at)
        shown = self.broker.encroot("audit", "show", said[1]).stdout
        self.assertIn("volume.enabled", shown)
        self.assertIsNone(self.vm.console.find(r"starting the guest|login:", at + 1))

        # It has not given up: enabled again, it comes up by itself.
        self.broker.encroot("volume", "enable", "web-1")
        self.wait_for_login(at + 1)

    def reboot(self, at):
        """From inside, as an update would. Returns where the console of the next boot begins."""
        self.vm.guest.run("systemctl --no-block reboot", 30)
        return self.vm.wait_for(r"Welcome to GRUB", lab.BOOT_TIMEOUT, at + 1)[0]


if __name__ == "__main__":
    unittest.main()
