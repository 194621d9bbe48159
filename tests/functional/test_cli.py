"""The command line as such: help, unknown commands and options, exit codes; and `encroot init`."""

import hashlib
import json
import os
import re
import stat
import subprocess
import unittest
from pathlib import Path

from program import BAD_INPUT, ENCROOT, FAILED, OK, TOP, USAGE, CommandTest


class Help(CommandTest):
    def commands(self):
        listed = self.encroot("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
        return [re.split(r"  +", line.strip())[0] for line in listed.splitlines()]

    def test_every_listed_command_explains_itself(self):
        self.assertIn("init", self.commands())
        for command in self.commands():
            text = self.encroot(*command.split(), "--help").stdout
            self.assertTrue(text.startswith(f"Usage: encroot {command}"), text)
            self.assertIn("--help", text)
            self.assertEqual(self.encroot("help", *command.split()).stdout, text)
            self.assertLessEqual(max(map(len, text.splitlines())), 100, command)

    def test_no_arguments_is_a_usage_error_that_helps(self):
        result = self.encroot(status=USAGE)
        self.assertEqual(result.stdout, "")
        self.assertIn("Commands:", result.stderr)

    def test_version(self):
        self.assertRegex(self.encroot("--version").stdout, r"^encroot \d+\.\d+\.\d+\n$")

    def test_a_slip_is_recognised(self):
        for slip, meant in (("inti", "init"), ("evidence inspcet", "evidence inspect"),
                            ("evidnce inspect", "evidence inspect")):
            result = self.encroot(*slip.split(), "x", status=USAGE)
            self.assertIn(f"did you mean: encroot {meant}\n", result.stderr)
            self.assertEqual(result.stdout, "")
        self.assertNotIn("did you mean", self.encroot("frobnicate", status=USAGE).stderr)

    def test_a_group_lists_its_commands(self):
        for arguments, status in ((["evidence"], USAGE), (["evidence", "--help"], OK),
                                  (["help", "evidence"], OK)):
            result = self.encroot(*arguments, status=status)
            self.assertIn("evidence inspect", result.stdout + result.stderr)
            self.assertNotIn("  init ", result.stdout + result.stderr)

    def test_wrong_options_name_themselves(self):
        for arguments, text in ((["--bogus"], "--bogus"), (["-Z"], "-Z"),
                                (["d", "--trust"], "--trust needs an argument"),
                                ([], "found 0"), (["a", "b"], "found 2")):
            result = self.encroot("init", *arguments, status=USAGE)
            self.assertIn(text, result.stderr)
            self.assertIn("usage: encroot init DIR", result.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])


class Completion(CommandTest):
    """completion/encroot.bash, asked as bash asks it."""

    def complete(self, *words):
        script = """source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _encroot
                    printf '%s\\n' "${COMPREPLY[@]}" """
        done = subprocess.run(["bash", "-c", script, "bash", TOP / "completion/encroot.bash", ENCROOT,
                               *words], cwd=self.folder, check=True, text=True, stderr=subprocess.PIPE,
                              stdout=subprocess.PIPE)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())

    def test_commands(self):
        self.assertLessEqual({"init", "unlock", "evidence"}, self.complete(""))
        self.assertEqual(self.complete("unl"), {"unlock"})
        self.assertEqual(self.complete("evidence", "ins"), {"inspect"})
        self.assertEqual(self.complete("help", "evidence", "ins"), {"inspect"})
        self.assertEqual(self.complete("nonsense"), set())

    def test_options(self):
        self.assertEqual(self.complete("init", "--tr"), {"--trust"})
        self.assertLessEqual({"--ip", "--save-evidence", "--json"}, self.complete("unlock", "--"))
        self.assertEqual(self.complete("unlock", "-i", "x", "--save"), {"--save-evidence"})

    def test_another_programs_command_line(self):
        (self.folder / "image.fd").write_text("")
        self.assertEqual(self.complete("rim", "--qe"), {"--qemu"})
        self.assertLessEqual({"bash"}, self.complete("rim", "--qemu", "--", "bas"))
        self.assertEqual(self.complete("rim", "--qemu", "--", "bash", "image"), {"image.fd"})
        self.assertEqual(self.complete("rim", "--qemu", "--", "bash", "--qe"), set())

    def test_files_and_folders(self):
        (self.folder / "keys").mkdir()
        (self.folder / "key.bin").write_text("")
        self.assertEqual(self.complete("unlock", "-k", "key"), {"keys", "key.bin"})
        for option in ("-d", "--dir"):
            self.assertEqual(self.complete("unlock", option, "key"), {"keys"})


class Init(CommandTest):
    FILES = ["broker.crt", "broker.key", "encrootd.conf", "rootfs_key.bin", "trust/roots.sha256",
             "vault.kek"]

    def mode(self, path):
        return stat.S_IMODE((self.folder / path).stat().st_mode)

    def certificate(self, name, issuer=None):
        """A root, or one issued by `issuer`; returns the SHA-256 of its DER."""
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        sign = ["-signkey", f"{name}.key"] if issuer is None else \
            ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
        self.openssl("x509", "-req", "-in", f"{name}.csr", *sign, "-out", f"{name}.pem", "-days", "9")
        der = subprocess.run(["openssl", "x509", "-in", f"{name}.pem", "-outform", "DER"],
                             cwd=self.folder, check=True, stdout=subprocess.PIPE).stdout
        return hashlib.sha256(der).hexdigest()

    def pins(self, folder="k"):
        text = (self.folder / folder / "trust/roots.sha256").read_text()
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    def test_makes_everything_and_says_so(self):
        result = self.encroot("init", "k", umask=0)  # an open umask opens no key (D7)
        for name in self.FILES:
            self.assertRegex(result.stdout, rf"(?m)^made +k/{re.escape(name)} ")
        self.assertEqual(self.mode("k"), 0o700)
        self.assertEqual(self.mode("k/broker.key"), 0o600)
        self.assertEqual(self.mode("k/rootfs_key.bin"), 0o600)
        key = (self.folder / "k/rootfs_key.bin").read_bytes()
        self.assertEqual(len(key), 32)
        self.assertNotEqual(key, bytes(32))
        self.assertEqual(sorted(str(p.relative_to(self.folder / "k"))
                                for p in (self.folder / "k").rglob("*") if p.is_file()), self.FILES)
        self.assertNotIn(key.hex(), result.stdout + result.stderr)
        kek = (self.folder / "k/vault.kek").read_bytes()
        self.assertEqual((len(kek), self.mode("k/vault.kek")), (32, 0o600))
        self.assertNotIn(kek, (bytes(32), key))

    def test_the_certificate_is_of_the_key(self):
        self.encroot("init", "k")
        self.assertEqual(self.openssl("pkey", "-in", "k/broker.key", "-pubout"),
                         self.openssl("x509", "-in", "k/broker.crt", "-noout", "-pubkey"))

    def test_two_folders_share_no_key(self):
        self.encroot("init", "a")
        self.encroot("init", "b")
        for name in ("broker.key", "rootfs_key.bin", "vault.kek"):
            self.assertNotEqual((self.folder / "a" / name).read_bytes(),
                                (self.folder / "b" / name).read_bytes())

    def test_again_changes_nothing(self):
        self.encroot("init", "k")
        before = self.contents()
        result = self.encroot("init", "k")
        self.assertNotIn("made", result.stdout)
        self.assertRegex(result.stdout, r"(?m)^found +k/broker.key ")
        self.assertEqual(self.contents(), before)

    def test_makes_only_what_is_missing(self):
        self.encroot("init", "k")
        before = self.contents()
        (self.folder / "k/rootfs_key.bin").unlink()
        report = json.loads(self.encroot("init", "k", "--json").stdout)
        self.assertEqual(report["made"], ["k/rootfs_key.bin"])
        after = self.contents()
        self.assertNotEqual(after.pop("k/rootfs_key.bin"), before.pop("k/rootfs_key.bin"))
        self.assertEqual(after, before)

    def refuse(self, *texts, folder="k"):
        before = self.contents()
        result = self.encroot("init", folder, status=BAD_INPUT)
        for text in texts:
            self.assertIn(text, result.stderr)
        self.assertEqual(self.contents(), before)

    def test_a_key_of_another_size(self):
        for name in ("rootfs_key.bin", "vault.kek"):
            self.encroot("init", name)
            with (self.folder / name / name).open("ab") as f:
                f.write(b"\n")
            self.refuse(f"{name}/{name}", "expected a key of 32 bytes, found 33", folder=name)

    def test_no_new_key_beside_a_store(self):
        """It would open none of the store's secrets."""
        self.encroot("init", "k")
        (self.folder / "k/vault.kek").unlink()
        (self.folder / "k/broker.db").write_bytes(b"")
        result = self.encroot("init", "k")
        self.assertIn("not made k/vault.kek  (k/broker.db is there", result.stdout)
        self.assertEqual(json.loads(self.encroot("init", "k", "--json").stdout)["made"], [])
        self.assertFalse((self.folder / "k/vault.kek").exists())
        (self.folder / "k/broker.db").unlink()
        self.assertIn("made     k/vault.kek", self.encroot("init", "k").stdout)

    def configuration(self):
        """encrootd.conf: what it sets, and what it shows as a comment."""
        text = (self.folder / "k/encrootd.conf").read_text()
        return (dict(re.findall(r"(?m)^([a-z-]+) = (.+)$", text)),
                dict(re.findall(r"(?m)^#([a-z-]+) = (.+)$", text)))

    def test_a_configuration_for_this_folder(self):
        self.encroot("init", "k")
        values, comments = self.configuration()
        self.assertEqual(values, {
            "listen": "[::]:7221", "key": "broker.key", "certificate": "broker.crt",
            "store": "sqlite:broker.db", "kek": "file:vault.kek", "admin-socket": "admin.sock",
            "monitor-listen": "127.0.0.1:7222"})
        for name in (values["key"], values["certificate"], values["kek"].removeprefix("file:")):
            self.assertTrue((self.folder / "k" / name).is_file())
        self.assertFalse(values.keys() & comments.keys())
        lines = (self.folder / "k/encrootd.conf").read_text().splitlines()
        self.assertEqual([line for line in lines if line and line[0] != "#"],
                         [f"{key} = {value}" for key, value in values.items()])

    def test_a_configuration_that_is_there_is_kept(self):
        (self.folder / "k").mkdir()
        (self.folder / "k/encrootd.conf").symlink_to("/elsewhere/encrootd.conf")
        self.assertIn("found    k/encrootd.conf", self.encroot("init", "k").stdout)
        (self.folder / "k/encrootd.conf").unlink()
        (self.folder / "k/encrootd.conf").write_text("# mine\n")
        self.encroot("init", "k")
        self.assertEqual((self.folder / "k/encrootd.conf").read_text(), "# mine\n")

    def test_killed_while_writing_the_key(self):
        preload = {**os.environ, "LD_PRELOAD": str(ENCROOT.parent / "tests/functional/die-at.so")}
        for n in range(1, 20):
            keys = self.folder / f"keys{n}"
            done = subprocess.run([ENCROOT, "init", keys], env={**preload, "DIE_AT_WRITE": str(n)},
                                  capture_output=True)
            if done.returncode == OK:
                break
            key = keys / "rootfs_key.bin"
            self.assertTrue(not key.exists() or key.stat().st_size == 32, f"at write {n}")
        self.assertGreater(n, 3)

    def test_keys_that_others_can_read(self):
        self.encroot("init", "k")
        for name in ("broker.key", "rootfs_key.bin", "vault.kek"):
            (self.folder / "k" / name).chmod(0o640)
            self.refuse(f"k/{name}", "mode 640", f"hint: chmod 600 k/{name}")
            (self.folder / "k" / name).chmod(0o600)
        self.encroot("init", "k")

    def test_a_certificate_of_another_key(self):
        self.encroot("init", "k")
        self.encroot("init", "other")
        (self.folder / "k/broker.crt").write_bytes((self.folder / "other/broker.crt").read_bytes())
        self.refuse("k/broker.crt", "its private key is not the one in k/broker.key")

    def test_half_an_identity(self):
        self.encroot("init", "k")
        for gone, kept in (("broker.crt", "broker.key"), ("broker.key", "broker.crt")):
            content = (self.folder / "k" / gone).read_bytes()
            (self.folder / "k" / gone).unlink()
            self.refuse(f"k/{kept} is there, but k/{gone} is not")
            (self.folder / "k" / gone).write_bytes(content)
            (self.folder / "k" / gone).chmod(0o600)

    def test_a_broken_key(self):
        self.encroot("init", "k")
        (self.folder / "k/broker.key").write_text("-----BEGIN PRIVATE KEY-----\n")
        self.refuse("k/broker.key")

    def test_a_file_where_the_folder_should_be(self):
        (self.folder / "k").write_text("mine")
        self.refuse("k: expected a folder")
        self.refuse("No such file or directory", folder="no/such")

    def test_trust_pins_roots_only(self):
        root, issued = self.certificate("root"), self.certificate("issued", issuer="root")
        result = self.encroot("init", "k", "--trust", "root.pem", "--trust", "issued.pem")
        self.assertEqual(self.pins(), [root])
        self.assertIn(f"SHA-256 {root}", result.stdout)
        self.assertIn("CN=root", result.stdout)
        self.assertIn(f"SHA-256 {issued}", result.stdout)
        copies = {p.read_bytes() for p in (self.folder / "k/trust/certificates").iterdir()}
        self.assertEqual(copies, {(self.folder / f"{n}.pem").read_bytes() for n in ("root", "issued")})

    def test_trust_again_changes_nothing(self):
        self.certificate("root")
        self.encroot("init", "k", "--trust", "root.pem")
        before = self.contents()
        self.encroot("init", "k", "--trust", "root.pem")
        self.assertEqual(self.contents(), before)

    def test_a_pin_in_a_comment_is_none(self):
        root = self.certificate("root")
        self.encroot("init", "k")
        # And no line end: the new pin must not run into the comment.
        (self.folder / "k/trust/roots.sha256").write_text(f"# {root} was revoked")
        self.encroot("init", "k", "--trust", "root.pem")
        self.assertEqual(self.pins(), [root])

    def test_one_that_only_claims_to_be_self_signed(self):
        """Same names, another key's signature: no root."""
        self.certificate("root")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", "evil.key", "-out", "evil.csr", "-subj", "/CN=root")
        self.openssl("x509", "-req", "-in", "evil.csr", "-CA", "root.pem", "-CAkey", "root.key",
                     "-CAcreateserial", "-out", "evil.pem", "-days", "9")
        self.encroot("init", "k", "--trust", "evil.pem")
        self.assertEqual(self.pins(), [])

    def test_trust_of_what_is_no_certificate(self):
        (self.folder / "note.txt").write_text("hello")
        result = self.encroot("init", "k", "--trust", "note.txt", status=BAD_INPUT)
        self.assertIn("note.txt", result.stderr)
        result = self.encroot("init", "k", "--trust", "missing.pem", status=BAD_INPUT)
        self.assertIn("missing.pem: No such file or directory", result.stderr)
        self.assertEqual(list((self.folder / "k/trust/certificates").iterdir()), [])
        self.assertEqual(self.pins(), [])

    def test_errors_as_json(self):
        (self.folder / "k").write_text("mine")
        result = self.encroot("init", "k", "--json", status=BAD_INPUT)
        report = json.loads(result.stdout)
        self.assertEqual((report["exit"], result.stderr), (BAD_INPUT, ""))
        self.assertIn("expected a folder", report["error"])


class Process(CommandTest):
    def test_what_stdout_did_not_take_is_a_failure(self):
        for arguments in (["--version"], ["help"], ["image", "inspect", "--help"],
                          ["init", "keys"], ["init", "keys", "--json"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([ENCROOT, *arguments], cwd=self.folder, stdout=full,
                                      stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, FAILED, arguments)
            self.assertEqual(done.stderr, "encroot: standard output: No space left on device\n")
        # A failure keeps its own code.
        with open("/dev/full", "w") as full:
            done = subprocess.run([ENCROOT, "image", "inspect", "-i", "missing", "--json"],
                                  cwd=self.folder, stdout=full)
        self.assertEqual(done.returncode, BAD_INPUT)

    def test_no_core_dumps_of_keys(self):
        """K5: nobody of the same user attaches to it, no core is written."""
        r, w = os.pipe()
        with subprocess.Popen([ENCROOT, "evidence", "inspect", f"/dev/fd/{r}"], pass_fds=[r],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            os.close(r)
            self.addCleanup(process.wait)
            limits = ""
            for _ in range(200):  # until it has started and set its limits
                limits = Path(f"/proc/{process.pid}/limits").read_text()
                if re.search(r"Max core file size +0 +0", limits):
                    break
                subprocess.run(["sleep", "0.02"])
            os.close(w)
        self.assertRegex(limits, r"Max core file size +0 +0")


if __name__ == "__main__":
    unittest.main()
