/* What a store keeps, and gives back: the same list of tests on SQLite and on PostgreSQL. */
#include "stores.h"
#include "base/hex.h"

static struct store *store_of(void **state)
{
    return ((struct fixture *)*state)->s;
}

/* ---- volumes ---- */
static void a_volume_comes_back(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "web.example-1_a");
    _store_volume_ struct store_volume got = {0};
    v.approval = STORE_APPROVAL_MANUAL;
    v.rate_count = UINT32_MAX;
    v.rate_seconds = 3600;
    v.not_before = 100;
    v.not_after = (time_t)1 << 40;
    v.created = 77;
    v.wrapped = TEXT("wra\0pped\xff");
    memset(v.effective_sha256, 0xe0, sizeof(v.effective_sha256));
    memset(v.sources_sha256, 0, sizeof(v.sources_sha256));
    memset(v.seal, 0x5e, sizeof(v.seal));
    time_t before = time(NULL);
    add_volume(s, &v);
    assert_ok(store_volume_get(s, v.uuid, &got, &err));
    assert_memory_equal(got.uuid, v.uuid, 16);
    assert_string_equal(got.name, v.name);
    assert_true(got.enabled);
    assert_int_equal(got.approval, v.approval);
    assert_int_equal(got.rate_count, v.rate_count);
    assert_int_equal(got.rate_seconds, v.rate_seconds);
    assert_int_equal(got.not_before, v.not_before);
    assert_int_equal(got.not_after, v.not_after);
    assert_int_equal(got.revision, 1);
    assert_int_equal(got.created, 77);
    assert_true(got.changed >= before && got.changed <= time(NULL));
    assert_true(bytes_equal(buffer_bytes(&got.wrapped), buffer_bytes(&v.wrapped)));
    assert_memory_equal(got.effective_sha256, v.effective_sha256, 32);
    assert_memory_equal(got.sources_sha256, v.sources_sha256, 32);
    assert_memory_equal(got.seal, v.seal, sizeof(v.seal));
}

static void a_volume_is_found_by_name_or_uuid(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume named = a_volume(1, "one"), unnamed = a_volume(2, "");
    char uuid[UUID_TEXT_SIZE];
    add_volume(s, &named);
    add_volume(s, &unnamed);
    uuid_format(unnamed.uuid, uuid);
    _store_volume_ struct store_volume by_name = {0}, by_uuid = {0}, none = {0};
    assert_ok(store_volume_find(s, "one", &by_name, &err));
    assert_memory_equal(by_name.uuid, named.uuid, 16);
    assert_ok(store_volume_find(s, uuid, &by_uuid, &err));
    assert_string_equal(by_uuid.name, uuid);
    assert_refused(store_volume_find(s, "One", &none, &err), ENOENT, "\"One\"");
    assert_refused(store_volume_find(s, "one' OR '1'='1", &none, &err), ENOENT, "OR");
    assert_refused(store_volume_get(s, (const uint8_t[16]){9}, &none, &err), ENOENT, "09000000-");
}

static int add(struct store *s, const struct store_volume *v, struct error *err)
{
    return store_volume_add(s, v, BYTES_STR("p"), BYTES_STR("e"), err);
}

static void a_taken_name_leaves_the_transaction_whole(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume one = a_volume(1, "one"), same_name = a_volume(2, "one"),
                        same_uuid = a_volume(1, "two"), three = a_volume(3, "three");
    add_volume(s, &one);
    assert_ok(store_begin(s, &err));
    assert_refused(add(s, &same_name, &err), EEXIST, "\"one\"");
    assert_refused(add(s, &same_uuid, &err), EEXIST, "\"two\"");
    assert_ok(add(s, &three, &err));
    snprintf(three.name, sizeof(three.name), "one");
    assert_refused(store_volume_update(s, &three, &err), EEXIST, "\"one\"");
    assert_ok(store_commit(s, &err));
    struct store_volume got[4] = {0};
    assert_int_equal(store_volume_list(s, NULL, got, 4, &err), 2);
    assert_string_equal(got[0].name, "one");
    assert_string_equal(got[1].name, "three");
    store_volume_free(&got[0]);
    store_volume_free(&got[1]);
}

static void names_are_checked(void **state)
{
    static const char *const bad[] = {
        "a b",   "a/b", "a\nb",
        "a'b",   "a;b", "\xc3\xa4",
        "a\xff", "%",   "02020202-0202-0202-0202-020202020202" /* another's */};
    struct store *s = store_of(state);
    struct error err = {0};
    assert_ok(store_begin(s, &err));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct store_volume v = a_volume(1, bad[i]);
        assert_refused(add(s, &v, &err), EINVAL, "the name of a volume");
    }
    struct store_volume longest = a_volume(1, "");
    memset(longest.name, 'x', STORE_NAME_MAX);
    assert_ok(add(s, &longest, &err));
    assert_ok(store_commit(s, &err));
}

static void a_volume_is_updated(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    _store_volume_ struct store_volume got = {0};
    add_volume(s, &v);
    snprintf(v.name, sizeof(v.name), "uno");
    v.enabled = false;
    v.approval = STORE_APPROVAL_MANUAL;
    v.rate_count = 3;
    v.rate_seconds = 60;
    v.not_before = 5;
    v.not_after = 6;
    v.wrapped = TEXT("other");
    memset(v.effective_sha256, 0xe0, sizeof(v.effective_sha256));
    memset(v.seal, 0x5e, sizeof(v.seal));
    assert_ok(store_begin(s, &err));
    assert_ok(store_volume_update(s, &v, &err));
    v.uuid[0] = 9;
    assert_refused(store_volume_update(s, &v, &err), ENOENT, "09010101-");
    assert_ok(store_commit(s, &err));
    assert_ok(store_volume_find(s, "uno", &got, &err));
    assert_false(got.enabled);
    assert_int_equal(got.approval, STORE_APPROVAL_MANUAL);
    assert_true(got.rate_count == 3 && got.rate_seconds == 60);
    assert_true(got.not_before == 5 && got.not_after == 6 && got.revision == 1);
    assert_memory_equal(got.wrapped.data, "wrapped", 7);
    assert_memory_equal(got.seal, v.seal, sizeof(v.seal));
    assert_true(bytes_are_zero(got.effective_sha256, 32)); /* which the policy comes with */
}

static void a_secret_is_rewrapped_once(void **state)
{
    static const uint8_t seal[STORE_SEAL_SIZE] = {1, 2, 3};
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    _store_volume_ struct store_volume got = {0};
    add_volume(s, &v);
    assert_ok(store_begin(s, &err));
    assert_ok(store_volume_rewrap(s, v.uuid, BYTES_STR("wrapped"), BYTES_STR("anew"), seal, &err));
    assert_refused(
        store_volume_rewrap(s, v.uuid, BYTES_STR("wrapped"), BYTES_STR("late"), v.seal, &err),
        ESTALE, "in the meantime");
    assert_refused(
        store_volume_rewrap(s, (const uint8_t[16]){9}, BYTES_NONE, BYTES_NONE, seal, &err), ENOENT,
        "no volume");
    assert_ok(store_commit(s, &err));
    assert_ok(store_volume_get(s, v.uuid, &got, &err));
    assert_true(bytes_equal(buffer_bytes(&got.wrapped), BYTES_STR("anew")));
    assert_memory_equal(got.seal, seal, sizeof(seal));
}

static void volumes_are_listed_in_order(void **state)
{
    static const char *const names[] = {"B", "_", "a", "a.b", "ab", "b", "z-9"}; /* as bytes */
    struct store *s = store_of(state);
    struct error err = {0};
    for (size_t i = ARRAY_SIZE(names); i-- > 0;) {
        struct store_volume v = a_volume((uint8_t)(i + 1), names[i]);
        add_volume(s, &v);
    }
    const char *after = NULL;
    struct store_volume page[3] = {0};
    size_t at = 0;
    for (int n; (n = store_volume_list(s, after, page, 3, &err)) != 0;) {
        assert_true(n > 0);
        for (int i = 0; i < n; i++) {
            assert_string_equal(page[i].name, names[at++]);
            store_volume_free(&page[i]);
        }
        after = names[at - 1];
    }
    assert_int_equal(at, ARRAY_SIZE(names));
    uint64_t count = 0;
    assert_ok(store_volume_count(s, &count, &err));
    assert_int_equal(count, ARRAY_SIZE(names));
}

static void volumes_are_listed_by_uuid(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v[] = {a_volume(0, "c"), a_volume(0x7f, "b"), a_volume(0xff, "a")};
    struct store_volume got[2] = {0};
    for (size_t i = ARRAY_SIZE(v); i-- > 0;)
        add_volume(s, &v[i]);
    assert_int_equal(store_volume_list_by_uuid(s, NULL, got, 2, &err), 2);
    assert_string_equal(got[0].name, "c");
    assert_string_equal(got[1].name, "b");
    store_volume_free(&got[0]);
    store_volume_free(&got[1]);
    assert_int_equal(store_volume_list_by_uuid(s, v[1].uuid, got, 2, &err), 1);
    assert_string_equal(got[0].name, "a");
    store_volume_free(&got[0]);
    assert_int_equal(store_volume_list_by_uuid(s, v[2].uuid, got, 2, &err), 0);
}

static void put_request(struct store *s, const char *id, uint8_t volume, time_t created,
                        time_t expires, enum store_request_state state)
{
    struct error err = {0};
    struct store_request q = {.state = state, .created = created, .expires = expires, .count = 1};
    snprintf(q.id, sizeof(q.id), "%s", id);
    memset(q.volume, volume, sizeof(q.volume));
    assert_ok(store_begin(s, &err));
    assert_ok(store_request_put(s, &q, &err));
    assert_ok(store_commit(s, &err));
}

static void add_values(struct store *s, const uint8_t uuid[16], const char *label,
                       uint32_t expected)
{
    struct error err = {0};
    struct store_values v = {.valid = true, .created = 5, .text = TEXT("{\"a\":1}")};
    uint32_t version = 0;
    snprintf(v.label, sizeof(v.label), "%s", label);
    assert_ok(store_begin(s, &err));
    assert_ok(store_values_add(s, uuid, &v, &version, &err));
    assert_ok(store_commit(s, &err));
    assert_int_equal(version, expected);
}

static void a_removed_volume_takes_all_but_the_audit(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one"), other = a_volume(2, "two");
    struct store_record r = a_record(1, 1, true), got[2] = {0};
    struct store_values values[1];
    struct store_request requests[2];
    add_volume(s, &v);
    add_volume(s, &other);
    add_values(s, v.uuid, "", 1);
    put_request(s, "a", 1, 1, 100, STORE_REQUEST_PENDING);
    put_request(s, "b", 2, 1, 100, STORE_REQUEST_PENDING);
    append(s, &r);
    assert_ok(store_begin(s, &err));
    assert_ok(store_volume_remove(s, v.uuid, &err));
    assert_refused(store_volume_remove(s, v.uuid, &err), ENOENT, "no volume");
    assert_ok(store_commit(s, &err));
    assert_int_equal(store_policy_get(s, v.uuid, NULL, NULL, NULL, &err), -ENOENT);
    assert_int_equal(store_values_list(s, v.uuid, 0, values, 1, &err), 0);
    assert_int_equal(store_request_list(s, true, 0, requests, 2, &err), 1);
    assert_string_equal(requests[0].id, "b");
    assert_int_equal(store_audit_list(s, 0, false, v.uuid, got, 2, &err), 1);
    store_record_free(&got[0]);
    add_volume(s, &v); /* again: its values begin anew, as its policy does */
}

/* ---- policies and reference values ---- */
static void a_policy_has_revisions(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    struct store_volume other = a_volume(9, "other");
    _store_volume_ struct store_volume got = {0};
    _buffer_ struct buffer policy = {0}, effective = {0};
    uint64_t revision = 0;
    add_volume(s, &v);
    assert_ok(store_policy_get(s, v.uuid, &revision, &policy, &effective, &err));
    assert_int_equal(revision, 1);
    assert_true(bytes_equal(buffer_bytes(&policy), BYTES_STR("policy")));
    assert_true(bytes_equal(buffer_bytes(&effective), BYTES_STR("effective")));
    assert_ok(store_begin(s, &err));
    memset(v.effective_sha256, 0xe0, sizeof(v.effective_sha256));
    memset(v.sources_sha256, 0x50, sizeof(v.sources_sha256));
    memset(v.seal, 0x5e, sizeof(v.seal));
    assert_ok(store_policy_set(s, &v, BYTES("\0\xff'", 3), BYTES_NONE, &err));
    assert_refused(store_policy_set(s, &other, BYTES_NONE, BYTES_NONE, &err), ENOENT, "no volume");
    assert_ok(store_commit(s, &err));
    assert_ok(store_volume_get(s, v.uuid, &got, &err));
    assert_memory_equal(got.effective_sha256, v.effective_sha256, 32);
    assert_memory_equal(got.sources_sha256, v.sources_sha256, 32);
    assert_memory_equal(got.seal, v.seal, sizeof(v.seal));
    assert_ok(store_policy_get(s, v.uuid, &revision, &policy, &effective, &err)); /* appended */
    assert_int_equal(revision, 2);
    assert_true(bytes_equal(buffer_bytes(&policy), BYTES("policy\0\xff'", 9)));
    assert_true(bytes_equal(buffer_bytes(&effective), BYTES_STR("effective")));
}

static void the_largest_policy_is_kept(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    _free_ uint8_t *large = malloc(STORE_POLICY_MAX + 1);
    _buffer_ struct buffer got = {0};
    fill_random(large, STORE_POLICY_MAX + 1, 1);
    add_volume(s, &v);
    assert_ok(store_begin(s, &err));
    assert_refused(store_policy_set(s, &v, BYTES(large, STORE_POLICY_MAX + 1), BYTES_NONE, &err),
                   EFBIG, "at most 8388608 bytes, found 8388609");
    assert_ok(store_policy_set(s, &v, BYTES_NONE, BYTES(large, STORE_POLICY_MAX), &err));
    assert_ok(store_commit(s, &err));
    assert_ok(store_policy_get(s, v.uuid, NULL, NULL, &got, &err));
    assert_true(bytes_equal(buffer_bytes(&got), BYTES(large, STORE_POLICY_MAX)));
}

static void values_have_versions(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one"), w = a_volume(2, "two");
    struct store_values got[3] = {0};
    add_volume(s, &v);
    add_volume(s, &w);
    add_values(s, v.uuid, "", 1);
    add_values(s, v.uuid, "kernel 6.1", 2);
    add_values(s, w.uuid, "", 1);
    assert_ok(store_begin(s, &err));
    assert_ok(store_values_set_valid(s, v.uuid, 1, false, &err));
    assert_refused(store_values_set_valid(s, v.uuid, 3, false, &err), ENOENT, "values");
    uint32_t version = 0;
    assert_refused(store_values_add(s, (const uint8_t[16]){9}, &got[0], &version, &err), ENOENT,
                   "no volume");
    assert_ok(store_commit(s, &err));
    assert_int_equal(store_values_list(s, v.uuid, 0, got, 3, &err), 2);
    assert_true(got[0].version == 1 && !got[0].valid && got[0].created == 5);
    assert_true(got[1].version == 2 && got[1].valid);
    assert_string_equal(got[1].label, "kernel 6.1");
    assert_true(bytes_equal(buffer_bytes(&got[1].text), BYTES_STR("{\"a\":1}")));
    buffer_free(&got[0].text);
    buffer_free(&got[1].text);
    assert_int_equal(store_values_list(s, v.uuid, 2, got, 3, &err), 0);
    memset(got, 0, sizeof(got));
    assert_int_equal(store_values_heads(s, v.uuid, 0, got, 3, &err), 2);
    assert_true(got[0].version == 1 && !got[0].valid && got[0].created == 5);
    assert_true(got[1].version == 2 && got[1].valid && !got[1].text.data);
    assert_string_equal(got[1].label, "kernel 6.1");
    assert_int_equal(store_values_heads(s, v.uuid, 1, got, 1, &err), 1);
    assert_int_equal(got[0].version, 2);
}

/* ---- requests ---- */
static void a_request_is_made_and_changed(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    struct store_request q = {.id = "0123456789abcdef0123456789abcdef",
                              .peer = "192.0.2.1 port 1",
                              .created = 1,
                              .seen = 2,
                              .expires = 100,
                              .count = 1};
    struct store_request got = {0};
    memset(q.volume, 1, sizeof(q.volume));
    memset(q.attester, 0xaa, sizeof(q.attester));
    add_volume(s, &v);
    assert_ok(store_begin(s, &err));
    assert_ok(store_request_put(s, &q, &err));
    q.state = STORE_REQUEST_APPROVED;
    q.count = UINT32_MAX;
    q.seen = 9;
    q.expires = 200;
    snprintf(q.decided_by, sizeof(q.decided_by), "uid 1000 (j\xc3\xb6rg)");
    memset(q.seal, 0x5e, sizeof(q.seal));
    assert_ok(store_request_put(s, &q, &err));
    assert_ok(store_commit(s, &err));
    assert_ok(store_request_get(s, q.id, &got, &err));
    assert_string_equal(got.id, q.id);
    assert_memory_equal(got.volume, q.volume, 16);
    assert_memory_equal(got.attester, q.attester, 32);
    assert_string_equal(got.peer, q.peer);
    assert_string_equal(got.decided_by, q.decided_by);
    assert_memory_equal(got.seal, q.seal, sizeof(q.seal));
    assert_true(got.state == STORE_REQUEST_APPROVED && got.count == UINT32_MAX);
    assert_true(got.created == 1 && got.seen == 9 && got.expires == 200);
    assert_refused(store_request_get(s, "none", &got, &err), ENOENT, "\"none\"");
    /* An id cannot be taken over by another guest, and needs a volume. */
    assert_ok(store_begin(s, &err));
    q.attester[0]++;
    assert_refused(store_request_put(s, &q, &err), ENOENT, "another guest");
    snprintf(q.id, sizeof(q.id), "other");
    q.volume[0]++;
    assert_refused(store_request_put(s, &q, &err), ENOENT, "no volume");
    store_rollback(s);
}

static void the_newest_live_request_is_found(void **state)
{
    static const uint8_t attester[STORE_ATTESTER_SIZE], other[STORE_ATTESTER_SIZE] = {1};
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one"), w = a_volume(2, "two");
    struct store_request got = {0}, all[4] = {0};
    add_volume(s, &v);
    add_volume(s, &w);
    put_request(s, "old", 1, 10, 100, STORE_REQUEST_DENIED);
    put_request(s, "new", 1, 20, 100, STORE_REQUEST_PENDING);
    put_request(s, "used", 1, 30, 100, STORE_REQUEST_USED);
    put_request(s, "gone", 1, 40, 50, STORE_REQUEST_PENDING);
    assert_ok(store_request_find(s, v.uuid, attester, 50, &got, &err));
    assert_string_equal(got.id, "new");
    assert_ok(store_request_find(s, v.uuid, attester, 49, &got, &err));
    assert_string_equal(got.id, "gone");
    assert_int_equal(store_request_find(s, v.uuid, attester, 100, &got, &err), -ENOENT);
    assert_int_equal(store_request_find(s, v.uuid, other, 50, &got, &err), -ENOENT);
    assert_int_equal(store_request_find(s, w.uuid, attester, 50, &got, &err), -ENOENT);
    assert_int_equal(store_request_list(s, false, 50, all, 4, &err), 3);
    assert_string_equal(all[0].id, "used");
    assert_string_equal(all[2].id, "old");
    assert_int_equal(store_request_list(s, true, 50, all, 4, &err), 4);
    assert_string_equal(all[0].id, "gone");
    assert_int_equal(store_request_list(s, true, 50, all, 1, &err), 1);
    uint64_t pending = 0;
    assert_ok(store_request_count(s, STORE_REQUEST_PENDING, 50, &pending, &err));
    assert_int_equal(pending, 1);
    assert_ok(store_request_count(s, STORE_REQUEST_PENDING, 49, &pending, &err));
    assert_int_equal(pending, 2);
}

/* ---- the audit ---- */
static void an_empty_chain_has_no_end(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    uint64_t sequence = 9;
    uint8_t hash[32] = {9};
    assert_ok(store_audit_last(s, &sequence, hash, &err));
    assert_true(sequence == 0 && bytes_are_zero(hash, 32));
}

static void a_record_comes_back(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_record r = a_record(1, 7, true), none = a_record(2, 0, false);
    _store_record_ struct store_record got = {0}, second = {0};
    r.text = TEXT("{\"a\":\"\xc3\xa4\"}");
    r.evidence = TEXT("evi\0dence");
    append(s, &r);
    append(s, &none);
    assert_ok(store_audit_find(s, r.id, &got, &err));
    assert_int_equal(got.sequence, 1);
    assert_memory_equal(got.hash, r.hash, 32);
    assert_int_equal(got.time, r.time);
    assert_string_equal(got.id, r.id);
    assert_true(got.granted && got.has_volume);
    assert_memory_equal(got.volume, r.volume, 16);
    assert_true(bytes_equal(buffer_bytes(&got.text), buffer_bytes(&r.text)));
    assert_true(bytes_equal(buffer_bytes(&got.evidence), buffer_bytes(&r.evidence)));
    assert_ok(store_audit_find(s, none.id, &second, &err));
    assert_true(!second.granted && !second.has_volume && second.evidence.size == 0);
    assert_refused(store_audit_find(s, "x", &second, &err), ENOENT, "\"x\"");
}

static void a_chain_has_no_gap_and_no_number_twice(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_record r[5];
    for (size_t i = 0; i < ARRAY_SIZE(r); i++)
        r[i] = a_record(i, 1, false);
    assert_ok(store_begin(s, &err));
    assert_refused(store_audit_append(s, &r[0], &err), EEXIST, "expected record 1");
    assert_refused(store_audit_append(s, &r[2], &err), EINVAL, "expected record 1");
    assert_ok(store_audit_append(s, &r[1], &err));
    assert_ok(store_audit_append(s, &r[2], &err));
    assert_refused(store_audit_append(s, &r[2], &err), EEXIST, "expected record 3");
    assert_refused(store_audit_append(s, &r[1], &err), EEXIST, "found 1");
    assert_refused(store_audit_append(s, &r[4], &err), EINVAL, "a gap");
    assert_int_equal(last(s), 2);
    assert_ok(store_commit(s, &err));
    assert_int_equal(last(s), 2);
    append(s, &r[3]);
    assert_int_equal(last(s), 3);
}

static void a_rollback_leaves_nothing(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_record r = a_record(1, 1, true);
    struct store_volume v = a_volume(1, "one");
    assert_ok(store_begin(s, &err));
    assert_ok(store_audit_append(s, &r, &err));
    assert_ok(add(s, &v, &err));
    assert_int_equal(last(s), 1);
    store_rollback(s);
    store_rollback(s);
    assert_int_equal(last(s), 0);
    assert_int_equal(store_volume_find(s, "one", &v, &err), -ENOENT);
    append(s, &r);
}

static void changes_need_a_transaction(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_record r = a_record(1, 1, true);
    struct store_volume v = a_volume(1, "one");
    assert_refused(store_audit_append(s, &r, &err), EINVAL, "outside of a transaction");
    assert_refused(add(s, &v, &err), EINVAL, "outside of a transaction");
    assert_refused(store_commit(s, &err), EINVAL, "outside of a transaction");
    assert_ok(store_begin(s, &err));
    assert_refused(store_begin(s, &err), EINVAL, "in a transaction");
    store_rollback(s);
    assert_int_equal(last(s), 0);
}

/* The numbers in the list are `first`, `first` + step, ... */
static void assert_listed(struct store *s, uint64_t after, bool newest, const uint8_t *volume,
                          size_t max, int count, uint64_t first, int step)
{
    struct error err = {0};
    struct store_record got[8] = {0};
    assert_int_equal(store_audit_list(s, after, newest, volume, got, max, &err), count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(got[i].sequence, first + (uint64_t)(i * step));
        assert_true(bytes_equal(buffer_bytes(&got[i].text), BYTES_STR("{}")));
        assert_int_equal(got[i].evidence.size, 0);
        store_record_free(&got[i]);
    }
}

static void records_are_listed(void **state)
{
    struct store *s = store_of(state);
    uint8_t odd[16], none[16] = {0};
    memset(odd, 1, sizeof(odd));
    for (uint64_t i = 1; i <= 6; i++) {
        struct store_record r = a_record(i, i % 2 ? 1 : 2, true);
        append(s, &r);
    }
    assert_listed(s, 0, false, NULL, 8, 6, 1, 1);
    assert_listed(s, 2, false, NULL, 3, 3, 3, 1);
    assert_listed(s, 6, false, NULL, 3, 0, 0, 0);
    assert_listed(s, UINT64_MAX, false, NULL, 3, 0, 0, 0);
    assert_listed(s, 0, true, NULL, 2, 2, 6, -1);
    assert_listed(s, 3, true, NULL, 8, 2, 2, -1);
    assert_listed(s, 0, false, odd, 8, 3, 1, 2);
    assert_listed(s, 1, false, odd, 8, 2, 3, 2);
    assert_listed(s, 0, true, odd, 8, 3, 5, -2);
    assert_listed(s, 5, true, odd, 8, 2, 3, -2);
    assert_listed(s, 0, false, none, 8, 0, 0, 0);
}

static void releases_are_counted(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    uint8_t volume[16];
    uint64_t count = 0;
    memset(volume, 1, sizeof(volume));
    for (uint64_t i = 1; i <= 6; i++) { /* at 1001 to 1006; 2 is refused, 4 of another */
        struct store_record r = a_record(i, i == 4 ? 2 : 1, i != 2);
        append(s, &r);
    }
    assert_ok(store_audit_count_granted(s, volume, 0, &count, &err));
    assert_int_equal(count, 4);
    assert_ok(store_audit_count_granted(s, volume, 1005, &count, &err));
    assert_int_equal(count, 2);
    assert_ok(store_audit_count_granted(s, volume, 1007, &count, &err));
    assert_int_equal(count, 0);
    struct store_record own = a_record(7, 1, true); /* in the same transaction */
    assert_ok(store_begin(s, &err));
    assert_ok(store_audit_append(s, &own, &err));
    assert_ok(store_audit_count_granted(s, volume, 1005, &count, &err));
    assert_int_equal(count, 3);
    store_rollback(s);
}

static void old_evidence_is_forgotten(void **state)
{
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    add_volume(s, &v);
    for (uint64_t i = 1; i <= 5; i++) { /* at 1001 to 1005 */
        struct store_record r = a_record(i, 1, false);
        r.evidence = TEXT("evidence");
        append(s, &r);
    }
    put_request(s, "old", 1, 1, 1003, STORE_REQUEST_PENDING);
    put_request(s, "new", 1, 1, 1004, STORE_REQUEST_PENDING);
    assert_int_equal(store_purge(s, 1004, 2, &err), 3);
    assert_int_equal(store_purge(s, 1004, 2, &err), 1);
    assert_int_equal(store_purge(s, 1004, 2, &err), 0);
    assert_int_equal(last(s), 5);
    for (uint64_t i = 1; i <= 5; i++) {
        struct store_record r = a_record(i, 1, false);
        _store_record_ struct store_record got = {0};
        assert_ok(store_audit_find(s, r.id, &got, &err));
        assert_int_equal(got.evidence.size, i >= 4 ? 8 : 0);
        assert_int_equal(got.text.size, 2);
    }
    struct store_request left[2];
    assert_int_equal(store_request_list(s, true, 0, left, 2, &err), 1);
    assert_string_equal(left[0].id, "new");
}

/* ---- hostile text ---- */
static void hostile_text_comes_back_as_it_is(void **state)
{
    static const char *const texts[] = {
        "'; DROP TABLE volume; --",
        "\" OR 1=1",
        "$1 $2 %s %n ?1 :a @b",
        "\\x00\\'",
        "\x01\x1f\x7f",
        "\xf0\x9f\x94\x91 \xe2\x80\xae",
        "NULL",
    };
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    add_volume(s, &v);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct store_values got[1] = {0};
        struct store_request q = {.created = 1, .expires = 9}, asked = {0};
        add_values(s, v.uuid, texts[i], (uint32_t)i + 1);
        assert_int_equal(store_values_list(s, v.uuid, (uint32_t)i, got, 1, &err), 1);
        assert_string_equal(got[0].label, texts[i]);
        buffer_free(&got[0].text);
        memset(q.volume, 1, sizeof(q.volume));
        snprintf(q.id, sizeof(q.id), "%s", texts[i]);
        snprintf(q.peer, sizeof(q.peer), "%s", texts[i]);
        snprintf(q.decided_by, sizeof(q.decided_by), "%s", texts[i]);
        assert_ok(store_begin(s, &err));
        assert_ok(store_request_put(s, &q, &err));
        assert_ok(store_commit(s, &err));
        assert_ok(store_request_get(s, texts[i], &asked, &err));
        assert_string_equal(asked.peer, texts[i]);
        assert_string_equal(asked.decided_by, texts[i]);
    }
}

static void text_that_is_none_is_refused(void **state)
{
    static const char *const bad[] = {"\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80"};
    struct store *s = store_of(state);
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    add_volume(s, &v);
    assert_ok(store_begin(s, &err));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct store_values values = {0};
        struct store_request q = {.id = "a"};
        struct store_record r = a_record(1, 1, true), found;
        uint32_t version;
        snprintf(values.label, sizeof(values.label), "%s", bad[i]);
        snprintf(q.peer, sizeof(q.peer), "%s", bad[i]);
        snprintf(r.id, sizeof(r.id), "%s", bad[i]);
        memcpy(q.volume, v.uuid, 16);
        assert_refused(store_values_add(s, v.uuid, &values, &version, &err), EINVAL, "UTF-8");
        assert_refused(store_request_put(s, &q, &err), EINVAL, "UTF-8");
        assert_refused(store_audit_append(s, &r, &err), EINVAL, "UTF-8");
        assert_refused(store_audit_find(s, bad[i], &found, &err), EINVAL, "UTF-8");
        assert_refused(store_volume_find(s, bad[i], &v, &err), EINVAL, "UTF-8");
    }
    struct store_record good = a_record(1, 1, true);
    assert_ok(store_audit_append(s, &good, &err));
    assert_ok(store_commit(s, &err));
}

/* Somebody with the database changed it: an error, no nonsense. */
static void what_others_wrote_is_not_believed(void **state)
{
    static const char *const changes[] = {
        "UPDATE volume SET enabled = 2",
        "UPDATE volume SET approval = 2",
        "UPDATE volume SET rate_count = 4294967296",
        "UPDATE volume SET not_after = -1",
        ("UPDATE volume SET name = "
         "'0123456789012345678901234567890123456789012345678901234567890123456789'"),
    };
    struct fixture *f = *state;
    struct error err = {0};
    struct store_volume v = a_volume(1, "one"), got = {0};
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        add_volume(f->s, &v);
        f->kind->sql(changes[i]);
        assert_refused(store_volume_get(f->s, v.uuid, &got, &err), EUCLEAN, "by other means");
        assert_null(got.wrapped.data);
        f->kind->sql("DELETE FROM volume");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_volume_comes_back),
        BOTH(a_volume_is_found_by_name_or_uuid),
        BOTH(a_taken_name_leaves_the_transaction_whole),
        BOTH(names_are_checked),
        BOTH(a_volume_is_updated),
        BOTH(a_secret_is_rewrapped_once),
        BOTH(volumes_are_listed_in_order),
        BOTH(volumes_are_listed_by_uuid),
        BOTH(a_removed_volume_takes_all_but_the_audit),
        BOTH(a_policy_has_revisions),
        BOTH(the_largest_policy_is_kept),
        BOTH(values_have_versions),
        BOTH(a_request_is_made_and_changed),
        BOTH(the_newest_live_request_is_found),
        BOTH(an_empty_chain_has_no_end),
        BOTH(a_record_comes_back),
        BOTH(a_chain_has_no_gap_and_no_number_twice),
        BOTH(a_rollback_leaves_nothing),
        BOTH(changes_need_a_transaction),
        BOTH(records_are_listed),
        BOTH(releases_are_counted),
        BOTH(old_evidence_is_forgotten),
        BOTH(hostile_text_comes_back_as_it_is),
        BOTH(text_that_is_none_is_refused),
        BOTH(what_others_wrote_is_not_believed),
    };
    return cmocka_run_group_tests(tests, stores_set_up, stores_tear_down);
}
