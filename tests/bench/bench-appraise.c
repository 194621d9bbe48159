/*
 * bench-appraise SECONDS: how many appraisals one core makes a second, of evidence of each kind, of
 * the same without its chain, and what memory one takes. Prints JSON; tests/bench/bench reads it.
 */
#include "../functional/forgery.h"
#include "../unit/lenient_policy.h"
#include "appraise/appraise.h"
#include "base/io.h"

#include <err.h>
#include <fcntl.h>
#include <malloc.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *name;
    enum forgery_kind kind;
    const char *key; /* as `openssl speed` calls it */
    unsigned token_verifications;
} kinds[] = {
    {"RSA-4096, CVM part alone", FORGERY_RSA_ALONE, "rsa4096", 1},
    {"RSA-4096, with platform part", FORGERY_RSA, "rsa4096", 2},
    {"P-521, with platform part", FORGERY_P521, "ecdsap521", 2},
};

/* Makes a log of nearly 1 MiB, which is the largest that is taken (EVIDENCE_EVENT_LOG_MAX). */
#define LOG_FILL ((size_t)1043000)

struct subject {
    struct forgery forgery;
    struct trust_anchors *anchors;
    struct reference reference;
    struct digest rim;
    struct evidence evidence;
    struct buffer json;
};

static void subject_begin(struct subject *s, enum forgery_kind kind, size_t fill)
{
    static char content[1 << 16] = "EFI PART";
    struct error e = {0};
    *s = (struct subject){.rim = digest_of("rim")};
    forgery_begin_as(&s->forgery, kind);
    /* Records that the registers cover, so that all of a large log is hashed. */
    for (size_t n; fill > 0; fill -= n) {
        n = fill < sizeof(content) ? fill : sizeof(content);
        const struct record r = {5, EV_EFI_GPT_EVENT, content, n, content, n};
        insert(&s->forgery.real, AT_GPT, r);
        insert(&s->forgery.told, AT_GPT, r);
    }
    make_reference(&s->reference);
    s->anchors = chain_anchors(&s->forgery.chain);
    forgery_evidence(&s->forgery, &s->evidence);
    must(evidence_format(&s->evidence, &s->json, &e), &e);
}

static void subject_end(struct subject *s)
{
    buffer_free(&s->json);
    evidence_free(&s->evidence);
    trust_anchors_free(s->anchors);
    forgery_end(&s->forgery);
}

/* As a broker does it: from the bytes of a request to a verdict. */
static void appraise_once(const struct subject *s)
{
    _evidence_ struct evidence e = {0};
    _findings_ struct findings f = {0};
    struct error error = {0};
    const struct appraisal_policy policy =
        lenient_policy(s->anchors, &s->rim, &s->reference.values);
    must(evidence_parse(&e, buffer_bytes(&s->json), "evidence", &error), &error);
    must(appraise(&e, s->evidence.challenge, &policy, &f, &error), &error);
    if (!findings_pass(&f))
        errx(1, "good evidence is rejected");
}

static void verify_chain_once(const struct subject *s)
{
    struct error e = {0};
    must(certificate_verify_chain(s->forgery.certificate, s->anchors, NULL, &e), &e);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Calls a second of this thread's processor time, so that neighbours matter less. */
static double rate(void (*call)(const struct subject *s), const struct subject *s, double seconds)
{
    size_t n = 0;
    call(s); /* what is made once, is */
    double start = cpu_seconds(), now = start;
    for (; now - start < seconds; n++, now = cpu_seconds())
        call(s);
    return (double)n / (now - start);
}

/* A size in /proc/self/status, in bytes. */
static long status_bytes(const char *name)
{
    _buffer_ struct buffer text = {0};
    struct error e = {0};
    must(read_file("/proc/self/status", 65536, &text, &e), &e);
    if (buffer_append(&text, "", 1) < 0)
        errx(1, "out of memory");
    const char *at = strstr((char *)text.data, name);
    return at ? strtol(at + strlen(name) + 1, NULL, 10) * 1024 : 0;
}

/* By how much an appraisal makes a process grow that has made one before, at its peak. */
static long peak_growth(const struct subject *s)
{
    _close_ int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    /* What is freed is gone, or nothing would grow the second time. */
    mallopt(M_MMAP_THRESHOLD, 4096);
    appraise_once(s);
    malloc_trim(0);
    /* 5: the peak starts anew from what is in use now (proc(5)). */
    if (fd < 0 || write(fd, "5", 1) != 1)
        err(1, "/proc/self/clear_refs");
    long before = status_bytes("VmHWM");
    appraise_once(s);
    return status_bytes("VmHWM") - before;
}

static void bench_kind(size_t i, double seconds)
{
    struct subject s;
    subject_begin(&s, kinds[i].kind, 0);
    printf("%s\n  {\"name\": \"%s\", \"key\": \"%s\", \"verifications\": %u,\n"
           "   \"appraisals\": %.1f, \"chains\": %.1f, \"memory\": %ld}",
           i ? "," : "", kinds[i].name, kinds[i].key, kinds[i].token_verifications,
           rate(appraise_once, &s, seconds), rate(verify_chain_once, &s, seconds), peak_growth(&s));
    subject_end(&s);
}

static void bench_largest_log(double seconds)
{
    struct subject s;
    subject_begin(&s, FORGERY_RSA_ALONE, LOG_FILL);
    printf("\n \"largest_log\": {\"bytes\": %zu, \"appraisals\": %.1f, \"memory\": %ld}}\n",
           s.evidence.event_log.size, rate(appraise_once, &s, seconds), peak_growth(&s));
    subject_end(&s);
}

int main(int argc, char **argv)
{
    double seconds = argc == 2 ? strtod(argv[1], NULL) : 0;
    if (seconds <= 0)
        errx(2, "usage: bench-appraise SECONDS");
    printf("{\"kinds\": [");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        bench_kind(i, seconds);
    printf("],");
    bench_largest_log(seconds);
    return 0;
}
