"""encroot evidence inspect and appraise, on evidence that forge-evidence makes.

Each attack of the list in SECURITY.md (E1 to E16, as far as it shows in evidence) is performed and must
be refused for the right reason; the same evidence without the defect passes.
"""
import base64
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
    "e3-own-cvm-key": "token.platform.binding",
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
    "revoked-certificate": "token.platform.chain",
    "e16-other-command": "boot.grub.command",
    "e16-typed-in-the-menu": "boot.grub.command",
    "e16-typed-search": "boot.grub.command",
    "other-firmware": "rim",
    "changed-grub-cfg": "boot.grub.cfg",
    "changed-kernel": "boot.kernel",
    "changed-initramfs": "boot.initramfs",
    "log-of-another-boot": "log.replay.rem2",
}
# defects whose one cause shows in several checks
MORE_THAN_ONE = {"e1-made-up-authority", "e4-platform-dropped", "e5-nothing-measured",
                 "e5-log-truncated"}


def encroot(*arguments):
    done = subprocess.run([ENCROOT, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


class Appraise(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)

    def forge(self, *what, options=()):
        return subprocess.run([FORGE, self.dir, *options, *what], check=True, capture_output=True,
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

    def test_good_evidence_of_older_machines_passes(self):
        status, result = self.findings(self.forge("--rsa"))
        self.assertEqual([f for f in result["findings"] if f["verdict"] == "reject"], [])
        self.assertEqual((status, result["verdict"]), (0, "pass"))
        self.assertIn({"check": "token.platform.binding", "verdict": "pass",
                       "expected": "a platform token, or (RSA) the platform's own key",
                       "found": "the platform's own key"}, result["findings"])

    def test_each_defect_of_older_machines_is_refused(self):
        """E1, E2, E3, E15 on a token without platform part."""
        for defect, checks in {
                "e1-made-up-authority": {"token.platform.chain", "token.platform.binding"},
                "e2-zero-signature": {"token.cvm.signature"},
                "e3-own-cvm-key": {"token.platform.binding"},
                "e14-other-connection": {"token.challenge"},
                "e15-other-certificate": {"token.platform.binding"},
        }.items():
            with self.subTest(defect):
                status, result = self.findings(self.forge("--rsa", defect))
                rejected = {f["check"] for f in result["findings"] if f["verdict"] == "reject"}
                self.assertEqual((status, rejected), (3, checks))

    def test_operator_reads_what_differs_and_what_to_do(self):
        status, out, _ = self.appraise(self.forge("e7-shell-as-init"))
        self.assertEqual(status, 3)
        self.assertIn("added: init=/bin/sh", out)
        self.assertIn("encroot image measure", out)
        self.assertTrue(out.rstrip().splitlines()[-1].startswith("verdict: reject"))

    def test_a_revoked_certificate_is_refused_as_such(self):
        rim = self.forge("revoked-certificate")
        status, result = self.findings(rim)
        chain, = [f for f in result["findings"] if f["verdict"] == "reject"]
        self.assertEqual((status, chain["check"]), (3, "token.platform.chain"))
        serial = subprocess.run(
            ["openssl", "crl", "-in", self.dir / "trust/certificates/intermediate.crl", "-noout",
             "-text"], check=True, capture_output=True, text=True).stdout
        serial = serial.split("Serial Number: ")[1].split()[0]
        self.assertRegex(chain["found"], f'was revoked: "CN=Good AIK,.*", serial number {serial}, '
                                         'by "CN=Good intermediate')
        self.assertIn("ask the authority", chain["remedy"])
        # By the list and nothing else.
        (self.dir / "trust/certificates/intermediate.crl").unlink()
        self.assertEqual(self.appraise(rim)[0], 0)

    def test_lists_that_cannot_be_believed_stop_everything(self):
        rim = self.forge("revoked-certificate")
        path = self.dir / "trust/certificates/intermediate.crl"
        good = path.read_bytes()
        der = subprocess.run(["openssl", "crl", "-in", path, "-outform", "DER"], check=True,
                             capture_output=True).stdout
        for content, reason in ((der[:-1] + bytes([der[-1] ^ 1]), "did not sign it"),
                                (der[:-1], "not a revocation list"), (b"", "0 bytes"),
                                (good + good, "something follows the revocation list")):
            path.write_bytes(content)
            status, out, err = self.appraise(rim)
            self.assertEqual((status, out), (4, ""))
            self.assertIn(str(path), err)
            self.assertIn(reason, err)
        path.write_bytes(der)
        self.assertEqual(self.appraise(rim)[0], 3)

    def test_sha384_evidence_is_appraised_in_sha384(self):
        rim = self.forge(options=["--sha384"])
        self.assertEqual(len(rim), 96)
        status, result = self.findings(rim)
        self.assertEqual([f for f in result["findings"] if f["verdict"] == "reject"], [])
        self.assertEqual((status, result["verdict"]), (0, "pass"))
        replayed, = [f for f in result["findings"] if f["check"] == "log.replay.rem2"]
        self.assertEqual(len(replayed["found"]), 96)
        for defect in ("changed-kernel", "changed-grub-cfg", "changed-initramfs", "other-firmware",
                       "e6-second-loader", "e7-shell-as-init", "e16-typed-in-the-menu"):
            with self.subTest(defect):
                status, result = self.findings(self.forge(defect, options=["--sha384"]))
                rejected = [f["check"] for f in result["findings"] if f["verdict"] == "reject"]
                self.assertEqual((status, rejected), (3, [REFUSED_BY[defect]]))

    def test_values_without_the_hash_of_the_token_are_told(self):
        rim = self.forge(options=["--sha384"])
        values = json.loads((self.dir / "hash.json").read_text())
        del values["sha-384"]
        (self.dir / "hash.json").write_text(json.dumps(values))
        status, result = self.findings(rim)
        finding, = [f for f in result["findings"] if f["verdict"] == "reject"]
        self.assertEqual((status, finding["check"]), (3, "boot.reference"))
        self.assertEqual(finding["expected"],
                         "reference values in sha-384, the hash of the token")
        self.assertEqual(finding["found"], "only sha-256")
        self.assertIn("encroot image measure", finding["remedy"])

    def test_a_typed_command_is_named(self):
        """E16"""
        status, result = self.findings(self.forge("e16-typed-search"))
        self.assertEqual(status, 3)
        finding, = [f for f in result["findings"] if f["verdict"] == "reject"]
        self.assertEqual(finding["check"], "boot.grub.command")
        self.assertIn("one of the 5 commands of the measured configuration; the nearest: ",
                      finding["expected"])
        self.assertRegex(finding["found"], r"^record \d+: search --label evil --set=root$")
        self.assertIn("GRUB's menu or command line", finding["remedy"])

    def test_known_commands_are_one_finding(self):
        _, result = self.findings(self.forge())
        commands = [f for f in result["findings"] if "command" in f["check"]]
        self.assertEqual([(f["check"], f["verdict"], f["found"]) for f in commands],
                         [("boot.grub.command", "pass", "4 records")])

    def test_without_a_list_harmless_commands_are_waived(self):
        """The sample's hash.json knows no commands."""
        for defect, expected in (("e16-typed-in-the-menu", 0), ("e16-other-command", 3)):
            rim = self.forge(defect)
            values = json.loads((self.dir / "hash.json").read_text())
            del values["grub_commands"]
            (self.dir / "hash.json").write_text(json.dumps(values))
            status, result = self.findings(rim)
            self.assertEqual(status, expected)
            self.assertIn("waived.grub-command", [f["check"] for f in result["findings"]])

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

    def test_real_log_replays_to_its_pcrs(self):
        if not SHARED.is_dir():
            self.skipTest(f"{SHARED} is not there")
        _, out, _ = encroot("evidence", "inspect", SHARED / "eventlogs/grub-secureboot.bin", "--json")
        replayed = json.loads(out)["replayed"]["sha-256"]
        held = dict(line.split(" 0x") for line in
                    (SHARED / "eventlogs/grub-secureboot.pcrs").read_text().splitlines())
        del held["10"]  # the running kernel's IMA: not of the boot
        for pcr, value in held.items():
            if int(pcr) < 16:
                self.assertEqual(replayed.get(f"PCR {pcr}", "0" * 64), value.lower(), pcr)
        self.assertGreater(len(replayed), 10)

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

    def verify(self, key, *more, file="token.cbor"):
        return encroot("evidence", "inspect", self.dir / file, "--platform-key", self.dir / key,
                       *more)

    def forge(self, *what):
        subprocess.run([FORGE, self.dir, *what], check=True, capture_output=True)

    def test_token_with_its_platform_key_verifies(self):
        public = subprocess.run(["openssl", "x509", "-in", self.dir / "platform.crt", "-noout",
                                 "-pubkey"], check=True, capture_output=True).stdout
        (self.dir / "public.pem").write_bytes(public)
        (self.dir / "public.der").write_bytes(base64.b64decode(b"".join(
            public.splitlines()[1:-1])))
        for key in ("platform.crt", "public.pem", "public.der"):
            for file in ("token.cbor", "evidence.json"):
                with self.subTest(key=key, file=file):
                    status, out, err = self.verify(key, file=file)
                    self.assertEqual((status, err), (0, ""))
                    self.assertIn("signatures and binding verified", out.splitlines()[0])
                    self.assertIn("pass    token.platform.binding\n", out)
                    self.assertRegex(out, r"\nverdict: pass \(6 passed, 0 waived, 0 rejected\)\n$")
        self.forge("--rsa")
        self.assertEqual(self.verify("platform.crt")[0], 0)

    def test_verification_as_json(self):
        status, out, _ = self.verify("platform.crt", "--json")
        shown = json.loads(out)
        self.assertEqual((status, shown["verification"]["verdict"]), (0, "pass"))
        self.assertEqual({f["check"] for f in shown["verification"]["findings"]},
                         {"token.form", "token.cvm.key", "token.cvm.signature",
                          "token.platform.key", "token.platform.signature",
                          "token.platform.binding"})
        self.assertEqual(shown["tag"], 399)
        self.assertEqual(shown["platform"]["signature_alg"], "ES512")

    def test_forged_tokens_do_not_verify(self):
        """E1, E2, E3, E4, E15"""
        for what, check in ((("e1-made-up-authority",), "token.platform.signature"),
                            (("e2-zero-signature",), "token.cvm.signature"),
                            (("--rsa", "e2-zero-signature"), "token.cvm.signature"),
                            (("e3-own-cvm-key",), "token.platform.binding"),
                            (("--rsa", "e3-own-cvm-key"), "token.platform.binding"),
                            (("e4-platform-dropped",), "token.platform.binding")):
            with self.subTest(what):
                self.forge(*what)
                status, out, _ = self.verify("platform.crt", "--json")
                verification = json.loads(out)["verification"]
                self.assertEqual((status, verification["verdict"]), (3, "reject"))
                self.assertEqual([f["check"] for f in verification["findings"]
                                  if f["verdict"] == "reject"], [check])
                status, out, _ = self.verify("platform.crt")
                self.assertEqual(status, 3)
                self.assertIn("does NOT verify", out.splitlines()[0])
        self.forge()
        (self.dir / "token.cbor").rename(self.dir / "other.cbor")
        self.forge()  # another machine's certificate
        self.assertEqual(self.verify("platform.crt", file="other.cbor")[0], 3)

    def test_malformed_tokens_are_bad_input_at_an_offset(self):
        token = (self.dir / "token.cbor").read_bytes()
        for name, content, reason in (
                ("behind", token + b"\0", f"offset {len(token)}: 1 bytes behind the end"),
                ("indefinite", token[:3] + b"\xbf" + token[4:] + b"\xff",
                 "offset 3: indefinite length"),
                ("cut", token[:-1], "the data ends within an item"),
                ("tag", b"\xd9\x01\x90" + token[3:], "offset 0: the token has tag 400")):
            with self.subTest(name):
                (self.dir / "bad.cbor").write_bytes(content)
                for more in ((), ("--platform-key", self.dir / "platform.crt")):
                    status, out, err = encroot("evidence", "inspect", self.dir / "bad.cbor", *more)
                    self.assertEqual((status, out), (4, ""))
                    self.assertIn(reason, err)
                    self.assertIn("bad.cbor", err)

    def test_unusable_keys_are_bad_input(self):
        private = subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                                  "ec_paramgen_curve:P-384"], check=True,
                                 capture_output=True).stdout
        web = {"kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ"}
        for name, content, reason in (
                ("private", private, "a private key"),
                ("private web key", json.dumps({**web, "d": "AQ"}).encode(), "a private key"),
                ("short web key", json.dumps(web).encode(), '"x" has 1 bytes, expected 48'),
                ("two keys", json.dumps([{"pkey": web}] * 2).encode(), "a list of 2 keys"),
                ("empty", b"", "empty"), ("text", b"key", "expected a public key")):
            with self.subTest(name):
                (self.dir / "k").write_bytes(content)
                status, out, err = self.verify("k")
                self.assertEqual((status, out), (4, ""))
                self.assertIn(reason, err)
                self.assertIn(str(self.dir / "k"), err)
        self.assertEqual(self.verify("absent")[0], 4)

    def test_files_without_a_token_cannot_be_verified(self):
        status, out, err = self.verify("platform.crt", file="trust/certificates/root.crt")
        self.assertEqual((status, out), (4, ""))
        self.assertIn("no token", err)

    def test_public_tokens_verify_with_their_own_key_only(self):
        if not SHARED.is_dir():
            self.skipTest(f"{SHARED} is not there")
        for token, key, refused_by in (
                ("cca-token-01.cbor", "cca-token-01-cpak.json", None),
                ("cca-token-02.cbor", "cca-token-02-key.json", None),
                ("cca-token-01.cbor", "cca-token-02-key.json", "token.platform.signature"),
                ("cca-token-02.cbor", "cca-token-01-cpak.json", "token.platform.signature"),
                ("virtcca-cvm-rsa.cbor", "virtcca-aik-cert.der", "token.platform.binding")):
            with self.subTest(token=token, key=key):
                status, out, err = encroot(
                    "evidence", "inspect", SHARED / "tokens" / token, "--platform-key",
                    SHARED / "tokens" / key, "--json")
                rejected = [f["check"] for f in json.loads(out)["verification"]["findings"]
                            if f["verdict"] == "reject"]
                self.assertEqual((status, err), (3 if refused_by else 0, ""))
                self.assertEqual(rejected, [refused_by] if refused_by else [])

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
