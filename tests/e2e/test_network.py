"""The network comes late, or never: B1 (the host cuts it to get at a shell)."""
import time
import unittest

import disk
import lab
from guest_test import GuestTest


class Network(GuestTest):
    def test_no_network_for_a_while(self):
        vm = self.boot(self.raw_copy())
        vm.set_link(False)
        vm.wait_for(r"encroot: ", lab.BOOT_TIMEOUT)
        time.sleep(20)
        self.assertTrue(vm.alive(), "the guest gave up at once")
        self.assertIsNone(vm.console.find(lab.LISTENING), "it listens without a network?")
        vm.set_link(True)
        vm.wait_for(lab.LISTENING, 60)
        done = self.operator.unlock(vm)
        self.assertEqual(done.returncode, 0, done.stdout)
        vm.wait_for(lab.LOGIN, lab.BOOT_TIMEOUT)
        self.assertRegex(vm.run("lsblk"), r"encroot\s.*\bcrypt\s+/\s")

    def test_no_network_at_all(self):
        """B1: one deadline, then power off. No shell on the way, whatever is typed."""
        image = self.work / "disk.qcow2"
        self.addCleanup(disk.remove, image)
        self.operator.encrypt(image, "--deadline", "20")
        vm = self.boot(image, "qcow2", network=False)
        vm.wait_for(r"encroot: encroot-agent", lab.BOOT_TIMEOUT)
        for _ in range(5):
            vm.console.type("\n\x03\x04root\nid\n")
            time.sleep(1)
        vm.wait_off(120)
        text = vm.console.text()
        self.assertRegex(text, r"encroot: giving up: ")
        self.assertNotRegex(text, r"uid=0|login:|\(initramfs\)|[Ee]mergency|starting the guest")


if __name__ == "__main__":
    unittest.main()
