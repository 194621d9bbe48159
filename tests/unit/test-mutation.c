/*
 * Good evidence, mutated some 100,000 times: none is accepted unless it is the same evidence
 * (same_evidence.h). Rounds are fixed by their number; the keys are not, so a failure prints the
 * evidence, too.
 */
#include "unit.h"
#include "lenient_policy.h"
#include "../functional/forgery.h"
#include "appraise/stages.h"
#include "base/json.h"
#include "mutate.h"
#include "same_evidence.h"

#if defined(__SANITIZE_ADDRESS__)
#define SHARE 20 /* a round takes that much longer */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHARE 20
#endif
#endif
#ifndef SHARE
#define SHARE 1
#endif

#define SEED UINT64_C(0x656e63726f6f7400)
#define WHOLE_ONCE_IN 16
#define MUTATIONS_MAX 4 /* of one round; mostly there is one */

/* One machine: what it says, and what it, or another, says of another boot. */
struct subject {
    struct forgery forgery;
    struct trust_anchors *anchors;
    struct evidence good, other;
    struct buffer good_json, other_json;
    struct platform_claims claims; /* of the good evidence, verified */
};

static struct reference reference;
static struct digest rim;

/* How a round ends. */
enum end {
    UNCHANGED,
    SAME,       /* accepted, and rightly */
    UNREADABLE, /* no evidence at all */
    BY_TOKEN,   /* rejected by a check of this kind first */
    BY_LOG,
    BY_BOOT,
    BY_OTHERS,
    ENDS,
};
static const char *const end_names[ENDS] = {
    "unchanged", "the same evidence", "unreadable", "token", "log", "boot", "others"};

struct tally {
    size_t rounds;
    size_t ends[ENDS];
};

static void boot_another_kernel(struct boot *b)
{
    static const struct {
        size_t at;
        struct record record;
    } changes[] = {
        {AT_MENUENTRY, {8, EV_IPL, COMMAND("menuentry Debian {\n linux " CMDLINE_2 "\n}")}},
        {AT_LINUX, {8, EV_IPL, COMMAND("linux " CMDLINE_2)}},
        {AT_KERNEL, {9, EV_IPL, "kernel-2", 0, TEXT("/vmlinuz-2")}},
        {AT_KERNEL_PE, {4, PE, "kernel-2-pe", 0, "", 0}},
        {AT_KERNEL_PE_AGAIN, {4, PE, "kernel-2-pe", 0, "", 0}},
        {AT_CMDLINE, {8, EV_IPL, CMDLINE(CMDLINE_2)}},
        {AT_INITRD, {8, EV_IPL, COMMAND("initrd /initrd-2")}},
        {AT_INITRAMFS, {9, EV_IPL, "initramfs-2", 0, TEXT("/initrd-2")}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
        b->records[changes[i].at] = changes[i].record;
}

static bool accepts(const struct subject *s, const struct evidence *e, const uint8_t *challenge,
                    struct findings *f)
{
    const struct appraisal_policy policy = lenient_policy(s->anchors, &rim, &reference.values);
    return appraise(e, challenge, &policy, f, NULL) == 0 && findings_pass(f);
}

/* What appraise() does behind the verifier. */
static bool log_accepted(const struct subject *s, const struct evidence *e, struct findings *f)
{
    _event_log_ struct event_log log = {0};
    if (appraise_log(&log, buffer_bytes(&e->event_log), e->log_format, &s->claims, f))
        appraise_boot(&log, e->log_format, &s->claims, &reference.values, &waive_all, f);
    return findings_pass(f);
}

static bool is_verified(const struct subject *s, const struct evidence *e)
{
    return bytes_equal(buffer_bytes(&e->token), buffer_bytes(&s->good.token)) &&
           bytes_equal(buffer_bytes(&e->certificate), buffer_bytes(&s->good.certificate)) &&
           strcmp(e->platform, s->good.platform) == 0;
}

/* Signatures take most of the time: where token and certificate are the good ones, a log that the
 * later stages reject gets the whole appraisal, which must say the same, in some rounds only. */
static bool accepts_mutant(const struct subject *s, const struct evidence *e, size_t round,
                           struct findings *f)
{
    _findings_ struct findings early = {0};
    bool verified = is_verified(s, e);
    bool accepted = verified && log_accepted(s, e, &early);
    if (verified && !accepted && round % WHOLE_ONCE_IN != 0) {
        *f = early;
        early = (struct findings){0};
        return false;
    }
    bool whole = accepts(s, e, s->good.challenge, f);
    assert_true(!verified || whole == accepted);
    return whole;
}

/* `other` is a good boot of the same machine, but for another connection; in the end it gets a
 * certificate that nobody pinned. */
static void subject_begin(struct subject *s, enum forgery_kind kind)
{
    _findings_ struct findings f = {0}, g = {0}, h = {0};
    *s = (struct subject){0};
    forgery_begin_as(&s->forgery, kind);
    s->anchors = chain_anchors(&s->forgery.chain);
    assert_non_null(s->anchors);
    const struct appraisal_policy policy = lenient_policy(s->anchors, &rim, &reference.values);
    forgery_evidence(&s->forgery, &s->good);
    assert_int_equal(
        platform_verifier_by_name(s->good.platform)
            ->verify(&s->good, s->good.challenge, &policy.platform, &f, &s->claims, NULL),
        0);
    boot_another_kernel(&s->forgery.real);
    boot_another_kernel(&s->forgery.told);
    memset(s->forgery.token_challenge, 0x38, CHALLENGE_SIZE);
    forgery_evidence(&s->forgery, &s->other);
    assert_true(accepts(s, &s->good, s->good.challenge, &g));
    assert_true(accepts(s, &s->other, s->forgery.token_challenge, &h));
    s->other.certificate.size = 0;
    assert_int_equal(
        certificate_encode(s->forgery.other.aik, kind == FORGERY_P521, &s->other.certificate, NULL),
        0);
    assert_int_equal(evidence_format(&s->good, &s->good_json, NULL), 0);
    assert_int_equal(evidence_format(&s->other, &s->other_json, NULL), 0);
}

static void subject_end(struct subject *s)
{
    buffer_free(&s->good_json);
    buffer_free(&s->other_json);
    evidence_free(&s->good);
    evidence_free(&s->other);
    trust_anchors_free(s->anchors);
    forgery_end(&s->forgery);
}

/* ---- what is mutated. Each works on a copy of the good evidence; false: not readable ---- */

typedef bool mutator(struct random *r, const struct subject *s, struct evidence *e);

static bool mutate_token(struct random *r, const struct subject *s, struct evidence *e)
{
    mutate_bytes(r, &e->token, buffer_bytes(&s->other.token));
    return true;
}

static bool mutate_certificate(struct random *r, const struct subject *s, struct evidence *e)
{
    mutate_bytes(r, &e->certificate, buffer_bytes(&s->other.certificate));
    return true;
}

static bool mutate_log(struct random *r, const struct subject *s, struct evidence *e)
{
    mutate_bytes(r, &e->event_log, buffer_bytes(&s->other.event_log));
    return true;
}

/* The bytes of record `i`. */
static struct bytes record_bytes(struct bytes log, const struct event_log *l, size_t i)
{
    size_t end = i + 1 < l->count ? l->events[i + 1].offset : log.size;
    return BYTES(log.data + l->events[i].offset, end - l->events[i].offset);
}

/* A record is dropped, doubled, moved, gets another PCR or type, or comes from another boot. */
static bool mutate_records(struct random *r, const struct subject *s, struct evidence *e)
{
    _event_log_ struct event_log mine = {0}, theirs = {0};
    struct bytes log = buffer_bytes(&e->event_log), other = buffer_bytes(&s->other.event_log);
    if (event_log_parse(&mine, log, HASH_SHA256, NULL) < 0 || mine.count == 0 ||
        event_log_parse(&theirs, other, HASH_SHA256, NULL) < 0)
        return true;
    size_t i = random_below(r, mine.count), j = random_below(r, mine.count);
    struct bytes record = record_bytes(log, &mine, i);
    struct bytes strange = record_bytes(other, &theirs, random_below(r, theirs.count));
    size_t at = mine.events[i].offset, to = mine.events[j].offset;
    switch (random_below(r, 7)) {
    case 0:
        splice(&e->event_log, at, record.size, BYTES_NONE);
        break;
    case 1:
        splice(&e->event_log, to, 0, record);
        break;
    case 2: /* the copy first, so that the offsets hold */
        splice(&e->event_log, to, 0, record);
        splice(&e->event_log, to <= at ? at + record.size : at, record.size, BYTES_NONE);
        break;
    case 3:
        splice(&e->event_log, to, 0, strange);
        break;
    case 4:
        splice(&e->event_log, at, record.size, strange);
        break;
    case 5:
        put_le32(e->event_log.data + at, (uint32_t)random_below(r, 25));
        break;
    default:
        put_le32(e->event_log.data + at + 4, mine.events[j].type);
    }
    return true;
}

/* The text of it, or one of its members taken from another file. */
static bool mutate_json(struct random *r, const struct subject *s, struct evidence *e)
{
    static const char *const members[] = {"token",    "certificate", "event_log", "volume",
                                          "platform", "challenge",   "version"};
    _buffer_ struct buffer json = {0};
    splice(&json, 0, 0, buffer_bytes(&s->good_json));
    if (random_below(r, 4) == 0) {
        const char *member = members[random_below(r, ARRAY_SIZE(members))];
        _json_ json_t *mine = json_loadb((char *)json.data, json.size, 0, NULL);
        _json_ json_t *theirs = json_loadb((char *)s->other_json.data, s->other_json.size, 0, NULL);
        assert_true(mine && theirs);
        json_t *value = json_object_get(random_below(r, 2) ? theirs : mine, member);
        if (random_below(r, 2))
            member = members[random_below(r, ARRAY_SIZE(members))];
        assert_int_equal(json_object_set(mine, member, value), 0);
        _free_ char *text = json_dumps(mine, JSON_COMPACT);
        assert_non_null(text);
        splice(&json, 0, json.size, BYTES_STR(text));
    } else {
        mutate_bytes(r, &json, buffer_bytes(&s->other_json));
    }
    evidence_free(e);
    return evidence_parse(e, buffer_bytes(&json), "mutated", NULL) == 0;
}

static const struct {
    const char *name;
    mutator *mutate;
    unsigned rounds; /* of 1000 */
} mutators[] = {
    {"token", mutate_token, 300},   {"certificate", mutate_certificate, 150},
    {"event log", mutate_log, 250}, {"records", mutate_records, 150},
    {"JSON", mutate_json, 150},
};

/* ---- rounds ---- */

static void copy_evidence(struct evidence *ret, const struct evidence *e)
{
    *ret = *e;
    ret->token = ret->certificate = ret->event_log = (struct buffer){0};
    splice(&ret->token, 0, 0, buffer_bytes(&e->token));
    splice(&ret->certificate, 0, 0, buffer_bytes(&e->certificate));
    splice(&ret->event_log, 0, 0, buffer_bytes(&e->event_log));
}

static bool is_unchanged(const struct subject *s, const struct evidence *e)
{
    return is_verified(s, e) && e->log_format == s->good.log_format &&
           bytes_equal(buffer_bytes(&e->event_log), buffer_bytes(&s->good.event_log));
}

static enum end end_of_rejection(const struct findings *f)
{
    static const struct {
        const char *prefix;
        enum end end;
    } kinds[] = {{"token.", BY_TOKEN},
                 {"log.replay", BY_LOG},
                 {"log.format", BY_LOG},
                 {"log.record", BY_BOOT},
                 {"boot.", BY_BOOT}};
    const struct finding *first = findings_first_reject(f);
    for (size_t i = 0; first && i < ARRAY_SIZE(kinds); i++)
        if (strncmp(first->check, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return kinds[i].end;
    return BY_OTHERS;
}

static void check_accepted(const struct subject *s, const struct evidence *e, const char *name,
                           size_t round)
{
    _buffer_ struct buffer json = {0};
    const char *part = evidence_differs(&s->good, e);
    if (!part)
        return;
    if (evidence_format(e, &json, NULL) == 0)
        fprintf(stderr, "%.*s", (int)json.size, (char *)json.data);
    fail_msg("kind %d, %s, seed %llx, round %zu: accepted, but another %s", s->forgery.kind, name,
             (unsigned long long)SEED, round, part);
}

static enum end run_round(const struct subject *s, size_t m, size_t round)
{
    struct random r = {.state = SEED + (uint64_t)m * 1000000 + round};
    _evidence_ struct evidence e = {0};
    _findings_ struct findings f = {0};
    size_t times = random_below(&r, 4) ? 1 : 1 + random_below(&r, MUTATIONS_MAX);
    copy_evidence(&e, &s->good);
    while (times--)
        if (!mutators[m].mutate(&r, s, &e))
            return UNREADABLE;
    if (is_unchanged(s, &e))
        return UNCHANGED;
    if (!accepts_mutant(s, &e, round, &f))
        return end_of_rejection(&f);
    check_accepted(s, &e, mutators[m].name, round);
    return SAME;
}

static struct tally run_rounds(const struct subject *s, size_t rounds)
{
    struct tally sum = {0};
    for (size_t m = 0; m < ARRAY_SIZE(mutators); m++) {
        size_t ends[ENDS] = {0};
        size_t n = rounds * mutators[m].rounds / 1000;
        for (size_t round = 0; round < n; round++)
            ends[run_round(s, m, round)]++;
        fprintf(stderr, "kind %d, %s: %zu rounds", s->forgery.kind, mutators[m].name, n);
        for (size_t i = 0; i < ENDS; i++) {
            fprintf(stderr, ", %zu %s", ends[i], end_names[i]);
            sum.ends[i] += ends[i];
        }
        fprintf(stderr, "\n");
        sum.rounds += n;
    }
    return sum;
}

/* Some is the same, and some is rejected at every stage: so the mutations reached all of them. */
static void check_kind(enum forgery_kind kind, size_t rounds)
{
    struct subject s;
    subject_begin(&s, kind);
    struct tally t = run_rounds(&s, rounds / SHARE);
    subject_end(&s);
    assert_true(t.ends[SAME] > t.rounds / 1000);
    assert_true(t.ends[UNREADABLE] > t.rounds / 100);
    assert_true(t.ends[BY_TOKEN] > t.rounds / 10);
    assert_true(t.ends[BY_LOG] > t.rounds / 10);
    assert_true(t.ends[BY_BOOT] > t.rounds / 200);
}

static void mutated_rsa_evidence_with_a_platform_token(void **state)
{
    (void)state;
    check_kind(FORGERY_RSA, 70000);
}

static void mutated_rsa_evidence_without_a_platform_token(void **state)
{
    (void)state;
    check_kind(FORGERY_RSA_ALONE, 26000);
}

static void mutated_p521_evidence(void **state)
{
    (void)state;
    check_kind(FORGERY_P521, 4000);
}

static int set_up(void **state)
{
    (void)state;
    make_reference(&reference);
    rim = digest_of("rim");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutated_rsa_evidence_with_a_platform_token),
        cmocka_unit_test(mutated_rsa_evidence_without_a_platform_token),
        cmocka_unit_test(mutated_p521_evidence),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
