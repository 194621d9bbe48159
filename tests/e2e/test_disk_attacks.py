"""The host changes the encrypted disk: D2, D3 (header), D4 (another volume)."""
import subprocess
import unittest

import disk
import lab
from guest_test import GuestTest

MARKER = b"encroot-e2e-marker-4f1d0c7a-never-in-the-clear"


class DiskAttacks(GuestTest):
    def test_null_cipher_header(self):
        """D2: boots as if nothing had happened, and writes nothing in the clear."""
        raw = self.raw_copy()
        root = disk.partition(raw, "root")
        disk.null_cipher_header(raw, root["start"])
        scratch = self.work / "header"
        with open(raw, "rb") as f, scratch.open("wb") as out:
            f.seek(root["start"])
            out.write(f.read(16 << 20))
            out.truncate(root["size"])
        dump = subprocess.run(["cryptsetup", "luksDump", scratch], capture_output=True, text=True)
        disk.remove(scratch)
        self.assertIn("cipher_null-ecb", dump.stdout, f"the forged header is no header: {dump}")
        vm = self.boot_to_agent(raw)
        done = self.operator.unlock(vm)
        self.assertEqual(done.returncode, 0, done.stdout)
        vm.wait_for(lab.LOGIN, lab.BOOT_TIMEOUT)
        # In two halves: the command itself must not put the marker anywhere.
        half = len(MARKER) // 2
        vm.run(f"for i in $(seq 500); do printf '%s%s\\n' {MARKER[:half].decode()} "
               f"{MARKER[half:].decode()}; done > /root/marker; sync")
        # To the disk and back, not only to the page cache.
        lines = vm.run("echo 3 > /proc/sys/vm/drop_caches; sort -u /root/marker; wc -l "
                       "< /root/marker").split()
        self.assertEqual(lines, [MARKER.decode(), "500"])
        vm.power_off()
        self.assertFalse(disk.contains(raw, MARKER), "the guest wrote in the clear")

    def test_volume_of_the_host(self):
        """D4: the host's own encrypted root in the place of ours: closed, off, no shell."""
        host = lab.shared("host")
        raw = self.raw_copy()
        disk.copy_partition(host.raw, raw, "root")
        vm = self.boot_to_agent(raw)
        self.operator.unlock(vm)
        vm.wait_off(lab.BOOT_TIMEOUT)
        text = vm.console.text()
        self.assertNotIn("starting the guest", text)
        self.assertNotRegex(text, r"login:|[#$] $|\(initramfs\)|[Ee]mergency")
        self.assertRegex(text, r"encroot: .*(root filesystem|not a|no .*filesystem)")


if __name__ == "__main__":
    unittest.main()
