"""encroot rim: the vendor's values, wrong inputs, and a real QEMU asked for its device tree."""

import gzip
import hashlib
import json
import os
import signal
import struct
import subprocess
import time
import unittest
import unittest.mock
from pathlib import Path
from shutil import which

from program import BAD_INPUT, ENCROOT, FAILED, USAGE, CommandTest

QEMU = "qemu-system-aarch64"
MIB = 1 << 20


def blob(size, seed):
    """The bytes with which virtCCA's gen_rim_ref was asked."""
    return bytes((31 * i + 7 * (i // 4096) + seed) % 256 for i in range(size))


def image(content, text_offset=None):
    """An arm64 Image that wants 1 MiB of memory."""
    content = bytearray(content)
    if text_offset is not None:
        content[8:16] = struct.pack("<Q", text_offset)
    content[16:24] = struct.pack("<Q", MIB)
    content[56:60] = b"ARM\x64"
    return bytes(content)


class RimTest(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.firmware, cls.dtb, cls.initrd = blob(300000, 1), blob(20000, 2), blob(700001, 4)
        cls.kernel = image(blob(1000000, 3))

    def setUp(self):
        super().setUp()
        for name, content in (("fw.bin", self.firmware), ("virt.dtb", self.dtb),
                              ("initrd", self.initrd), ("Image", self.kernel)):
            (self.folder / name).write_bytes(content)
        self.temporary = self.folder / "tmp, with a comma"
        self.temporary.mkdir()
        self.enterContext(unittest.mock.patch.dict(os.environ, TMPDIR=str(self.temporary)))

    def tearDown(self):
        self.assertEqual(list(self.temporary.iterdir()), [])

    def rim(self, *arguments):
        out = self.encroot("rim", *arguments).stdout
        self.assertRegex(out, r"\ARIM-HASH: [0-9A-F]{64}\n\Z")
        return out.split()[1]

    def wait_until(self, condition):
        end = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def refused(self, status, *arguments):
        """What it says, when nothing but that comes of it."""
        result = self.encroot("rim", *arguments, status=status)
        self.assertEqual(result.stdout, "")
        return result.stderr


class Files(RimTest):
    def test_values_of_the_vendors_tool(self):
        self.assertEqual(self.rim("-f", "fw.bin", "-d", "virt.dtb"),
                         "847F2C6B330134B4CE33992A7DCF249A05F84CD202114EDAC8FBE02DD94FBCF9")
        self.assertEqual(self.rim("-f", "fw.bin", "-d", "virt.dtb", "-v", 4, "-s", 256, "-m", 6),
                         "C91651D4BF2083CB869411F3F7417A2AE4F5ABE22AB23D4B78A9AD2DA9E9FA33")
        direct = "D7359BBBFB62534A22CE67FFB0F4606623A9C6032520275A098E5A0A5E24530B"
        self.assertEqual(self.rim("-k", "Image", "-i", "initrd", "-d", "virt.dtb", "-v", 2), direct)
        self.assertEqual(self.rim("--kernel", "Image", "--initrd", "initrd", "--dtb", "virt.dtb",
                                  "--vcpu", 2, "--sve", 0, "--pmu", 0), direct)

    def test_everything_counts(self):
        (self.folder / "other").write_bytes(self.initrd[:-1] + b"x")
        direct = ["-k", "Image", "-d", "virt.dtb"]
        seen = {self.rim(*direct, *more) for more in (
            [], ["-v", 2], ["-s", 128], ["-s", 256], ["-m", 1], ["-m", 2], ["-i", "initrd"],
            ["-i", "other"], ["-d", "other"])}
        self.assertEqual(len(seen), 9)

    def test_a_compressed_kernel_is_measured_as_it_is_loaded(self):
        (self.folder / "Image.gz").write_bytes(gzip.compress(self.kernel))
        self.assertEqual(self.rim("-k", "Image.gz", "-d", "virt.dtb"),
                         self.rim("-k", "Image", "-d", "virt.dtb"))

    def test_json(self):
        out = self.encroot("rim", "--json", "-k", "Image", "-i", "initrd", "-d", "virt.dtb", "-v", 2)
        report = json.loads(out.stdout)
        self.assertEqual(out.stderr, "")
        self.assertEqual(report["rim"],
                         "d7359bbbfb62534a22ce67ffb0f4606623a9c6032520275a098e5a0a5e24530b")
        self.assertEqual((report["mode"], report["hash_alg"]), ("kernel", "sha-256"))
        self.assertEqual((report["vcpus"], report["sve_bits"], report["pmu_counters"]), (2, 0, 0))
        self.assertCountEqual(report["files"], [
            {"use": use, "path": path, "size": len(content),
             "sha256": hashlib.sha256(content).hexdigest()}
            for use, path, content in (("device tree", "virt.dtb", self.dtb),
                                       ("kernel", "Image", self.kernel),
                                       ("initrd", "initrd", self.initrd))])

    def test_wrong_files_are_named(self):
        (self.folder / "empty").write_bytes(b"")
        with (self.folder / "huge").open("wb") as huge:
            huge.truncate(128 * MIB + 1)
        (self.folder / "layered").write_bytes(b"QFI\xfb" + bytes(4096))
        (self.folder / "short").write_bytes(self.kernel[:60])
        (self.folder / "greedy").write_bytes(
            self.kernel[:16] + struct.pack("<Q", 127 * MIB) + self.kernel[24:])
        firmware, direct = ["-d", "virt.dtb", "-f"], ["-d", "virt.dtb", "-k"]
        for arguments, texts in (
                ([*firmware, "none"], ["none: No such file", "hint: it is to be the firmware"]),
                (["-f", "fw.bin", "-d", "none"], ["none: No such file", "the device tree"]),
                (["-f", "fw.bin", "-d", "."], [".: Is a directory"]),
                (["-f", "fw.bin", "-d", "empty"], ["empty: is empty, expected the device tree"]),
                ([*firmware, "empty"], ["empty: is empty, expected the firmware"]),
                ([*firmware, "huge"], ["huge: larger than the limit", "128 MiB"]),
                ([*firmware, "layered"], ["layered:", "found qcow2", "qemu-img convert"]),
                ([*direct, "none"], ["none: No such file", "the kernel"]),
                ([*direct, "fw.bin"], ["fw.bin: ", "not an uncompressed arm64 Image", "hint: "]),
                ([*direct, "short"], ["short: ", "arm64 Image"]),
                ([*direct, "greedy"], ["greedy: ", "133169152 bytes of memory"]),
                ([*direct, "Image", "-i", "none"], ["none: No such file", "the initrd"]),
                ([*direct, "Image", "-i", "empty"], ["empty: is empty, expected the initrd"])):
            with self.subTest(arguments):
                said = self.refused(BAD_INPUT, *arguments)
                for text in texts:
                    self.assertIn(text, said)
        error = json.loads(self.encroot("rim", *firmware, "none", "--json", status=BAD_INPUT).stdout)
        self.assertIn("none: No such file", error["error"])

    def test_a_wrong_command_line_says_what_to_do(self):
        both = ["-f", "fw.bin", "-d", "virt.dtb"]
        for arguments, text in (
                ([], "what does the guest start from?"),
                (["-d", "virt.dtb"], "-f FIRMWARE, -k IMAGE or --qemu is missing"),
                (["-f", "fw.bin"], "-d is missing: dump the device tree"),
                ([*both, "-k", "Image"], "-f and -k exclude each other"),
                ([*both, "-i", "initrd"], "-i goes with -k"),
                ([*both, "-s", 100], "a multiple of 128"),
                ([*both, "-s", 2176], "from 0 to 2048"),
                ([*both, "-m", 32], "from 0 to 31"),
                ([*both, "-v", 0], "from 1 to 512"),
                ([*both, "-v", 513], "from 1 to 512"),
                ([*both, "--dtb-out", "x"], "--dtb-out goes with --qemu"),
                ([*both, "--", QEMU], f'unexpected "{QEMU}"'),
                (["--qemu"], "write -- between"),
                (["--qemu", "--"], "QEMU's command line is missing"),
                (["--qemu", QEMU, "-m", "4", "-f", "x"], "write -- between"),
                (["--qemu", QEMU, "-machine", "virt"], "write -- between"),
                (["--qemu", QEMU, "--", "-bios", "x"], "write -- between"),
                (["--qemu", "-f", "fw.bin", "--", QEMU], "comes from -bios"),
                (["--qemu", "-k", "Image", "--", QEMU], "comes from -kernel"),
                (["--qemu", "-i", "initrd", "--", QEMU], "comes from -initrd"),
                (["--qemu", "-d", "virt.dtb", "--", QEMU], "--dtb-out keeps it"),
                (["--qemu", "-v", 2, "--", QEMU], "comes from -smp")):
            with self.subTest(arguments):
                said = self.refused(USAGE, *arguments)
                self.assertIn(text, said)
                self.assertIn("usage: encroot rim", said)


@unittest.skipUnless(which(QEMU), f"{QEMU} is not installed (Debian: qemu-system-arm)")
class RealQemu(RimTest):
    MACHINE = ["-M", "virt,dtb-randomness=off", "-cpu", "cortex-a57", "-display", "none"]
    DIRECT = ["-kernel", "Image", "-initrd", "initrd", "-append", "console=ttyAMA0 quiet"]

    def setUp(self):
        super().setUp()
        (self.folder / "Image").write_bytes(image(self.kernel, text_offset=0))
        self.before = self.contents()

    def qemu(self, *line, machine=MACHINE, options=()):
        return ["--qemu", *options, "--", QEMU, *machine, *line]

    def dumped(self, *line):
        """The device tree, asked for by hand."""
        subprocess.run([QEMU, *self.MACHINE, *line, "-machine", "dumpdtb=by-hand.dtb"], timeout=60,
                       cwd=self.folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        return "by-hand.dtb"

    def test_firmware(self):
        line = ["-m", "256M", "-smp", "3", "-bios", "fw.bin"]
        found = self.rim(*self.qemu(*line))
        self.assertEqual(self.contents(), self.before)
        self.assertEqual(found, self.rim("-f", "fw.bin", "-v", 3, "-d", self.dumped(*line)))

    def test_pflash(self):
        (self.folder / "code.fd").write_bytes(self.firmware + bytes(64 * MIB - len(self.firmware)))
        line = ["-m", "256M", "-drive", "if=pflash,format=raw,readonly=on,file=code.fd"]
        self.assertEqual(self.rim(*self.qemu(*line)),
                         self.rim("-f", "code.fd", "-d", self.dumped(*line)))

    def test_direct_boot(self):
        line = ["-m", "512M", "-smp", "cores=2", *self.DIRECT]
        found = self.rim(*self.qemu(*line, options=["-s", 256, "-m", 6]))
        self.assertEqual(found, self.rim("-k", "Image", "-i", "initrd", "-v", 2, "-s", 256, "-m", 6,
                                         "-d", self.dumped(*line)))

    def test_everything_counts(self):
        lines = ([*self.DIRECT, "-m", "256M"], [*self.DIRECT, "-m", "512M"],
                 [*self.DIRECT, "-m", "256M", "-smp", "2"],
                 [*self.DIRECT[:-1], "console=ttyAMA0", "-m", "256M"],
                 [*self.DIRECT[:2], *self.DIRECT[4:], "-m", "256M"])
        self.assertEqual(len({self.rim(*self.qemu(*line)) for line in lines}), len(lines))

    def test_the_device_tree_can_be_kept(self):
        line = self.qemu("-m", "256M", *self.DIRECT, options=["--dtb-out", "kept.dtb"])
        found = self.rim(*line)
        self.assertEqual(self.rim("-k", "Image", "-i", "initrd", "-d", "kept.dtb"), found)
        self.assertIn("kept.dtb: already exists", self.refused(BAD_INPUT, *line))
        self.assertEqual(self.rim("--force", *line), found)

    def test_what_was_used_and_assumed_is_told(self):
        said = self.encroot("rim", *self.qemu("-smp", "2", *self.DIRECT)).stderr
        for text in ("kernel        Image, 1000000 bytes, SHA-256 ", "initrd        initrd, 700001",
                     "device tree   QEMU's", "vCPUs         2 (-smp 2)",
                     "SVE bits      0 (assumed: neither -s", "PMU counters  0 (assumed"):
            self.assertIn(text, said)
        machine = ["-M", "virt,dtb-randomness=off", "-cpu", "max,sve256=on,pmu=off"]
        line = self.qemu("-bios", "fw.bin", "-display", "none", machine=machine)
        said = self.encroot("rim", *line).stderr
        for text in ("firmware      fw.bin, 300000", "vCPUs         1 (QEMU's default",
                     "SVE bits      256 (-cpu", "PMU counters  0 (-cpu"):
            self.assertIn(text, said)
        result = self.encroot("rim", "--json", *line)
        report = json.loads(result.stdout)
        self.assertEqual(result.stderr, "")
        self.assertEqual((report["sve_bits"], report["origin"]["vcpus"]),
                         (256, "QEMU's default: no -smp"))
        self.assertNotIn("path", report["files"][0])
        said = self.encroot("rim", *self.qemu("-bios", "fw.bin", *self.DIRECT)).stderr
        self.assertIn("not in the RIM: -kernel and -initrd", said)

    def test_the_host_side_of_the_command_line_may_be_there(self):
        line = self.qemu("-bios", "fw.bin", "-daemonize", "-pidfile", "pid", "-serial", "null",
                         "-monitor", "none", "-no-reboot", "-machine", "dumpdtb=elsewhere")
        self.assertEqual(self.rim(*line), self.rim(*self.qemu("-bios", "fw.bin")))
        self.assertEqual(self.contents(), self.before)

    def test_a_device_tree_that_is_never_the_same_is_refused(self):
        said = self.refused(BAD_INPUT, *self.qemu("-bios", "fw.bin", machine=["-M", "virt"]))
        self.assertIn("another one at each start", said)
        self.assertIn("dtb-randomness=off", said)

    def test_what_qemu_says_against_it_is_shown(self):
        for line, text in ((["-machine", "kvm-type=cvm"], "kvm-type' not found"),
                           (["-object", "tmm-guest,id=tmm0"], "'tmm-guest'"),
                           (["-machine", "nonsense"], "Use -machine help to list supported"),
                           (["-drive", "if=virtio,file=none.qcow2"], "none.qcow2")):
            with self.subTest(line):
                said = self.refused(FAILED, *self.qemu("-bios", "fw.bin", *line))
                self.assertIn(f"{QEMU}: exit status 1: ", said)
                self.assertIn(text, said)
                self.assertIn("hint: this QEMU must take the command line", said)
                self.assertEqual(list(self.temporary.iterdir()), [])

    def test_no_device_tree_no_rim(self):
        said = self.refused(BAD_INPUT, *self.qemu("-bios", "fw.bin", "-version"))
        self.assertIn("ended without writing a device tree: QEMU emulator", said)
        said = self.refused(BAD_INPUT, "--qemu", "--", "no-such-qemu", "-bios", "fw.bin")
        self.assertIn("no-such-qemu: cannot run it: No such file", said)
        said = self.refused(BAD_INPUT, *self.qemu("-m", "256M"))
        self.assertIn("neither a firmware nor a kernel", said)

    @unittest.skipUnless(which("qemu-system-x86_64"), "qemu-system-x86_64 is not installed")
    def test_no_guest_is_started_where_there_is_no_device_tree(self):
        """An x86 guest under QEMU 7.2 would simply run: its firmware writes to port 0x402."""
        (self.folder / "x86.bin").write_bytes(
            (b"\xba\x02\x04\xb0A\xee\xf4" + bytes(65536 - 16 - 7)) + b"\xe9\x0d\x00" + bytes(13))
        line = ["qemu-system-x86_64", "-display", "none", "-bios", "x86.bin", "-chardev",
                "file,id=out,path=seen", "-device", "isa-debugcon,iobase=0x402,chardev=out"]
        with subprocess.Popen([*line], cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as qemu:
            seen = self.folder / "seen"
            self.wait_until(lambda: seen.exists() and seen.read_bytes() == b"A")
            qemu.kill()
        seen.unlink()
        said = self.refused(FAILED, "--qemu", "--timeout", 5, "--", *line)
        self.assertIn("still running after 5 seconds", said)
        self.assertEqual(seen.read_bytes(), b"")


class StubbornQemu(RimTest):
    """A QEMU of our own making, that does not do what it should."""

    def setUp(self):
        super().setUp()
        self.qemu = self.folder / "qemu"
        self.qemu.write_text(r"""#!/bin/sh
trap '' TERM
for last; do :; done
echo half a tree >"$(echo "${last#dumpdtb=}" | sed 's/,,/,/g')"
echo $$ >started
sleep 600 &
wait
sleep 600
""")
        self.qemu.chmod(0o755)

    def running(self):
        """Processes of its group, the group's number being its own."""
        group = int((self.folder / "started").read_text())
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, pgrp = entry.read_text().rsplit(")", 1)[1].split()[:3]
            except OSError:
                continue
            if int(pgrp) == group and state != "Z":
                found.append(entry.parent.name)
        return found

    def test_it_is_given_up(self):
        said = self.refused(FAILED, "--qemu", "--timeout", 5, "--", self.qemu, "-bios", "fw.bin")
        self.assertIn("still running after 5 seconds", said)
        self.wait_until(lambda: not self.running())

    def test_it_is_killed_on_interrupt(self):
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(how.name):
                (self.folder / "started").unlink(missing_ok=True)
                with subprocess.Popen([ENCROOT, "rim", "--qemu", "--", self.qemu, "-bios", "fw.bin"],
                                      cwd=self.folder, stdin=subprocess.DEVNULL, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                    started = self.folder / "started"
                    self.wait_until(lambda: started.exists() and started.read_text())
                    self.assertEqual([p.name for p in self.temporary.rglob("*") if p.is_file()],
                                     ["dtb"])
                    self.assertGreaterEqual(len(self.running()), 1)
                    process.send_signal(how)
                    out, said = process.communicate(timeout=30)
                self.assertEqual((process.returncode, out), (FAILED, ""))
                self.assertIn("interrupted", said)
                self.assertEqual(list(self.temporary.iterdir()), [])
                self.wait_until(lambda: not self.running())

    def test_it_runs_in_the_callers_environment(self):
        self.qemu.write_text('#!/bin/sh\necho "$WORD $*" >&2\nexit 1\n')
        with unittest.mock.patch.dict(os.environ, WORD="mine", PATH=f"{self.folder}:{os.environ['PATH']}"):
            said = self.refused(FAILED, "--qemu", "--", "qemu", "-bios", "fw.bin", "-x", "a b")
        self.assertRegex(said, r"qemu: exit status 1: mine -bios fw.bin -x a b -S -machine dumpdtb=")


if __name__ == "__main__":
    unittest.main()
