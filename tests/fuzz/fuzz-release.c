/*
 * A broker's whole answer to a request of bytes. No input is signed by the authority that this
 * process has just made up, so none is granted, and every answer is a short refusal.
 */
#include "../functional/forgery.h"
#include "../unit/lenient_policy.h"
#include "broker/release.h"

#include <stdlib.h>

static int secret(void *arg, const uint8_t volume[16], struct secret **ret, struct error *err)
{
    (void)arg, (void)volume, (void)ret, (void)err;
    abort(); /* it was granted */
}

static int record(void *arg, const struct release_record *r, struct error *err)
{
    (void)arg, (void)err;
    if (r->granted || findings_pass(r->findings))
        abort();
    return 0;
}

static struct appraisal_policy policy;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct chain chain;
    static struct reference reference;
    static struct digest rim;
    (void)argc, (void)argv;
    if (chain_make(&chain, "Good", EVP_EC_gen("P-521")) < 0)
        abort();
    make_reference(&reference);
    rim = digest_of("rim");
    policy = lenient_policy(chain_anchors(&chain), &rim, &reference.values);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    const struct release_context c = {.policy = &policy, .secret = secret, .record = record};
    _release_answer_ struct release_answer a = {0};
    struct error e = {0};
    int r = release_handle(&c, BYTES(data, size), exporter, &a, &e);
    if (a.secret || a.status < 400 || strncmp(a.body, "{\"code\": ", 9) != 0 ||
        (r < 0 && !e.text[0]))
        abort();
    return 0;
}
