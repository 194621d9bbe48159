/*
 * Appraisal as a whole: a forged or genuine token over a boot, its log and its reference values.
 * The stages have tests of their own; these see that none is left out.
 */
#include "unit.h"
#include "appraise/appraise.h"
#include "boot_log.h"
#include "lenient_policy.h"
#include "token_forge.h"

static EVP_PKEY *rak;
static struct chain chain;
static struct trust_anchors *anchors;

static int setup(void **state)
{
    (void)state;
    rak = EVP_EC_gen("P-521");
    if (!rak || chain_make(&chain, "vendor", EVP_EC_gen("P-521")))
        return -1;
    anchors = chain_anchors(&chain);
    return anchors ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(rak);
    chain_free(&chain);
    trust_anchors_free(anchors);
    return 0;
}

/* Everything of one appraisal; a test spoils one thing of it. */
struct whole {
    struct forge forge;
    struct evidence evidence;
    struct digest rim;
    struct reference reference;
    struct appraisal_policy policy;
    uint8_t challenge[CHALLENGE_SIZE]; /* of the connection */
};

static void whole_init(struct whole *w, const struct boot *happened)
{
    struct platform_claims claims;
    memset(w, 0, sizeof(*w));
    measure(happened, &claims);
    make_reference(&w->reference);
    assert_int_equal(forge_init(&w->forge, rak, &chain, true), 0);
    memcpy(w->forge.rim, claims.initial.bytes, 32);
    for (size_t i = 0; i < CCA_REGISTERS; i++)
        memcpy(w->forge.rem[i], claims.extended[i + 1].bytes, 32);
    assert_int_equal(forge_evidence(&w->forge, &w->evidence), 0);
    w->evidence.log_format = EVENT_LOG_TCG2;
    write_log(&good, EVENT_LOG_TCG2, &w->evidence.event_log);
    memcpy(w->challenge, w->forge.challenge, CHALLENGE_SIZE);
    w->rim = claims.initial;
    w->policy = lenient_policy(anchors, &w->rim, &w->reference.values);
}

static void genuine(struct whole *w)
{
    (void)w;
}
static void unknown_platform(struct whole *w)
{
    w->evidence.platform[0] = 'V';
}
static void no_anchors(struct whole *w)
{
    w->policy.platform.anchors = NULL;
}
static void no_rim(struct whole *w)
{
    w->policy.initial_count = 0;
}
static void another_rim(struct whole *w)
{
    w->rim.bytes[31] ^= 1;
}
static void no_reference_values(struct whole *w)
{
    w->policy.boot_count = 0;
}
static void another_connection(struct whole *w)
{
    w->challenge[0] ^= 1;
}
static void no_token(struct whole *w)
{
    w->evidence.token.size = 0;
}
static void token_cut(struct whole *w)
{
    w->evidence.token.size--;
}
static void signature_bit(struct whole *w)
{
    w->evidence.token.data[w->evidence.token.size - 1] ^= 1;
}
static void no_certificate(struct whole *w)
{
    w->evidence.certificate.size = 0;
}
static void no_log(struct whole *w)
{
    w->evidence.event_log.size = 0;
}
static void log_cut(struct whole *w)
{
    w->evidence.event_log.size /= 2;
}
static void log_of_registers(struct whole *w)
{
    w->evidence.log_format = EVENT_LOG_CCEL;
}

static const struct {
    void (*spoil)(struct whole *);
    const char *check; /* that rejects; NULL: all is well */
    int result;
} cases[] = {
    {genuine, NULL, 0},
    {unknown_platform, "platform", -EOPNOTSUPP},
    {no_anchors, "platform", -EINVAL},
    {no_rim, "rim", 0},
    {another_rim, "rim", 0},
    {no_reference_values, "boot", 0},
    {another_connection, "token.challenge", 0},
    {no_token, "token.form", -EBADMSG},
    {token_cut, "token.form", -EBADMSG},
    {signature_bit, "token.cvm.signature", 0},
    {no_certificate, "token.platform.certificate", 0},
    {no_log, "log.format", 0},
    {log_cut, "log.", 0},
    {log_of_registers, "log.", 0},
};

static bool rejects(const struct findings *f, const char *prefix)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].verdict == VERDICT_REJECT &&
            strncmp(f->list[i].check, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static void check(const struct boot *happened, size_t number, const char *expected, int result)
{
    struct whole w;
    struct error err = {0};
    _findings_ struct findings f = {0};
    whole_init(&w, happened);
    cases[number].spoil(&w);
    assert_int_equal(appraise(&w.evidence, w.challenge, &w.policy, &f, &err), result);
    const struct finding *first = findings_first_reject(&f);
    if (expected ? !rejects(&f, expected) : first != NULL)
        fail_msg("case %zu: expected %s to reject, %s did (found %s)", number,
                 expected ? expected : "nothing", first ? first->check : "nothing",
                 first && first->found ? first->found : "-");
    assert_int_equal(findings_pass(&f), expected == NULL);
    evidence_free(&w.evidence);
    forge_free(&w.forge);
}

static void good_evidence_passes_and_each_defect_rejects(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(&good, i, cases[i].check, cases[i].result);
}

/* The token says what really happened, the log what the attacker would like. */
static void a_log_of_another_boot_does_not_replay(void **state)
{
    (void)state;
    struct boot evil = good;
    evil.records[evil.count - 1].content = "another initramfs";
    evil.records[evil.count - 1].content_size = 0;
    check(&evil, 0, "log.replay.", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_evidence_passes_and_each_defect_rejects),
        cmocka_unit_test(a_log_of_another_boot_does_not_replay),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
