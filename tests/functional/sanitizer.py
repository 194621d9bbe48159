"""A build with sanitizers: what they report, in whichever process, fails the test."""

import atexit
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("ENCROOT_BUILD", TOP / "build"))


# What the search for leaks says of a thread that is killed under its hands.
KILLED = re.compile(r"^==\d+==Unable to get registers from thread \d+\.$", re.MULTILINE)


def is_sanitized():
    try:
        options = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    except OSError:
        return False
    return any(o["name"] == "b_sanitize" and o["value"] != "none" for o in options)


SANITIZED = is_sanitized()

if SANITIZED:
    # Processes hand the environment on. Whoever they run as may write a report.
    REPORTS = Path(tempfile.mkdtemp(prefix="encroot-reports-"))
    REPORTS.chmod(0o1777)
    atexit.register(shutil.rmtree, REPORTS)
    for name, more in (("ASAN_OPTIONS", "detect_leaks=1"), ("UBSAN_OPTIONS", "halt_on_error=1"),
                       ("LSAN_OPTIONS", "print_suppressions=0")):
        os.environ[name] = f"{os.environ.get(name, '')}:log_path={REPORTS}/report:{more}".lstrip(":")


def fail_on_reports(test):
    texts = []
    for path in sorted(REPORTS.iterdir()):
        text = KILLED.sub("", path.read_text(errors="replace"))
        path.unlink()
        if text.strip():  # else it was killed before it could say what it had to
            texts.append(text)
    # UBSan, next to ASan, knows standard error only, which is a broker's log.
    for log in test.folder.rglob("log"):
        if log.is_file():
            texts += [line for line in log.read_text(errors="replace").splitlines()
                      if ": runtime error: " in line]
    if texts:
        test.fail("a sanitizer reports:\n" + "\n".join(texts)[:20000])


def watch(test):
    """To be called in setUp, next to the making of test.folder: other clean-ups come before."""
    if SANITIZED:
        test.addCleanup(fail_on_reports, test)
