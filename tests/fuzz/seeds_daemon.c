/* What the processes of a broker tell each other. */
#include "corpus.h"
#include "daemon/messages.h"

#include <err.h>

static void put_decision(struct corpus *c, const char *name, const struct findings *f,
                         struct message_decision d, struct bytes evidence)
{
    _buffer_ struct buffer body = {0}, findings = {0};
    if (messages_put_findings(f, &findings, NULL) < 0)
        errx(1, "findings");
    d.passed = findings_pass(f);
    d.findings_size = (uint32_t)findings.size;
    d.evidence_size = (uint32_t)evidence.size;
    if (buffer_append(&body, &d, sizeof(d)) < 0 ||
        buffer_append(&body, findings.data, findings.size) < 0 ||
        buffer_append(&body, evidence.data, evidence.size) < 0)
        errx(1, "no memory");
    corpus_bytes(c, name, buffer_bytes(&body));
}

void seeds_messages(struct corpus *c)
{
    _findings_ struct findings f = {0};
    const struct message_decision readable = {
        .readable = 1, .volume = {1}, .edition = 2, .platform = "virtcca"};
    finding_add(&f, "token.signature", VERDICT_PASS, "expected", NULL);
    finding_waive(&f, "record", WAIVER_SECURE_BOOT, "%s", "db");
    put_decision(c, "passed", &f, readable, BYTES_STR("evidence"));
    finding_add(&f, "boot.kernel", VERDICT_REJECT, "one", "another");
    finding_remedy(&f, "measure it anew");
    put_decision(c, "rejected", &f, readable, BYTES_NONE);
    put_decision(c, "unreadable", &f, (struct message_decision){0}, BYTES_NONE);
}
