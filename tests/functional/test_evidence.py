"""encroot evidence inspect and appraise, on evidence that forge-evidence makes.

Each attack of the list in SECURITY.md (E1 to E16, as far as it shows in evidence) is performed and must
be refused for the right reason; the same evidence without the defect passes.
"""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ENCROOT_BUILD", TOP / "build"))
ENCROOT = BUILD / "encroot"
FORGE = BUILD / "tests" / "functional" / "forge-evidence"
SHARED = pathlib.Path(os.environ.get("ENCROOT_SHARED_DATA", TOP / ".." / "shared" / "data"))

# defect → the check that must refuse it
REFUSED_BY = {
    "e1-made-up-authority": "token.platform.chain",
    "e2-zero-signature": "token.cvm.signature",
    "e4-platform-dropped": "token.platform.binding",
    "e5-nothing-measured": "boot.kernel",
    "e5-log-truncated": "log.replay.rem2",
    "e6-second-loader": "boot.shim",
    "e6-loader-told-as-table": "log.record",
    "e7-shell-as-init": "boot.cmdline",
    "e8-second-kernel": "boot.file",
    "e9-no-register": "boot.initramfs",
    "e10-digest-sizes": "log.format",
    "e11-debug-enabled": "token.platform.lifecycle",
    "e13-text-differs": "boot.cmdline",
    "e14-other-connection": "token.challenge",
    "e15-other-certificate": "token.platform.signature",
    "e16-other-command": "log.record",
    "other-firmware": "rim",
    "changed-grub-cfg": "boot.grub.cfg",
    "changed-kernel": "boot.kernel",
    "changed-initramfs": "boot.initramfs",
    "log-of-another-boot": "log.replay.rem2",
}
# defects whose one cause shows in several checks
MORE_THAN_ONE = {"e1-made-up-authority", "e4-platform-dropped", "e5-nothing-measured",
                 "e5-log-truncated", "e15-other-certificate"}


def encroot(*arguments):
    done = subprocess.run([ENCROOT, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


class Appraise(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)

    def forge(self, *defect):
        return subprocess.run([FORGE, self.dir, *defect], check=True, capture_output=True,
                              text=True).stdout.strip()

    def appraise(self, rim, *more):
        return encroot("evidence", "appraise", self.dir / "evidence.json", "-m", rim,
                       "-f", self.dir / "hash.json", "-d", self.dir, *more)

    def findings(self, rim):
        status, out, err = self.appraise(rim, "--json")
        self.assertEqual(err, "")
        return status, json.loads(out)

    def test_good_evidence_passes(self):
        status, result = self.findings(self.forge())
        self.assertEqual([f for f in result["findings"] if f["verdict"] == "reject"], [])
        self.assertEqual((status, result["verdict"]), (0, "pass"))
        checks = {f["check"] for f in result["findings"] if f["verdict"] == "pass"}
        self.assertLessEqual({"rim", "log.replay.rem0", "log.replay.rem1", "log.replay.rem2",
                              "log.replay.rem3", "boot.shim", "boot.grub", "boot.grub.cfg",
                              "boot.cmdline", "boot.kernel", "boot.initramfs", "boot.pe",
                              "token.cvm.signature", "token.platform.signature",
                              "token.platform.chain", "token.challenge"}, checks)

    def test_each_defect_is_refused_for_its_reason(self):
        names = subprocess.run([FORGE, "--list"], check=True, capture_output=True, text=True)
        self.assertEqual(set(names.stdout.split()), set(REFUSED_BY))
        for defect, check in REFUSED_BY.items():
            with self.subTest(defect):
                status, result = self.findings(self.forge(defect))
                rejected = [f["check"] for f in result["findings"] if f["verdict"] == "reject"]
                self.assertEqual((status, result["verdict"]), (3, "reject"))
                self.assertIn(check, rejected)
                if defect not in MORE_THAN_ONE:
                    self.assertEqual(rejected, [check])

    def test_operator_reads_what_differs_and_what_to_do(self):
        status, out, _ = self.appraise(self.forge("e7-shell-as-init"))
        self.assertEqual(status, 3)
        self.assertIn("added: init=/bin/sh", out)
        self.assertIn("encroot image measure", out)
        self.assertTrue(out.rstrip().splitlines()[-1].startswith("verdict: reject"))

    def test_several_rims_are_alternatives(self):
        rim = self.forge()
        self.assertEqual(self.appraise("00" * 32)[0], 3)
        self.assertEqual(self.appraise("00" * 32, "-m", rim.upper())[0], 0)

    def test_missing_arguments_are_usage_errors(self):
        self.forge()
        self.assertEqual(encroot("evidence", "appraise", self.dir / "evidence.json")[0], 2)
        self.assertEqual(encroot("evidence", "appraise")[0], 2)

    def test_unusable_files_are_bad_input(self):
        rim = self.forge()
        self.assertEqual(self.appraise("zz")[0], 4)
        status, out, err = encroot("evidence", "appraise", self.dir / "hash.json", "-m", rim,
                                   "-f", self.dir / "hash.json", "-d", self.dir)
        self.assertEqual((status, out), (4, ""))
        self.assertIn("hash.json", err)
        evidence = json.loads((self.dir / "evidence.json").read_text())
        del evidence["challenge"]
        (self.dir / "evidence.json").write_text(json.dumps(evidence))
        status, _, err = self.appraise(rim)
        self.assertEqual(status, 4)
        self.assertIn("challenge", err)

    def test_missing_anchors_are_not_fetched(self):
        """E12"""
        rim = self.forge()
        (self.dir / "trust" / "certificates" / "root.crt").unlink()
        before = sorted(self.dir.rglob("*"))
        self.assertEqual(self.appraise(rim)[0], 4)
        self.assertEqual(sorted(self.dir.rglob("*")), before)

    def test_evidence_of_an_unknown_platform_is_refused(self):
        rim = self.forge()
        evidence = json.loads((self.dir / "evidence.json").read_text())
        evidence["platform"] = "made-up"
        (self.dir / "evidence.json").write_text(json.dumps(evidence))
        status, result = self.findings(rim)
        self.assertEqual((status, result["verdict"]), (3, "reject"))
        self.assertEqual(result["findings"][0]["check"], "platform")


class Inspect(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        subprocess.run([FORGE, self.dir], check=True, capture_output=True)

    def test_saved_evidence(self):
        status, out, _ = encroot("evidence", "inspect", self.dir / "evidence.json", "--json")
        shown = json.loads(out)
        self.assertEqual(status, 0)
        self.assertEqual(shown["platform"], "virtcca")
        self.assertEqual(shown["token"]["cvm"]["challenge"], "c7" * 64)
        self.assertTrue(shown["certificate"]["subject"].startswith("CN=Good AIK,"))
        self.assertIn("/vmlinuz-1", [e["data"] for e in shown["event_log"]["events"]])
        status, out, _ = encroot("evidence", "inspect", self.dir / "evidence.json")
        self.assertEqual(status, 0)
        self.assertIn("not verified", out.splitlines()[0])
        self.assertIn("kernel_cmdline: /vmlinuz-1", out)

    def test_certificate(self):
        status, out, _ = encroot("evidence", "inspect", self.dir / "trust/certificates/root.crt")
        self.assertEqual(status, 0)
        self.assertIn("subject: CN=Good root,", out)

    def test_other_files_are_bad_input(self):
        for content in (b"", b"\0", b"{}", b"-----BEGIN nothing", b"\xd9\x01\x8f\xa0", b"x" * 100):
            with self.subTest(content):
                (self.dir / "x").write_bytes(content)
                status, out, err = encroot("evidence", "inspect", self.dir / "x")
                self.assertEqual((status, out), (4, ""))
                self.assertIn(str(self.dir / "x"), err)
        self.assertEqual(encroot("evidence", "inspect", self.dir / "absent")[0], 4)

    def test_files_of_real_machines(self):
        if not SHARED.is_dir():
            self.skipTest(f"{SHARED} is not there")
        for name in ("tokens/virtcca-cvm-rsa.cbor", "tokens/virtcca-aik-cert.der",
                     "tokens/cca-token-01.cbor", "eventlogs/grub-secureboot.bin"):
            with self.subTest(name):
                status, out, err = encroot("evidence", "inspect", SHARED / name)
                self.assertEqual((status, err), (0, ""))
                self.assertGreater(len(out.splitlines()), 8)


if __name__ == "__main__":
    unittest.main()
