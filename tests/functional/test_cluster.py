"""Three brokers on one PostgreSQL: they make one chain, and one of them may go at any time."""

import time
import unittest

from broker import BrokerTest, Broker, figures, finish, load, until
from postgres import PostgresServer


class Cluster(BrokerTest):
    def setUp(self):
        super().setUp()
        self.server = PostgresServer()
        self.addCleanup(self.server.remove)
        self.brokers = [Broker(self.owner, name, store=self.server.url) for name in "abc"]
        for broker in self.brokers:
            broker.start(wait=False)  # all make the schema at once
        for broker in self.brokers:
            broker.wait_ready()
        self.volume = self.owner.new_volume(self.brokers[0])

    def test_one_chain_of_three_brokers(self):
        result = load(self.brokers, [self.volume], "--clients", 8, "--count", 60)
        self.assertEqual((result["released"], result["attempts"]), (60, 60))
        records = self.assert_whole(self.brokers[1], granted=60)
        self.assertEqual({r["broker"] for r in records}, {"a", "b", "c"})

    def test_an_edited_column_is_found(self):
        load(self.brokers, [self.volume], "--clients", 1, "--count", 3)
        self.assert_columns_are_verified(self.brokers[1], self.server.psql)

    def test_one_is_killed_under_load(self):
        running = load(self.brokers, [self.volume], "--clients", 8, "--seconds", 600, wait=False)
        until("they work", lambda: self.brokers[0].released() > 5)
        self.brokers[0].kill()
        before = self.brokers[1].released()
        until("the others go on", lambda: self.brokers[1].released() > before + 30)
        result = finish(running)
        self.assertEqual((result["denied"], result["failed"], result["unavailable"]), (0, 0, 0))
        self.assertGreater(result["attempts"], result["released"], "nobody noticed?")
        records = self.assert_whole(self.brokers[1])
        granted = sum(r["verdict"] == "granted" for r in records)
        # each release is on record; of what was recorded, the killed one may have kept some
        self.assertGreaterEqual(granted, result["released"])
        self.assertLessEqual(granted - result["released"], 8)
        self.assertNotIn("a", {r["broker"] for r in records[-10:]})

    def test_the_database_stops_and_comes_back(self):
        self.assertEqual(load(self.brokers, [self.volume], "--clients", 3, "--count",
                              9)["released"], 9)
        self.server.stop()
        result = load(self.brokers, [self.volume], "--clients", 3, "--count", 9, "--patience", 0)
        self.assertEqual(result["unavailable"], 9, result)
        self.assertIn("status 503", result["last_failure"])
        for broker in self.brokers:
            until("it says so", lambda b=broker: b.monitor("/healthz")[0] == 503)
        waiting = load(self.brokers, [self.volume], "--clients", 3, "--count", 9, "--patience",
                       120, wait=False)
        time.sleep(1)
        self.server.start()
        self.assertEqual(figures(waiting)["released"], 9)
        for broker in self.brokers:
            broker.wait_ready()
        self.assert_whole(self.brokers[2], granted=18)

    def test_the_database_hangs(self):
        self.server.pause()
        self.addCleanup(self.server.resume)
        result = load(self.brokers, [self.volume], "--clients", 2, "--count", 2, "--patience", 0)
        self.assertEqual(result["unavailable"], 2, result)
        self.server.resume()
        for broker in self.brokers:
            broker.wait_ready()
        self.assertEqual(load(self.brokers, [self.volume], "--clients", 2, "--count",
                              6)["released"], 6)
        self.assert_whole(self.brokers[0])

    def test_what_one_changes_holds_for_all(self):
        self.assertEqual(load(self.brokers, [self.volume], "--clients", 3, "--count",
                              6)["released"], 6)
        self.brokers[2].encroot("volume", "disable", self.volume)
        result = load(self.brokers, [self.volume], "--clients", 3, "--count", 6)
        self.assertEqual(result["denied"], 6)

    def test_seals_hold_for_all(self):
        """Made by one, checked by the others; and a change in the database is found by each."""
        self.assertEqual(load(self.brokers, [self.volume], "--clients", 3, "--count",
                              6)["released"], 6)
        self.server.psql("UPDATE encroot.volume SET rate_count = 1000, rate_seconds = 1")
        for broker in self.brokers:
            result = load([broker], [self.volume], "--clients", 1, "--count", 1)
            self.assertEqual(result["denied"], 1)
            shown = broker.encroot("audit", "show", result["last_refusal"]).stdout
            self.assertIn("volume.seal", shown)
        self.brokers[1].encroot("volume", "seal", self.volume, "--yes")
        self.assertEqual(load(self.brokers, [self.volume], "--clients", 3, "--count",
                              6)["released"], 6)


if __name__ == "__main__":
    unittest.main()
