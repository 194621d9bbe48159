/* What a guest sends: good evidence, forged in every way that forgery.h knows, and spoilt. */
#include "../functional/forgery.h"
#include "corpus.h"

#include <err.h>

#define GOOD "good" /* of this one, inputs with a defect are made, too */

/* Every part of a guest's evidence, with every defect, goes through one of these. */
typedef void put_part(struct corpus *c, const char *name, const struct evidence *e);

static void put_forged(struct corpus *c, enum forgery_kind kind, const char *defect, const char *as,
                       put_part *put)
{
    struct forgery f;
    _evidence_ struct evidence e = {0};
    forgery_begin_as(&f, kind);
    if (defect)
        forgery_apply(&f, defect);
    forgery_evidence(&f, &e);
    put(c, as, &e);
    forgery_end(&f);
}

static void put_all(struct corpus *c, put_part *put)
{
    put_forged(c, FORGERY_P521, NULL, GOOD, put);
    for (size_t i = 0; forgery_defect_name(i); i++)
        put_forged(c, FORGERY_P521, forgery_defect_name(i), forgery_defect_name(i), put);
}

/* ---- token ---- */

static void put_token(struct corpus *c, const char *name, const struct evidence *e)
{
    if (strcmp(name, GOOD) == 0)
        corpus_bytes(c, name, buffer_bytes(&e->token));
    else
        corpus_put(c, name, buffer_bytes(&e->token));
}

void seeds_token(struct corpus *c)
{
    put_all(c, put_token);
    put_forged(c, FORGERY_RSA, NULL, "rsa", put_token);
    put_forged(c, FORGERY_RSA_ALONE, NULL, "rsa-alone", put_token);
}

/* ---- event log ---- */

static void put_log(struct corpus *c, const char *name, const struct evidence *e)
{
    if (strcmp(name, GOOD) == 0)
        corpus_bytes(c, name, buffer_bytes(&e->event_log));
    else
        corpus_put(c, name, buffer_bytes(&e->event_log));
}

static void put_boot(struct corpus *c, const char *name, size_t record, const struct boot *b,
                     enum event_log_format format)
{
    char full[64];
    _buffer_ struct buffer log = {0};
    snprintf(full, sizeof(full), "%s-%zu", name, record);
    write_log(b, format, &log);
    corpus_put(c, full, buffer_bytes(&log));
}

/* Each record of a good boot left out, doubled, and changed in turn. */
static void put_records(struct corpus *c, enum event_log_format format)
{
    for (size_t i = 0; i < good.count; i++) {
        struct boot b = good;
        drop(&b, i);
        put_boot(c, "without", i, &b, format);
        b = good;
        insert(&b, i, good.records[i]);
        put_boot(c, "double", i, &b, format);
        b = good;
        drop(&b, i);
        insert(&b, (i + 1) % good.count, good.records[i]);
        put_boot(c, "moved", i, &b, format);
        b = good;
        b.records[i].index ^= 1;
        put_boot(c, "elsewhere", i, &b, format);
    }
}

static void put_log_of_three_banks(struct corpus *c)
{
    static const enum hash_alg algs[] = {HASH_SHA1, HASH_SHA256, HASH_SHA384};
    _buffer_ struct buffer log = {0};
    writer_begin_algs(&log, algs, ARRAY_SIZE(algs));
    writer_le32(&log, 4);
    writer_le32(&log, EV_SEPARATOR);
    writer_le32(&log, ARRAY_SIZE(algs));
    for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
        struct digest d;
        struct error e = {0};
        must(digest_compute(&d, algs[i], BYTES("\0\0\0\0", 4)), &e);
        writer_le16(&log, (uint16_t)algs[i]);
        writer_put(&log, d.bytes, d.size);
    }
    writer_le32(&log, 4);
    writer_put(&log, "\0\0\0\0", 4);
    corpus_bytes(c, "banks", buffer_bytes(&log));
}

void seeds_eventlog(struct corpus *c)
{
    put_all(c, put_log);
    put_records(c, EVENT_LOG_TCG2);
    put_log_of_three_banks(c);
}

/* The first byte is the format. */
void seeds_boot(struct corpus *c)
{
    static const uint8_t tcg2 = EVENT_LOG_TCG2, ccel = EVENT_LOG_CCEL;
    c->prefix = BYTES(&tcg2, 1);
    put_all(c, put_log);
    put_records(c, EVENT_LOG_TCG2);
    c->prefix = BYTES(&ccel, 1);
    put_boot(c, "ccel", 0, &good, EVENT_LOG_CCEL);
}

/* ---- certificate ---- */

static void put_certificate(struct corpus *c, const char *name, X509 *certificate)
{
    char pem_name[64];
    _buffer_ struct buffer der = {0};
    _buffer_ struct buffer pem = {0};
    struct error e = {0};
    must(certificate_encode(certificate, false, &der, &e), &e);
    must(certificate_encode(certificate, true, &pem, &e), &e);
    snprintf(pem_name, sizeof(pem_name), "%s-pem", name);
    corpus_bytes(c, name, buffer_bytes(&der));
    corpus_lines(c, pem_name, buffer_bytes(&pem));
}

void seeds_certificate(struct corpus *c)
{
    struct chain chain;
    if (chain_make(&chain, "Seed", EVP_RSA_gen(2048)) < 0)
        errx(1, "making certificates failed");
    put_certificate(c, "root", chain.root);
    put_certificate(c, "intermediate", chain.intermediate);
    put_certificate(c, "aik", chain.aik);
    chain_free(&chain);
}

/* ---- the whole ---- */

static void put_json(struct corpus *c, const char *name, const struct evidence *e)
{
    _buffer_ struct buffer json = {0};
    struct error err = {0};
    must(evidence_format(e, &json, &err), &err);
    if (strcmp(name, GOOD) == 0)
        corpus_json(c, name, buffer_bytes(&json));
    else
        corpus_put(c, name, buffer_bytes(&json));
}

/* The first byte is the place in fuzz-evidence's documents that the rest is put in. */
void seeds_evidence(struct corpus *c)
{
    static const char *const values[] = {"",
                                         "1",
                                         "virtcca",
                                         "AAAA",
                                         "AAA=",
                                         "AA==",
                                         "A",
                                         "\"format\":\"ccel\",\"data\":\"AA==\"",
                                         "abababab-abab-abab-abab-abababababab"};
    uint8_t place = 0;
    c->prefix = BYTES(&place, 1);
    put_all(c, put_json);
    for (place = 1; place < 8; place++)
        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
            char name[32];
            snprintf(name, sizeof(name), "place-%u-%zu", place, i);
            corpus_put(c, name, BYTES_STR(values[i]));
        }
}

void seeds_release(struct corpus *c)
{
    put_all(c, put_json);
}
