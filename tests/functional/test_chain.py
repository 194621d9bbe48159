"""Certificate chains and revocation lists that OpenSSL's command line made: an independent issuer.

forge-evidence makes the evidence; its attestation key gets another certificate, from authorities
of each kind, and `encroot init --trust` installs those.
"""
import base64
import json
import subprocess
import unittest

from program import BAD_INPUT, ENCROOT, REFUSED, CommandTest

FORGE = ENCROOT.parent / "tests" / "functional" / "forge-evidence"
SM2_ID = "distid:1234567812345678"  # GM/T 0009
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
LEAF = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"


class Authorities(CommandTest):
    """root → intermediate → the attestation key, in files of these names."""

    KINDS = {
        "ec": (["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], ["-sha384"]),
        "rsa": (["RSA", "-pkeyopt", "rsa_keygen_bits:3072"], ["-sha256"]),
        "rsa-pss": (["RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
                    ["-sha256", "-sigopt", "rsa_padding_mode:pss"]),
        "sm2": (["SM2"], ["-sm3", "-sigopt", SM2_ID]),
    }

    def make(self, kind):
        self.kind = kind
        (self.folder / "ca.ext").write_text(AUTHORITY)
        (self.folder / "leaf.ext").write_text(LEAF)
        for name in ("root", "intermediate", "stranger"):
            self.openssl("genpkey", "-algorithm", *self.KINDS[kind][0], "-out", f"{name}.key")
        self.issue("root", None)
        self.issue("intermediate", "root")
        self.rim = subprocess.run([FORGE, self.folder], check=True, capture_output=True,
                                  text=True).stdout.strip()
        self.certify()

    def issue(self, name, issuer, extensions="ca.ext", public=None, subject=None):
        if public is None:
            public = f"{name}.pub"
            self.openssl("pkey", "-in", f"{name}.key", "-pubout", "-out", public)
        by = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-force_pubkey", public] \
            if issuer else ["-key", f"{name}.key"]
        self.openssl("x509", "-new", "-subj", f"/O=Vendor/CN={subject or name}", *by, *self.KINDS[self.kind][1],
                     "-extfile", extensions, "-days", "9", "-out", f"{name}.pem")

    def certify(self):
        """Another certificate of the key in the evidence, into the evidence."""
        evidence = json.loads((self.folder / "evidence.json").read_text())
        (self.folder / "old.pem").write_bytes(base64.b64decode(evidence["certificate"]))
        (self.folder / "aik.pub").write_text(
            self.openssl("x509", "-in", "old.pem", "-noout", "-pubkey"))
        self.issue("aik", "intermediate", "leaf.ext", "aik.pub")
        evidence["certificate"] = base64.b64encode((self.folder / "aik.pem").read_bytes()).decode()
        (self.folder / "evidence.json").write_text(json.dumps(evidence))

    def list_of(self, issuer, *revoked, form="PEM"):
        """A revocation list of `issuer`, by `openssl ca`: the file's name."""
        (self.folder / "index.txt").write_text("")
        (self.folder / "crlnumber").write_text("01\n")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\ncrlnumber = crlnumber\n"
            "default_md = default\ndefault_crl_days = 9\n")
        common = ["ca", "-config", "ca.cnf", "-cert", f"{issuer}.pem", "-keyfile",
                  f"{issuer}.key", "-md", self.KINDS[self.kind][1][0][1:],
                  *self.KINDS[self.kind][1][1:]]
        for name in revoked:
            self.openssl(*common, "-revoke", f"{name}.pem", "-crl_reason", "keyCompromise")
        self.openssl(*common, "-gencrl", "-out", "list.pem")
        name = f"{issuer}-{'-'.join(revoked)}.crl"
        self.openssl("crl", "-in", "list.pem", "-outform", form, "-out", name)
        return name

    def trust(self, *files, folder="k", **options):
        named = [word for file in files for word in ("--trust", file)]
        return self.encroot("init", folder, *named, **options)

    def appraise(self, folder="k"):
        """The findings that reject."""
        done = subprocess.run([ENCROOT, "evidence", "appraise", "evidence.json", "-m", self.rim,
                               "-f", "hash.json", "-d", folder, "--json"], cwd=self.folder,
                              capture_output=True, text=True, timeout=60)
        rejected = [f for f in json.loads(done.stdout)["findings"] if f["verdict"] == "reject"]
        self.assertEqual(done.returncode, REFUSED if rejected else 0, done.stderr)
        return rejected

    def assert_revoked(self, folder, text):
        finding, = self.appraise(folder)
        self.assertEqual(finding["check"], "token.platform.chain")
        self.assertIn(text, finding["found"])


class Chains(Authorities):
    def check(self, kind):
        self.make(kind)
        self.trust("root.pem", "intermediate.pem")
        self.assertEqual(self.appraise(), [])
        self.trust(self.list_of("intermediate"), self.list_of("root"))
        self.assertEqual(self.appraise(), [])
        for number, (issuer, revoked) in enumerate((("intermediate", "aik"),
                                                    ("root", "intermediate"))):
            folder = f"k-{revoked}"
            self.trust("root.pem", "intermediate.pem",
                       self.list_of(issuer, revoked, form="DER" if number else "PEM"), folder=folder)
            serial = self.openssl("x509", "-in", f"{revoked}.pem", "-noout", "-serial")
            self.assert_revoked(folder, f"certificate {number} of the chain was revoked: "
                                        f'"CN={revoked},O=Vendor", serial number '
                                        f'{serial.strip().split("=")[1]}, by "CN={issuer},O=Vendor"')

    def test_ec(self):
        self.check("ec")

    def test_rsa(self):
        self.check("rsa")

    def test_rsa_pss(self):
        self.check("rsa-pss")

    def test_sm2(self):
        self.check("sm2")


class Lists(Authorities):
    """What `encroot init --trust` takes for a list."""

    def refuse(self, file, *texts):
        before = self.contents()
        result = self.trust(file, status=BAD_INPUT)
        for text in (file, *texts):
            self.assertIn(text, result.stderr)
        self.assertEqual(self.contents(), before)

    def setUp(self):
        super().setUp()
        self.make("ec")
        self.trust("root.pem")

    def test_its_authority_comes_first(self):
        name = self.list_of("intermediate", "aik")
        self.refuse(name, '"CN=intermediate,O=Vendor"', "install the authority's certificate first")
        self.trust("intermediate.pem", name)
        self.assert_revoked("k", "was revoked")

    def test_one_signed_by_another_key(self):
        self.trust("intermediate.pem")
        self.issue("stranger", None, subject="intermediate")  # with the name of the real one
        self.refuse(self.list_of("stranger", "aik"), '"CN=intermediate,O=Vendor"',
                    "did not sign it")
        self.assertEqual(self.appraise(), [])

    def test_whatever_it_is_called(self):
        name = self.list_of("root", "intermediate")
        for new in ("list.txt", "list.pem"):
            (self.folder / new).write_bytes((self.folder / name).read_bytes())
            self.assertRegex(self.trust(new).stdout, r"k/trust/certificates/[0-9a-f]{16}\.crl  "
                                                     r"\(revocation list\)")
        copies = list((self.folder / "k/trust/certificates").glob("*.crl"))
        self.assertEqual(len(copies), 1)
        self.assertEqual(copies[0].read_bytes(), (self.folder / name).read_bytes())

    def test_again_changes_nothing(self):
        name = self.list_of("root")
        self.trust(name)
        before = self.contents()
        self.trust(name)
        self.assertEqual(self.contents(), before)

    def test_what_is_no_list(self):
        (self.folder / "note.crl").write_text("hello")
        self.refuse("note.crl", "not a revocation list in PEM or DER")
        (self.folder / "root.crl").write_bytes((self.folder / "root.pem").read_bytes())
        self.refuse("root.crl", '"CERTIFICATE" is not a plain X509 CRL')

    def test_one_with_a_digest_that_is_too_weak(self):
        self.KINDS = {"ec": (self.KINDS["ec"][0], ["-sha1"])}
        self.refuse(self.list_of("root"), "too weak")


if __name__ == "__main__":
    unittest.main()
