"""The broker's status page in a real browser: what it shows, by keyboard, on a phone, in trouble."""

import os
import sqlite3
import time
import unittest
from pathlib import Path

from broker_admin import OTHER, UUID, AdminTest
from browser import ENTER, ESCAPE, TAB, Bridge, Browser

HOSTILE = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
REJECTION = {"check": "boot.kernel", "verdict": "reject", "expected": "sha-256 00aa",
             "found": "sha-256 ff11", "remedy": "encroot image measure"}
PASSED = {"check": "token.signature", "verdict": "pass"}
# Where to keep pictures, for people to look at.
PICTURES = os.environ.get("ENCROOT_PICTURES")


class StatusPage(AdminTest):
    USER = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        super().setUp()
        self.bridge = Bridge(self.folder / "admin.sock", self.USER)
        self.addCleanup(self.bridge.close)
        self.addCleanup(self.browser.open, "about:blank")
        self.browser.size(1200, 900)
        self.browser.scheme("light")
        self.browser.complaints()  # those of the test before

    def fill(self):
        now = int(time.time())
        self.add(name="web-1", approval="manual")
        self.add(OTHER, name="database", rate={"count": 5, "seconds": 3600},
                 not_after="2036-01-01T00:00:00Z")
        self.ask("PATCH", "/v1/volumes/database", {"enabled": False})
        held = {"check": "volume.approval", "verdict": "reject", "expected": "an approval",
                "found": "request 0123 waits for one"}
        denied = {**held, "found": "root (uid 0) denied request 0123"}
        disabled = {"check": "volume.enabled", "verdict": "reject"}
        self.seed(self.record(4, time=now - 7200, findings=[PASSED]),
                  self.record(5, granted=False, volume=UUID, time=now - 300,
                              findings=[PASSED, REJECTION], evidence="{}"),
                  self.record(6, granted=False, volume=OTHER, time=now - 90, findings=[disabled]),
                  self.record(7, granted=False, volume=None, time=now - 60,
                              findings=[{"check": "evidence", "verdict": "reject",
                                         "found": HOSTILE}], peer=HOSTILE),
                  self.record(8, granted=False, time=now - 20, findings=[PASSED, held]),
                  self.record(9, granted=False, time=now - 10, findings=[PASSED, denied]),
                  self.request())

    def open(self):
        """Until all of it is shown, of which the broker's health comes first."""
        self.browser.open(self.bridge.url)
        self.browser.wait("document.querySelector('#refreshed').innerText.startsWith('Read from')")
        self.assertEqual(self.browser.run("return document.querySelector('#health').dataset.state"),
                         "good")

    def hear(self, news):
        """What is announced, which may come after what it is about."""
        self.browser.wait("document.querySelector('#news').textContent.includes(arguments[0])", news)

    def picture(self, name):
        if PICTURES:
            self.browser.screenshot(Path(PICTURES) / f"{name}.png")

    def rows(self, body):
        return self.browser.run("return [...document.querySelectorAll(`#${arguments[0]} > tr`)]"
                                ".filter(r => !r.hidden).map(r => r.innerText)", body)

    def focus(self):
        return self.browser.run("const e = document.activeElement;"
                                "return e.getAttribute('aria-label') || e.textContent")

    def tab_to(self, label):
        for _ in range(60):
            if self.focus() == label:
                return
            self.browser.press(TAB)
        self.fail(f"the keyboard does not reach {label!r}")


class AsAdmin(StatusPage):
    def test_empty(self):
        self.open()
        text = self.browser.text()
        for part in ("broker-1", "Healthy", "No guest waits", "No guest has asked", "No volumes yet"):
            self.assertIn(part, text)
        self.assertEqual(self.browser.complaints(), [])
        self.picture("empty")

    def test_what_is_there(self):
        self.fill()
        self.open()
        self.browser.wait("document.querySelectorAll('#volumes > tr').length === 2")
        volumes = self.rows("volumes")
        self.assertRegex(volumes[0], r"(?s)database.*Disabled.*automatic, at most 5 per hour.*1 of 1.*never")
        self.assertRegex(volumes[1], r"(?s)web-1.*Enabled.*by an operator.*1 of 1.*2 hours ago")
        decisions = self.rows("decisions")
        self.assertEqual(len(decisions), 9)
        self.assertRegex(decisions[0], r"(?s)Refused.*web-1.*denied by an operator")
        del decisions[0]
        self.assertRegex(decisions[0], r"(?s)Held.*web-1.*waits for an operator")
        self.assertRegex(decisions[2], r"(?s)Refused.*database.*the volume is disabled")
        self.assertRegex(decisions[3], r"(?s)Refused.*web-1.*boot\.kernel.*192\.0\.2\.1")
        self.assertRegex(decisions[4], r"(?s)Released.*web-1")
        self.assertRegex(decisions[5], r"(?s)Changed.*database.*settings changed.*volume\.set.*uid 0")
        self.assertRegex(decisions[7], r"(?s)Changed.*web-1.*registered.*volume\.add.*uid 0")
        self.assertIn("record 9", self.browser.text())
        self.assertTrue(self.browser.run("return document.title").startswith("(1) broker-1"))
        self.assertEqual(self.browser.complaints(), [])
        self.picture("desktop-light")
        self.browser.scheme("dark")
        self.picture("desktop-dark")

    def test_a_release_behind_many_refusals_is_not_denied(self):
        now = int(time.time())
        self.add(name="web-1")
        self.seed(self.record(2, time=now - 7200, findings=[PASSED]),
                  *(self.record(n, granted=False, time=now - 60, findings=[PASSED, REJECTION])
                    for n in range(3, 24)))
        self.open()
        self.browser.wait("document.querySelectorAll('#volumes > tr').length === 1")
        self.assertIn("not of late", self.rows("volumes")[0])

    def test_a_volume_changed_past_the_broker(self):
        self.add(name="web-1")
        db = sqlite3.connect(self.folder / "broker.db", isolation_level=None, timeout=60)
        db.execute("UPDATE volume SET rate_count = 9, rate_seconds = 1")
        db.close()
        self.open()
        self.browser.wait("document.querySelectorAll('#volumes > tr').length === 1")
        self.assertRegex(self.rows("volumes")[0], r"(?s)web-1.*Unsealed.*past the broker")

    def test_a_refusal_explained_on_demand(self):
        self.fill()
        self.open()
        self.tab_to("Details of record 5")
        self.browser.press(ENTER)
        self.browser.wait("document.querySelector('#details-5 .finding')")
        text = self.browser.run("return document.querySelector('#details-5').innerText")
        for part in ("sha-256 00aa", "sha-256 ff11", "encroot image measure", "kept",
                     f"{5:032x}", "1 rejected, 1 passed"):
            self.assertIn(part, text)
        self.assertEqual(self.browser.run("return document.querySelector('#details-5').previousSibling"
                                          ".querySelector('button').ariaExpanded"), "true")
        self.picture("details")
        # It stays open, and the focus where it is, while the page refreshes and grows.
        self.seed(self.record(10, granted=False, time=int(time.time()), findings=[REJECTION]))
        self.browser.wait("document.querySelectorAll('#decisions .badge').length === 10")
        self.assertEqual(self.focus(), "Details of record 5")
        self.hear("boot.kernel")
        self.assertTrue(self.browser.run("return !document.querySelector('#details-5').hidden"))
        self.browser.press(ENTER)
        self.assertTrue(self.browser.run("return document.querySelector('#details-5').hidden"))

    def test_refusals_only(self):
        self.fill()
        self.open()
        self.browser.run("document.querySelector('#refusals').focus()")
        self.browser.press(" ")
        self.assertEqual(len(self.rows("decisions")), 5)
        self.assertNotIn("Released", self.browser.run(
            "return document.querySelector('#decisions').innerText"))

    def test_a_change_explained_on_demand(self):
        self.fill()
        self.open()
        self.tab_to("Details of record 3")
        self.browser.press(ENTER)
        self.browser.wait("document.querySelector('#details-3 dl')")
        text = self.browser.run("return document.querySelector('#details-3').innerText")
        self.assertIn('{"enabled":false}', text)
        self.assertNotIn("Evidence", text)
        self.picture("change")

    def test_approval_by_keyboard(self):
        self.fill()
        self.open()
        self.browser.wait("document.querySelectorAll('#requests > li').length === 1")
        self.browser.press(TAB)
        self.assertEqual(self.focus(), "Skip to the content")
        self.tab_to("Approve web-1")
        self.browser.press(ENTER)
        self.browser.wait("document.querySelector('#confirm').open")
        self.assertIn("192.0.2.7", self.browser.run(
            "return document.querySelector('#confirm').innerText"))
        self.assertEqual(self.focus(), "Cancel")
        self.picture("confirm")
        self.browser.press(ESCAPE)  # changed one's mind
        self.browser.wait("!document.querySelector('#confirm').open")
        self.assertEqual(self.get("/v1/requests")["requests"][0]["state"], "pending")
        self.assertEqual(self.focus(), "Approve web-1")
        self.browser.press(ENTER)
        self.browser.wait("document.querySelector('#confirm').open")
        self.browser.press(TAB)
        self.assertEqual(self.focus(), "Approve")
        self.browser.press(ENTER)
        self.browser.wait("document.querySelectorAll('#requests > li').length === 0")
        self.assertEqual(self.get("/v1/requests")["requests"][0]["state"], "approved")
        self.hear("web-1: approved")
        self.assertEqual(self.browser.run("return document.activeElement.id"), "h-requests")

    def test_a_denial(self):
        self.fill()
        self.open()
        self.tab_to("Deny web-1")
        self.browser.press(ENTER)
        self.browser.press(TAB)
        self.assertEqual(self.focus(), "Deny")
        self.browser.press(ENTER)
        self.browser.wait("document.querySelectorAll('#requests > li').length === 0")
        self.assertEqual(self.get("/v1/requests")["requests"][0]["state"], "denied")

    def test_hostile_strings_are_text(self):
        self.fill()
        self.open()
        self.tab_to("Details of record 7")
        self.browser.press(ENTER)
        self.browser.wait("document.querySelector('#details-7 .finding')")
        self.assertIn(HOSTILE, self.browser.run(
            "return document.querySelector('#details-7').textContent"))
        self.assertIsNone(self.browser.run("return window.hacked ?? null"))
        self.assertEqual(self.browser.run("return document.querySelectorAll('img').length"), 0)
        self.assertEqual(self.browser.run("return document.querySelectorAll('script').length"), 1)

    def test_a_phone(self):
        self.fill()
        self.browser.size(320, 640, mobile=True)
        self.open()
        self.browser.wait("document.querySelectorAll('#volumes > tr').length === 2")
        self.tab_to("Details of record 5")
        self.browser.press(ENTER)
        self.browser.wait("document.querySelector('#details-5 .finding')")
        self.assertEqual(self.browser.run("return innerWidth"), 320)
        wide = self.browser.run(
            "return [document.documentElement.scrollWidth, ...[...document.querySelectorAll('main *')]"
            ".filter(e => e.getBoundingClientRect().right > 320.5 && !e.closest('thead, .unseen'))"
            ".map(e => e.outerHTML.slice(0, 80))]")
        self.assertEqual(wide, [320])
        small = self.browser.run(
            "return [...document.querySelectorAll('main button')].filter(e => e.offsetParent && "
            "e.offsetHeight < 32).length")
        self.assertEqual(small, 0)
        self.picture("phone")
        self.browser.scheme("dark")
        self.picture("phone-dark")

    def test_focus_is_seen(self):
        self.fill()
        self.open()
        self.tab_to("Approve web-1")
        style = self.browser.run("const s = getComputedStyle(document.activeElement);"
                                 "return [s.outlineStyle, parseFloat(s.outlineWidth)]")
        self.assertEqual(style, ["solid", 3])

    def test_colours_can_be_read(self):
        self.fill()
        for scheme in ("light", "dark"):
            self.browser.scheme(scheme)
            self.open()
            self.browser.wait("document.querySelectorAll('#volumes > tr').length === 2")
            poor = self.browser.run(CONTRAST)
            self.assertEqual(poor, [], scheme)

    def test_out_of_reach_and_back(self):
        self.fill()
        self.open()
        self.browser.wait("document.querySelectorAll('#volumes > tr').length === 2")
        self.stop()
        self.browser.wait("document.querySelector('#health').innerText === 'Unreachable'")
        text = self.browser.text()
        self.assertIn("cannot be reached", text)
        self.assertIn("web-1", text)  # what was known stays
        self.picture("unreachable")
        self.start()
        self.browser.wait("document.querySelector('#health').innerText === 'Healthy'")
        self.assertNotIn("cannot be reached", self.browser.text())


class AsReader(StatusPage):
    USER = ("--reuid=12345", "--regid=100", "--clear-groups")

    def test_no_buttons_that_would_not_work(self):
        self.fill()
        self.open()
        self.browser.wait("document.querySelectorAll('#requests > li').length === 1")
        text = self.browser.text()
        self.assertIn("reader", text)
        self.assertNotIn("Approve…", text)


class AsNobody(StatusPage):
    USER = ("--reuid=12345", "--regid=54321", "--clear-groups")

    def test_nothing_is_shown(self):
        self.browser.open(self.bridge.url)
        self.assertIn("may not use", self.browser.text())


# Texts whose contrast to what is behind them is below 4.5 (WCAG 2.1, 1.4.3).
CONTRAST = """
const rgb = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => { const f = [r, g, b].map((v) => { v /= 255;
  return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e)
  .backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
const bad = [];
for (const e of document.querySelectorAll('body *')) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  if (!e.offsetParent || e.closest('.unseen, noscript')) continue;
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) bad.push(`${e.textContent.slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return bad;
"""


if __name__ == "__main__":
    unittest.main()
