/* Who vouches for the platform: a certificate that comes with the token, or a key that is given. */
#include "platform/cca/checks.h"
#include "base/hex.h"

void cca_check_certificate(struct cca_verification *v, const char *name)
{
    const struct cca_key_kinds *kinds = &v->dialect->platform_keys;
    struct error e = {0};
    char expected[256], kind[PUBLIC_KEY_GROUP_MAX];
    snprintf(expected, sizeof(expected), "%s that may sign and is no authority", kinds->text);
    if (v->certificate_file.size == 0) {
        finding_add(v->f, name, VERDICT_REJECT, expected, "no certificate");
        return;
    }
    int r = certificate_parse_known(&v->certificate, v->certificate_file, v->policy->anchors, &e);
    v->platform_key = r == 0 ? certificate_public_key(v->certificate) : NULL;
    if (!v->platform_key) {
        finding_add(v->f, name, VERDICT_REJECT, expected, r < 0 ? e.text : "an unknown key");
        return;
    }
    /* The vendor's authorities issue for other products too: a chain alone says too little. */
    bool usage = certificate_is_signing_leaf(v->certificate);
    bool pass = cca_is_key(v->platform_key, kinds, kind) && usage;
    finding_addf(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT, expected, "%s%s", kind,
                 usage ? "" : ", an authority or not for signatures");
}

/* E1: the chain ends in a root that the operator pinned. */
void cca_check_chain(struct cca_verification *v, const char *name)
{
    static const char expected[] = "a certificate chain to a pinned root";
    struct error e = {0};
    _buffer_ struct buffer subject = {.max = 512};
    if (!v->certificate) {
        finding_add(v->f, name, VERDICT_REJECT, expected, "no usable certificate");
        return;
    }
    int r = certificate_verify_chain(v->certificate, v->policy->anchors, &v->policy->chain, &e);
    if (r == 0)
        certificate_remember(v->policy->anchors, v->certificate_file, v->certificate);
    if (certificate_subject(v->certificate, &subject) < 0)
        subject.size = 0;
    finding_addf(v->f, name, r == 0 ? VERDICT_PASS : VERDICT_REJECT, expected, "%.*s%s%s",
                 (int)subject.size, (const char *)subject.data, r < 0 ? ": " : "",
                 r < 0 ? e.text : "");
    if (r < 0)
        finding_remedy(v->f, "%s",
                       e.hint[0] ? e.hint
                                 : "if this is a genuine machine: install its vendor's root and "
                                   "intermediate certificates, and pin the root's SHA-256");
}

/*
 * The vendor's authorities certify keys of other products, too: whoever has such a key could play a
 * platform. So the policy says which subjects or keys are attestation keys, or waives to know.
 */
void cca_check_pins(struct cca_verification *v, const char *name)
{
    const struct platform_policy *p = v->policy;
    uint8_t hash[32] = {0};
    char hex[65] = "", found[640] = "no usable certificate";
    _buffer_ struct buffer subject = {.max = 512};
    bool known = v->certificate && certificate_spki_sha256(v->certificate, hash) == 0 &&
                 certificate_subject(v->certificate, &subject) == 0;
    hex_encode(BYTES_OF(hash), hex);
    if (known)
        snprintf(found, sizeof(found), "%.*s, key %s", (int)subject.size,
                 (const char *)subject.data, hex);
    bool pinned = p->subjects.count + p->keys.count > 0;
    if (!pinned && waives(p->waivers, WAIVER_ATTESTATION_KEY)) {
        finding_waive(v->f, name, WAIVER_ATTESTATION_KEY, "%s", found);
        return;
    }
    bool pass = known && pinned &&
                (p->subjects.count == 0 || value_is_in(&p->subjects, buffer_bytes(&subject))) &&
                (p->keys.count == 0 || value_is_in(&p->keys, BYTES_OF(hash)));
    finding_add(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT,
                "a subject or key that the policy names", found);
    if (!pass)
        finding_remedy(v->f, "if this is the machine's attestation key: add its subject to "
                             "\"subjects\" or its SHA-256 to \"keys\" of the policy's \"trust\"");
}

/* E4: the policy must allow that there is no platform token. */
void cca_check_token_required(struct cca_verification *v, const char *name)
{
    if (waives(v->policy->waivers, WAIVER_PLATFORM_TOKEN)) {
        finding_waive(v->f, name, WAIVER_PLATFORM_TOKEN, "none");
        return;
    }
    finding_add(v->f, name, VERDICT_REJECT, "a platform token", "none");
    finding_remedy(v->f, "someone took the platform token away; or, if the platform's firmware "
                         "gives none: add \"platform-token\" to the policy's \"waive\"");
}

void cca_check_given_key(struct cca_verification *v, const char *name)
{
    const struct cca_key_kinds *kinds = &v->dialect->platform_keys;
    char kind[PUBLIC_KEY_GROUP_MAX];
    bool pass = v->platform_key && cca_is_key(v->platform_key, kinds, kind);
    finding_add(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT, kinds->text,
                v->platform_key ? kind : "none");
}
