/* DIR/releases.log: one line of JSON for every decision of `encroot unlock`, grant or denial. */
#ifndef ENCROOT_CLI_RELEASE_LOG_H
#define ENCROOT_CLI_RELEASE_LOG_H

#include "broker/release.h"

/*
 * {"time", "id", "volume", "peer", "verdict": "granted"|"denied", "evidence_sha256",
 *  "first_reject"}. `evidence` is the text that --save-evidence writes, so that sha256sum of such
 * a file finds its line; without evidence there is neither that nor a volume. Durable on return
 * (ATTACKS, K1: record first); on failure the file is as it was.
 */
int release_log_append(const char *path, const struct release_record *r, struct bytes evidence,
                       const char *peer, struct error *err) _must_use_;

#endif
