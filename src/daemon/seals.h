/*
 * What is sealed of the store (vault/seal.h): all that the release of a secret depends on, and that
 * an administrator, or the keeper, has set. Who changes it past the broker cannot seal it; then
 * nothing is released by it, and nothing made of it, until an administrator has looked at it.
 *
 *   volume   uuid, name, enabled, approval, rate, window, revision; the SHA-256 of the wrapped
 *            secret, of the effective policy, and of its sources: the owner's policy and all
 *            versions of reference values
 *   request  id, volume, attester, peer, state, expires, who decided
 */
#ifndef ENCROOT_DAEMON_SEALS_H
#define ENCROOT_DAEMON_SEALS_H

#include "base/secret.h"
#include "store/store.h"

/* ---- what an effective policy is made of ---- */
/* In this order: the policy, each version of reference values in order of version, the end, which
 * also frees, in any case. What failed in between the end says. */
struct digest_stream *sources_begin(struct bytes policy);
void sources_add(struct digest_stream *s, const struct store_values *v);
int sources_end(struct digest_stream *s, uint8_t ret[32], struct error *err) _must_use_;

/* ---- seals ---- */
/* `keys`: seal_keys(). Sets `seal`, from all other members that are sealed. */
int volume_seal(struct store_volume *v, const struct secret *keys, struct error *err) _must_use_;
int request_seal(struct store_request *q, const struct secret *keys, struct error *err) _must_use_;
/* -EBADMSG: changed past the broker; -ENOKEY: nobody can say, sealed under another key. */
int volume_check_seal(const struct store_volume *v, const struct secret *keys,
                      struct error *err) _must_use_;
int request_check_seal(const struct store_request *q, const struct secret *keys,
                       struct error *err) _must_use_;
/* The same, and of its effective policy. */
int volume_check_policy(const struct store_volume *v, struct bytes effective,
                        const struct secret *keys, struct error *err) _must_use_;
/* -EBADMSG, and what to do: of the volume, `what` ("its policy was") was changed. */
int volume_not_sealed(const struct store_volume *v, const char *what, struct error *err);

#endif
