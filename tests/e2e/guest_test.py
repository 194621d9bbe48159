"""What the tests of one booted guest have in common."""
import unittest

import disk
import lab
from vm import VM


class GuestTest(unittest.TestCase):
    """Each test starts its guests with boot(); logs stay under build/e2e/<class>/<test>."""

    def setUp(self):
        self.work = lab.WORK / type(self).__name__ / self._testMethodName
        disk.remove(self.work)
        self.work.mkdir(parents=True)
        self.operator = lab.shared("lab")

    def raw_copy(self):
        """A raw copy of the encrypted image that the test may alter."""
        raw = disk.sparse_copy(self.operator.raw, self.work / "disk.raw")
        self.addCleanup(disk.remove, raw)
        return raw

    def boot(self, image, image_format="raw", **kwargs):
        vm = VM(self.work, image, image_format, tmm=self.operator.tmm(), **kwargs)
        self.addCleanup(vm.stop)
        vm.start()
        return vm

    def boot_to_agent(self, image, image_format="raw", **kwargs):
        vm = self.boot(image, image_format, **kwargs)
        vm.wait_for(lab.LISTENING, lab.BOOT_TIMEOUT)
        return vm

    def assert_no_key_used(self, vm):
        """The guest is where it was: it has no root, and waits on."""
        text = vm.console.text()
        self.assertNotIn("released the key", text)
        self.assertNotIn("starting the guest", text)
        self.assertNotIn("login:", text)
