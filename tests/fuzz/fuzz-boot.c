/*
 * The walk over a hostile log: whatever it says, the registers hold what it replays to, so that
 * only the rules stand between it and a good verdict. The first byte is the log's format.
 */
#include "../unit/boot_log.h"
#include "../unit/lenient_policy.h"
#include "appraise/stages.h"

#include <stdlib.h>

struct measured {
    const struct event_log *log;
    enum event_log_format format;
};

/* Is there a record of this content that extended a register? */
static bool has(const struct measured *m, const char *content)
{
    struct digest d = digest_of(content);
    for (size_t i = 0; i < m->log->count; i++) {
        const struct event *e = &m->log->events[i];
        if (digest_equal(&e->digest, &d) &&
            (m->format == EVENT_LOG_TCG2 ? cca_map[e->index] > 0 : e->index > 0))
            return true;
    }
    return false;
}

/* A boot that passes has started shim and GRUB, and all the rest is of one of the two kernels. */
static void check_pass(const struct measured *m)
{
    bool first = (has(m, "kernel-1") || has(m, "kernel-1-decompressed")) && has(m, "initramfs-1") &&
                 (has(m, CMDLINE_1) || has(m, CMDLINE_1 " single"));
    bool second = (has(m, "kernel-2") || has(m, "kernel-2-decompressed")) &&
                  has(m, "initramfs-2") && has(m, CMDLINE_2);
    if (!has(m, "shim") || !has(m, "grub") || !has(m, "stub.cfg") || !has(m, "main.cfg") ||
        !(first || second))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reference reference;
    struct platform_claims claims = {
        .hash = HASH_SHA256, .register_count = 5, .pcr_map = cca_map, .initial = digest_of("rim")};
    _event_log_ struct event_log l = {0}, again = {0};
    _findings_ struct findings f = {0};
    if (size == 0)
        return 0;
    enum event_log_format format = data[0] & 1 ? EVENT_LOG_CCEL : EVENT_LOG_TCG2;
    struct bytes log = BYTES(data + 1, size - 1);
    make_reference(&reference);
    if (event_log_parse(&l, log, HASH_SHA256, NULL) < 0 ||
        event_log_replay(&l, format == EVENT_LOG_TCG2 ? cca_map : NULL, claims.extended, 5, NULL) <
            0)
        return 0;
    if (!appraise_log(&again, log, format, &claims, &f))
        abort();
    appraise_boot(&again, format, &claims, &reference.values, &waive_all, &f);
    if (findings_pass(&f))
        check_pass(&(struct measured){&l, format});
    return 0;
}
