/* A broker's store and key, with volumes, in the scratch folder; and the whole of its audit. */
#ifndef ENCROOT_TESTS_BROKER_STORE_H
#define ENCROOT_TESTS_BROKER_STORE_H

#include "scratch.h"
#include "broker/audit.h"
#include "daemon/decide_volume.h"
#include "crypto/digest.h"
#include "daemon/seals.h"
#include "vault/seal.h"

#include <sqlite3.h>

#define STORE_FILE "broker.db"
#define STORE_URL "sqlite:" STORE_FILE
#define KEK_FILE "vault.kek"
#define STORE_NOW ((time_t)1800000000)

struct broker_store {
    struct store *store;
    struct kek_ring ring;
    struct secret *seals;
};

static inline void broker_store_open(struct broker_store *b)
{
    struct error err = {0};
    const struct store_options options = {.migrate = true};
    if (access(KEK_FILE, F_OK) < 0)
        assert_ok(kek_create_file(KEK_FILE, &err));
    assert_ok(kek_open(&b->ring.keys[0], "file:" KEK_FILE, &err));
    b->ring.count = 1;
    b->seals = seal_keys(&b->ring);
    assert_non_null(b->seals);
    assert_ok(store_open(&b->store, STORE_URL, &options, &err));
}

static inline void broker_store_close(struct broker_store *b)
{
    store_close(b->store);
    secret_free(b->seals);
    kek_ring_close(&b->ring);
    *b = (struct broker_store){0};
}

static inline void broker_store_remove(void)
{
    static const char *const files[] = {STORE_FILE, STORE_FILE "-wal", STORE_FILE "-shm", KEK_FILE};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        unlink(files[i]);
}

/* The secret of every volume here: its first byte is the UUID's. */
static inline struct secret *volume_secret(uint8_t n)
{
    struct secret *s = secret_new(VOLUME_SECRET_SIZE);
    assert_non_null(s);
    memset(secret_data(s), 0x5e, VOLUME_SECRET_SIZE);
    secret_data(s)[0] = n;
    return s;
}

static inline void volume_uuid(uint8_t ret[16], uint8_t n)
{
    memset(ret, 0xab, 16);
    ret[0] = n;
}

static inline void broker_store_seal(struct broker_store *b, struct store_volume *v,
                                     struct bytes effective)
{
    struct error err = {0};
    assert_ok(digest_sha256(effective, v->effective_sha256, &err));
    assert_ok(volume_seal(v, b->seals, &err));
}

/* `like`: approval, rate, window and enabled; named "volume-N". */
static inline void broker_store_add(struct broker_store *b, uint8_t n, struct store_volume like,
                                    struct bytes policy)
{
    struct error err = {0};
    _secret_ struct secret *secret = volume_secret(n);
    volume_uuid(like.uuid, n);
    snprintf(like.name, sizeof(like.name), "volume-%u", n);
    like.revision = 1;
    assert_ok(kek_wrap(&b->ring, like.uuid, secret, &like.wrapped, &err));
    broker_store_seal(b, &like, policy);
    assert_ok(store_begin(b->store, &err));
    assert_ok(store_volume_add(b->store, &like, policy, policy, &err));
    assert_ok(store_commit(b->store, &err));
    store_volume_free(&like);
}

/* As the administration does. */
static inline void broker_store_set_policy(struct broker_store *b, uint8_t n, struct bytes policy,
                                           struct bytes effective)
{
    struct error err = {0};
    _store_volume_ struct store_volume v = {0};
    uint8_t uuid[16];
    volume_uuid(uuid, n);
    assert_ok(store_begin(b->store, &err));
    assert_ok(store_volume_get(b->store, uuid, &v, &err));
    v.revision++;
    broker_store_seal(b, &v, effective);
    assert_ok(store_policy_set(b->store, &v, policy, effective, &err));
    assert_ok(store_commit(b->store, &err));
}

/* A secret that does not open, with a seal. */
static inline void broker_store_set_wrapped(struct broker_store *b, uint8_t n, struct bytes wrapped)
{
    struct error err = {0};
    struct store_volume v = {0};
    uint8_t uuid[16];
    volume_uuid(uuid, n);
    assert_ok(store_begin(b->store, &err));
    assert_ok(store_volume_get(b->store, uuid, &v, &err));
    _buffer_ struct buffer old = v.wrapped;
    v.wrapped = (struct buffer){.data = (uint8_t *)(uintptr_t)wrapped.data, .size = wrapped.size};
    assert_ok(volume_seal(&v, b->seals, &err));
    assert_ok(store_volume_rewrap(b->store, uuid, buffer_bytes(&old), wrapped, v.seal, &err));
    assert_ok(store_commit(b->store, &err));
}

static inline uint64_t broker_store_edition(struct broker_store *b, uint8_t n)
{
    struct error err = {0};
    _store_volume_ struct store_volume v = {0};
    uint8_t uuid[16];
    uint64_t edition = 0;
    volume_uuid(uuid, n);
    assert_ok(store_volume_get(b->store, uuid, &v, &err));
    assert_ok(volume_edition(&v, &edition, &err));
    return edition;
}

/* Walks the chain from its first record: each must follow the one before. Returns how many there
 * are; `each` may look at them. */
static inline uint64_t broker_store_verify(struct broker_store *b,
                                           void (*each)(void *arg, const struct audit_record *r),
                                           void *arg)
{
    struct error err = {0};
    struct audit_state last = {0};
    for (;;) {
        struct store_record list[16] = {0};
        int n = store_audit_list(b->store, last.sequence, false, NULL, list, 16, &err);
        if (n < 0)
            fail_msg("%s", err.text);
        for (int i = 0; i < n; i++) {
            _audit_record_ struct audit_record r = {0};
            assert_ok(audit_parse(&r, buffer_bytes(&list[i].text), "record", &err));
            assert_ok(audit_verify(&last, &r, "record", &err));
            last = audit_state_after(&r);
            if (each)
                each(arg, &r);
            store_record_free(&list[i]);
        }
        if (n == 0)
            return last.sequence;
    }
}

/* Past the store's interface: what a failing or a stolen database is. */
static inline void sqlite_run(const char *sql)
{
    sqlite3 *db;
    char *problem = NULL;
    assert_int_equal(sqlite3_open(STORE_FILE, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    if (sqlite3_exec(db, sql, NULL, NULL, &problem) != SQLITE_OK)
        fail_msg("%s: %s", sql, problem);
    sqlite3_close(db);
}

#endif
