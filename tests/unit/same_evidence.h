/*
 * When is evidence the same as other evidence, for the purpose of trust? When nothing differs that
 * is signed, or that an appraisal believes because it fits what is signed:
 *
 *  1. token: the signed bytes (Sig_structure, RFC 9052, 4.4) of each part are the same, and so are
 *     the parts that are there. Not the signatures: another valid one says the same. Not the
 *     unsigned envelope, whose two entries may come in either order;
 *  2. certificate: the same DER. Not its file: PEM's line breaks and text before it are nobody's;
 *  3. log: the format, and per register the sequence of digests that extend it. Not what extends
 *     nothing (PCR 0, PCR 10, EV_NO_ACTION), nor the header's and the end's unused bytes, nor
 *     other banks;
 *  4. texts of the log that decide something: of what GRUB ran (PCR 8) all, of files that it read
 *     (PCR 9) the path on its filesystem; the NUL that ends either does not count. Data of other
 *     records are shown only, or are fixed by their digest; types and PCRs are not covered by any
 *     digest (E13), and only texts of the same register may decide;
 *  5. the platform's name, whose driver reads all this.
 *
 * The volume is a request, no evidence: the release handler compares it. The challenge in a saved
 * file is the reader's note.
 */
#ifndef ENCROOT_TESTS_SAME_EVIDENCE_H
#define ENCROOT_TESTS_SAME_EVIDENCE_H

#include "boot_log.h"
#include "crypto/x509.h"
#include "protocol/evidence.h"
#include "token/cca.h"

static inline bool same_statement(const struct cose_sign1 *a, const struct cose_sign1 *b)
{
    _buffer_ struct buffer x = {0}, y = {0};
    return cose_sign1_tbs(a->protected, a->payload, &x) == 0 &&
           cose_sign1_tbs(b->protected, b->payload, &y) == 0 &&
           bytes_equal(buffer_bytes(&x), buffer_bytes(&y));
}

static inline bool same_token(struct bytes a, struct bytes b)
{
    struct cca_token x, y;
    return cca_token_parse(&x, a, NULL) == 0 && cca_token_parse(&y, b, NULL) == 0 &&
           same_statement(&x.cvm_sign1, &y.cvm_sign1) && x.has_platform == y.has_platform &&
           (!x.has_platform || same_statement(&x.platform_sign1, &y.platform_sign1));
}

static inline bool same_certificate(struct bytes a, struct bytes b)
{
    _x509_ X509 *x = NULL, *y = NULL;
    uint8_t p[32], q[32];
    return certificate_parse(&x, a, NULL) == 0 && certificate_parse(&y, b, NULL) == 0 &&
           certificate_sha256(x, p) == 0 && certificate_sha256(y, q) == 0 &&
           memcmp(p, q, sizeof(p)) == 0;
}

/* Rule 4; empty for records whose data decide nothing. */
static inline struct bytes deciding_text(const struct event *e)
{
    struct bytes text = e->data;
    if (e->type != EV_IPL || (e->index != 8 && e->index != 9))
        return BYTES_NONE;
    if (text.size > 0 && text.data[text.size - 1] == '\0')
        text.size--;
    const uint8_t *close = memchr(text.data, ')', text.size);
    if (e->index == 9 && text.size > 0 && text.data[0] == '(' && close) {
        text.size -= (size_t)(close + 1 - text.data);
        text.data = close + 1;
    }
    return text;
}

/* The next record from `*i` on that extends `target`; NULL behind the last. */
static inline const struct event *next_of(const struct event_log *l, int8_t target, size_t *i)
{
    while (*i < l->count) {
        const struct event *e = &l->events[(*i)++];
        if (e->type != EV_NO_ACTION && e->index < ARRAY_SIZE(cca_map) &&
            cca_map[e->index] == target)
            return e;
    }
    return NULL;
}

static inline bool same_register(const struct event_log *a, const struct event_log *b,
                                 int8_t target)
{
    size_t i = 0, j = 0;
    const struct event *x, *y;
    do {
        x = next_of(a, target, &i);
        y = next_of(b, target, &j);
        if (x && y &&
            (!digest_equal(&x->digest, &y->digest) ||
             !bytes_equal(deciding_text(x), deciding_text(y))))
            return false;
    } while (x && y);
    return x == y;
}

static inline bool same_log(struct bytes a, struct bytes b)
{
    _event_log_ struct event_log x = {0}, y = {0};
    bool same = event_log_parse(&x, a, HASH_SHA256, NULL) == 0 &&
                event_log_parse(&y, b, HASH_SHA256, NULL) == 0;
    for (int8_t target = 1; target <= CCA_REGISTERS; target++)
        same = same && same_register(&x, &y, target);
    return same;
}

/* NULL if the two (with logs in EVENT_LOG_TCG2) are the same, else the part that differs. */
static inline const char *evidence_differs(const struct evidence *a, const struct evidence *b)
{
    return strcmp(a->platform, b->platform) != 0                           ? "platform"
           : !same_token(buffer_bytes(&a->token), buffer_bytes(&b->token)) ? "token"
           : !same_certificate(buffer_bytes(&a->certificate), buffer_bytes(&b->certificate))
               ? "certificate"
           : a->log_format != b->log_format                                      ? "log format"
           : !same_log(buffer_bytes(&a->event_log), buffer_bytes(&b->event_log)) ? "event log"
                                                                                 : NULL;
}

#endif
