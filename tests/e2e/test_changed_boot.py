"""The host changes one thing that the guest boots from: it gets no key, and `encroot unlock` says
which thing it was. E7, B2, B3 (ATTACKS); the evil initramfs gets no good token."""
import re
import subprocess
import unittest

import disk
import lab
from guest_test import GuestTest
from vm import OVMF

SNAKEOIL = "/usr/share/ovmf/PkKek-1-snakeoil"


class ChangedBoot(GuestTest):
    def refused(self, vm, *expected):
        """`encroot unlock` rejects these checks and no others; returns what it said of them."""
        done = self.operator.unlock(vm, "--save-evidence", vm.work / "evidence.json")
        self.assertEqual(done.returncode, lab.REFUSED, done.stdout)
        rejects = "".join(re.findall(r"(?m)^reject .*\n(?:        .*\n)*", done.stdout))
        self.assertEqual(set(re.findall(r"(?m)^reject +(\S+)", rejects)), set(expected), done.stdout)
        self.assert_no_key_used(vm)
        self.assertTrue(vm.alive())
        return rejects

    def test_grub_cfg(self):
        raw = self.raw_copy()
        boot = disk.Boot(raw)
        boot.write("/grub/grub.cfg", boot.read("/grub/grub.cfg") + b"# one line more\n")
        rejects = self.refused(self.boot_to_agent(raw), "boot.grub.cfg")
        self.assertIn("/grub/grub.cfg", rejects)

    def test_command_line(self):
        """E7, B2: a shell in the place of the guest's init."""
        raw = self.raw_copy()
        boot = disk.Boot(raw)
        text = boot.read("/grub/grub.cfg")
        changed = re.sub(rb"(?m)^(\s*linux\s.*\S)\s*$", rb"\1 init=/bin/sh", text)
        self.assertNotEqual(text, changed)
        boot.write("/grub/grub.cfg", changed)
        rejects = self.refused(self.boot_to_agent(raw), "boot.grub.cfg", "boot.cmdline")
        self.assertIn("added: init=/bin/sh", rejects)

    def test_kernel(self):
        """The host owns the firmware's keys, too: Secure Boot passes, the evidence does not."""
        raw = self.raw_copy()
        boot, esp = disk.Boot(raw), disk.Esp(raw)
        path = boot.find(r"vmlinuz-.*")
        kernel = boot.read(path)
        changed = kernel.replace(b"debian-kernel@", b"evilkm-kernel@", 1)
        self.assertNotEqual(kernel, changed)
        boot.write(path, self.signed("kernel", changed))
        esp.write("EFI/BOOT/BOOTX64.EFI", self.signed("shim", esp.read("EFI/BOOT/BOOTX64.EFI")))
        vm = self.boot_to_agent(raw, variables=OVMF / "OVMF_VARS_4M.snakeoil.fd")
        vm.wait_for("Secure Boot is enabled", 1)
        self.assertIn(path, self.refused(vm, "boot.kernel", "boot.pe"))

    def test_initramfs(self):
        """B3: one file more in the initramfs; the TMM measures it whatever it says of itself."""
        raw = self.raw_copy()
        boot = disk.Boot(raw)
        name = re.search(rb"(?m)^\s*initrd\s+(\S+)", boot.read("/grub/grub.cfg"))[1].decode()
        path = "/" + name.rsplit("/", 1)[1]
        old = boot.read(path)
        evil = disk.newc([("evil", 0o100755, b"#!/bin/sh\n")])
        boot.write(path, old + bytes(-len(old) % 4) + evil)
        self.assertIn(path, self.refused(self.boot_to_agent(raw), "boot.initramfs"))

    def signed(self, name, image):
        """With the key pair that Debian's OVMF ships for such purposes."""
        key, plain, out = (self.work / f"{name}{end}" for end in (".key", ".efi", ".signed"))
        subprocess.run(["openssl", "rsa", "-in", SNAKEOIL + ".key", "-passin", "pass:snakeoil",
                        "-out", key], check=True, capture_output=True)
        plain.write_bytes(image)
        subprocess.run(["sbsign", "--key", key, "--cert", SNAKEOIL + ".pem", "--output", out,
                        plain], check=True, capture_output=True)
        data = out.read_bytes()
        disk.remove(key, plain, out)
        return data


if __name__ == "__main__":
    unittest.main()
