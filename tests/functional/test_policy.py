"""encroot policy, and appraisal by a policy file: what it names is accepted, all else is refused."""
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import small_guest
from program import BAD_INPUT, ENCROOT, OK, REFUSED, USAGE, CommandTest

FORGE = ENCROOT.parent / "tests" / "functional" / "forge-evidence"


class PolicyTest(CommandTest):
    """Evidence of a good boot, and the policy that was made from it."""

    def setUp(self):
        super().setUp()
        self.rim = self.forge()
        self.encroot("policy", "new", "-f", "hash.json", "-e", "evidence.json", "-o", "p.json")
        self.policy = self.read("p.json")

    def forge(self, *defect):
        return subprocess.run([FORGE, self.folder, *defect], check=True, capture_output=True,
                              text=True).stdout.strip()

    def read(self, name):
        return json.loads((self.folder / name).read_text())

    def appraise(self, policy, status):
        (self.folder / "changed.json").write_text(json.dumps(policy))
        result = self.encroot("evidence", "appraise", "evidence.json", "--policy", "changed.json",
                              "--json", status=status)
        return json.loads(result.stdout)

    def accepts(self, policy):
        result = self.appraise(policy, OK)
        self.assertEqual(result["verdict"], "pass")
        return result

    def refuses(self, policy, *checks):
        result = self.appraise(policy, REFUSED)
        rejected = [f for f in result["findings"] if f["verdict"] == "reject"]
        self.assertEqual({f["check"] for f in rejected}, set(checks))
        return rejected

    def changed(self, *path, to=None):
        """The policy with one member replaced, or removed (to=None)."""
        policy = json.loads(json.dumps(self.policy))
        at = policy
        for key in path[:-1]:
            at = at[key]
        if to is None:
            del at[path[-1]]
        else:
            at[path[-1]] = to
        return policy


class New(PolicyTest):
    def test_from_evidence_pins_what_it_shows(self):
        self.assertEqual(self.policy["rim"], [self.rim])
        self.assertEqual(self.policy["platform"]["components"][0]["type"], "ipu")
        self.assertNotIn("platform-tables", self.policy["waive"])
        self.assertNotIn("platform-components", self.policy["waive"])
        result = self.accepts(self.policy)
        passed = {f["check"] for f in result["findings"] if f["verdict"] == "pass"}
        self.assertLessEqual({"token.platform.profile", "token.platform.implementation",
                              "token.platform.configuration", "token.platform.components"}, passed)

    def test_it_needs_no_other_file(self):
        for name in ("trust/certificates/root.crt", "hash.json"):
            (self.folder / name).unlink()
        self.accepts(self.policy)

    def test_of_one_machine(self):
        self.encroot("policy", "new", "-f", "hash.json", "-e", "evidence.json", "-o", "one.json",
                     "--pin-instance")
        one = self.read("one.json")
        self.assertEqual(len(one["trust"]["keys"]), 1)
        self.assertNotIn("attestation-key", one["waive"])
        result = self.accepts(one)
        self.assertEqual(result["ar4si"]["instance-identity"], "affirming")
        one["platform"]["instance_ids"] = ["00" * 33]
        self.refuses(one, "token.platform.instance")
        one = self.read("one.json")
        one["trust"]["keys"] = ["00" * 32]
        self.refuses(one, "token.platform.pin")

    def test_without_evidence(self):
        self.encroot("policy", "new", "-f", "hash.json", "-m", self.rim.upper(), "-o", "b.json")
        self.accepts(self.read("b.json"))
        result = self.encroot("policy", "check", "b.json", "--json")
        self.assertIn("platform-components", json.loads(result.stdout)["accepted_unseen"])

    def test_evidence_that_it_would_refuse(self):
        for defect in ("e11-debug-enabled", "e7-shell-as-init", "e2-zero-signature"):
            self.forge(defect)
            before = self.contents()
            result = self.encroot("policy", "new", "-f", "hash.json", "-e", "evidence.json", "-o",
                                  "new.json", status=REFUSED)
            self.assertIn("reject", result.stderr)
            self.assertEqual(self.contents(), before)

    def test_reference_values_without_commands(self):
        """The sample's hash.json: GRUB's commands can only be waived."""
        values = self.read("hash.json")
        del values["grub_commands"]
        (self.folder / "old.json").write_text(json.dumps(values))
        self.encroot("policy", "new", "-f", "old.json", "-e", "evidence.json", "-o", "b.json")
        policy = self.read("b.json")
        self.assertIn("grub-command", policy["waive"])
        self.assertNotIn("grub-command", self.policy["waive"])
        self.accepts(policy)

    def test_platform_reference_file_of_the_sample(self):
        good = self.policy["platform"]["components"][0]
        value = {"firware_name": "ipu", "measurement": good["measurements"][0],
                 "firware_version": "1.0", "hash_algorithm": "sha-256"}
        for change, accepted in (({}, True), ({"firware_version": "1.1"}, False),
                                 ({"measurement": "00" * 32}, False),
                                 ({"firware_name": "imu"}, False)):
            (self.folder / "ref.json").write_text(json.dumps({"measure_value": [{**value, **change}]}))
            self.encroot("policy", "new", "-f", "hash.json", "-m", self.rim, "-o", "c.json",
                         "--force", "--platform-reference", "ref.json")
            policy = self.read("c.json")
            self.assertNotIn("platform-components", policy["waive"])
            if accepted:
                self.accepts(policy)
            else:
                self.refuses(policy, "token.platform.components")
        (self.folder / "ref.json").write_text('{"measure_value": [{}]}')
        result = self.encroot("policy", "new", "-f", "hash.json", "-m", self.rim, "-o", "d.json",
                              "--platform-reference", "ref.json", status=BAD_INPUT)
        self.assertIn("measure_value[0]: \"firware_name\" is missing", result.stderr)

    def test_existing_output_is_kept(self):
        before = self.contents()
        result = self.encroot("policy", "new", "-f", "hash.json", "-e", "evidence.json", "-o",
                              "p.json", status=BAD_INPUT)
        self.assertIn("p.json", result.stderr)
        self.assertEqual(self.contents(), before)

    def test_usage(self):
        self.encroot("policy", "new", "-f", "hash.json", status=USAGE)
        self.encroot("policy", "new", "-m", self.rim, status=USAGE)
        self.encroot("policy", "new", "-f", "hash.json", "-m", self.rim, "--pin-instance",
                     status=USAGE)
        self.encroot("policy", "new", "-f", "absent.json", "-m", self.rim, status=BAD_INPUT)


class Appraise(PolicyTest):
    def test_each_value_counts(self):
        for path, check in ((("rim",), "rim"),
                            (("platform", "profiles"), "token.platform.profile"),
                            (("platform", "implementation_ids"), "token.platform.implementation"),
                            (("platform", "configurations"), "token.platform.configuration"),
                            (("platform", "components"), "token.platform.components")):
            with self.subTest(path):
                wrong = {"rim": ["00" * 32], "profiles": ["other"],
                         "components": [{"type": "ipu", "measurements": ["00"]}]}
                self.refuses(self.changed(*path, to=wrong.get(path[-1], ["00" * 5])), check)
                self.refuses(self.changed(*path), check)

    def test_what_is_not_waived_rejects_and_says_how_to_accept_it(self):
        for rule in set(self.policy["waive"]) - {"secure-boot-authority"}:  # it has no such record
            with self.subTest(rule):
                less = [name for name in self.policy["waive"] if name != rule]
                rejected = self.appraise(self.changed("waive", to=less), REFUSED)["findings"]
                remedies = [f.get("remedy", "") for f in rejected if f["verdict"] == "reject"]
                self.assertTrue(remedies)
                self.assertTrue(all(rule in text or "\"trust\"" in text for text in remedies),
                                remedies)

    def test_records_in_the_place_of_a_waiver(self):
        less = [name for name in self.policy["waive"] if name != "secure-boot"]
        rejected = self.refuses(self.changed("waive", to=less), "log.record")
        digests = [f["remedy"].split('"')[1] for f in rejected]
        policy = self.changed("waive", to=less)
        policy["records"] = policy.get("records", []) + digests
        result = self.accepts(policy)
        self.assertIn("log.listed", {f["check"] for f in result["findings"]})
        policy["records"][-1] = "00" * 32
        self.refuses(policy, "log.record")

    def test_one_of_several_boots(self):
        good = self.policy["boot"][0]
        other = json.loads(json.dumps(good))
        other["grub"] = "00" * 32
        self.accepts(self.changed("boot", to=[other, good]))
        self.refuses(self.changed("boot", to=[other]), "boot.grub")
        self.refuses(self.changed("boot", to=[]), "boot.reference")

    def test_a_boot_must_fit_one_set_as_a_whole(self):
        """Half of one set and half of another is neither."""
        good = self.policy["boot"][0]
        left, right = (json.loads(json.dumps(good)) for _ in range(2))
        left["grub"] = "00" * 32
        right["kernels"][0]["initramfs"] = "00" * 32
        self.appraise(self.changed("boot", to=[left, right]), REFUSED)

    def test_volume(self):
        volume = self.read("evidence.json")["volume"]
        self.accepts(self.changed("volume", to=volume))
        self.refuses(self.changed("volume", to="91ff6f1b-bd8d-854b-9895-3c702895c1f8"), "volume")

    def test_platforms(self):
        self.refuses(self.changed("platforms", to=["tpm2"]), "platform")
        self.accepts(self.changed("platforms", to=["tpm2", "virtcca"]))

    def test_components(self):
        good = self.policy["platform"]["components"][0]

        def with_components(*components):
            return self.changed("platform", "components", to=list(components))

        for least, fits in (("1", True), ("1.0", True), ("0.9.9", True), ("1.0.0", True),
                            ("1.0.1", False), ("1.1", False), ("2", False), ("10", False)):
            with self.subTest(least):
                policy = with_components({"type": "ipu", "min_version": least})
                if fits:
                    self.accepts(policy)
                else:
                    rejected = self.refuses(policy, "token.platform.components")
                    self.assertIn("an older version", rejected[0]["found"])
        self.accepts(with_components({**good, "measurements": ["00", *good["measurements"]]}))
        self.refuses(with_components({**good, "signer_ids": ["00"]}), "token.platform.components")
        # E4: what the policy requires and the evidence lacks.
        rejected = self.refuses(with_components(good, {"type": "imu", "min_version": "1"}),
                                "token.platform.components")
        self.assertEqual(rejected[0]["expected"], "imu")

    def test_lifecycle(self):
        self.forge("e11-debug-enabled")
        policy = self.changed("trust", to=self.trust_of_the_new_forgery())
        self.refuses(policy, "token.platform.lifecycle")
        policy["platform"]["lifecycle"] = ["secured", "non-cca-platform-rot-debug"]
        self.accepts(policy)

    def trust_of_the_new_forgery(self):
        """Each run of the forger makes its own authorities."""
        self.encroot("policy", "new", "-f", "hash.json", "-m", self.rim, "-o", "again.json")
        return self.read("again.json")["trust"]

    def test_trust(self):
        subject = "CN=Good AIK"
        rejected = self.refuses(self.changed("trust", "subjects", to=[subject]),
                                "token.platform.pin")
        found = rejected[0]["found"].rsplit(", key ", 1)
        self.accepts(self.changed("trust", "subjects", to=[found[0]]))
        self.accepts(self.changed("trust", "keys", to=[found[1]]))
        both = self.changed("trust", "keys", to=["00" * 32])
        both["trust"]["subjects"] = [found[0]]
        self.refuses(both, "token.platform.pin")

    def test_a_token_without_platform_part_only_where_the_policy_says_so(self):
        """E4"""
        rim = self.forge("--rsa")
        self.encroot("policy", "new", "-f", "hash.json", "-m", rim, "-o", "rsa.json")
        policy = self.read("rsa.json")
        self.refuses(policy, "token.platform.required")
        policy["waive"].append("platform-token")
        result = self.accepts(policy)
        for claim in ("status", "hardware", "configuration", "executables"):
            self.assertEqual(result["ar4si"][claim], "warning", claim)
        text = self.encroot("evidence", "appraise", "evidence.json", "--policy",
                            "changed.json").stdout
        self.assertRegex(text, "accepted unseen: .*platform-token")
        checked = self.encroot("policy", "check", "changed.json").stdout
        self.assertIn("whatever \"platform\" says", checked)
        policy["waive"].remove("attestation-key")
        self.refuses(policy, "token.platform.pin")

    def test_values_of_an_image_that_is_not_encrypted(self):
        """Whoever boots those has a root that nobody vouches for."""
        policy = self.changed("platforms", to=["virtcca"])
        kernel = policy["boot"][0]["kernels"][0]
        kernel["cmdline"] = [line.replace("/dev/mapper/encroot", "UUID=1-2")
                             for line in kernel["cmdline"]]
        (self.folder / "plain.json").write_text(json.dumps(policy["boot"][0]))
        (self.folder / "changed.json").write_text(json.dumps(policy))
        for command in (["policy", "new", "-f", "plain.json", "-m", self.rim],
                        ["evidence", "appraise", "evidence.json", "--policy", "changed.json"],
                        ["evidence", "appraise", "evidence.json", "-m", self.rim, "-f",
                         "plain.json"]):
            result = self.encroot(*command, status=BAD_INPUT)
            self.assertIn("an image that is not encrypted", result.stderr)
        result = self.encroot("policy", "check", "changed.json", status=BAD_INPUT)
        self.assertIn("an image that is not encrypted", result.stdout)

    def test_dates_and_revocation_where_the_policy_says_so(self):
        """The forger's authorities: one revocation list, which does not say how long it holds."""
        dated = self.changed("trust", "dates", to="checked")
        self.assertIn("revocation list", self.refuses(dated, "token.platform.chain")[0]["found"])
        del dated["trust"]["revocation_lists"]
        self.accepts(dated)
        dated["trust"]["revocation"] = "required"
        self.refuses(dated, "token.platform.chain")

    def test_files_beside_the_policy(self):
        policy = self.changed("boot", to=["hash.json"])
        policy["trust"]["certificates"] = ["trust/certificates/root.crt",
                                           "trust/certificates/intermediate.crt"]
        (self.folder / "sub").mkdir()
        (self.folder / "beside.json").write_text(json.dumps(policy))
        result = subprocess.run([ENCROOT, "evidence", "appraise", self.folder / "evidence.json",
                                 "--policy", self.folder / "beside.json"],
                                cwd=self.folder / "sub", capture_output=True, text=True)
        self.assertEqual(result.returncode, OK, result.stdout + result.stderr)
        (self.folder / "hash.json").unlink()
        result = self.encroot("evidence", "appraise", "evidence.json", "--policy", "beside.json",
                              status=BAD_INPUT)
        self.assertIn("hash.json", result.stderr)

    def test_options_that_exclude_each_other(self):
        for more in (["-m", self.rim], ["-f", "hash.json"]):
            result = self.encroot("evidence", "appraise", "evidence.json", "--policy", "p.json",
                                  *more, status=USAGE)
            self.assertIn("--policy takes the place", result.stderr)


class CheckAndShow(PolicyTest):
    def test_check(self):
        result = self.encroot("policy", "check", "p.json")
        self.assertIn("a valid policy", result.stdout)
        (self.folder / "empty.json").write_text('{"version": 1, "platforms": ["virtcca"]}')
        result = self.encroot("policy", "check", "empty.json", status=BAD_INPUT)
        for word in ("\"rim\"", "\"trust\"", "\"boot\"", "a policy that must not be used, or that nothing can pass"):
            self.assertIn(word, result.stdout)

    def test_check_names_what_cannot_be_read(self):
        for text, word in (('{', "line 1"), ('{"version": 1, "platforms": [], "x": 1}', "\"x\""),
                           ('{"version": 1, "platforms": [], "waive": ["all"]}', "\"all\""),
                           ('[]', "not a JSON object")):
            (self.folder / "bad.json").write_text(text)
            for command in ("check", "show"):
                result = self.encroot("policy", command, "bad.json", status=BAD_INPUT)
                self.assertIn("bad.json", result.stderr)
                self.assertIn(word, result.stderr)

    def test_show(self):
        shown = json.loads(self.encroot("policy", "show", "p.json", "--json").stdout)
        self.assertEqual(shown["rim"], [self.rim])
        self.assertEqual(shown["platform"]["components"][0]["type"], "ipu")
        self.assertIn("separator", shown["waived"])
        self.assertFalse(shown["unusable"])
        text = self.encroot("policy", "show", "p.json").stdout
        self.assertIn(self.rim, text)
        self.assertRegex(text, "root: CN=Good root,.*SHA-256 " + self.policy["trust"]["roots"][0])
        self.assertIn("of CN=Good intermediate", text)
        self.assertIn("root=/dev/mapper/encroot", text)
        self.assertIn("secure-boot: keys and state of Secure Boot", text)


class FromImage(CommandTest):
    def test_volume_and_boot_come_from_the_image(self):
        small_guest.make(self.folder / "small.raw")
        subprocess.run([FORGE, self.folder], check=True, capture_output=True)
        result = self.encroot("policy", "new", "--from-image", "small.raw", "-m", "00" * 32, "-o",
                              "p.json", status=BAD_INPUT)
        self.assertIn("expected an encrypted image", result.stderr)
        self.encroot("init", "keys")
        self.encroot("image", "encrypt", "-i", "small.raw", "-o", "out.raw", "-d", "keys")
        self.encroot("policy", "new", "--from-image", "out.raw", "-m", "00" * 32, "-o", "p.json")
        policy = json.loads((self.folder / "p.json").read_text())
        self.assertEqual(policy["boot"], [json.loads((self.folder / "out.hash.json").read_text())])
        inspected = json.loads(self.encroot("image", "inspect", "-i", "out.raw", "--json").stdout)
        self.assertEqual(policy["volume"], inspected["partitions"][2]["uuid"])


if __name__ == "__main__":
    unittest.main()
