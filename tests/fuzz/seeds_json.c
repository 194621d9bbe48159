/* JSON that the project's own writers make. */
#include "../unit/audit_chain.h"
#include "../unit/boot_log.h"
#include "broker/audit_checkpoint.h"
#include "corpus.h"
#include "protocol/agent_config.h"

#include <err.h>

void seeds_agent_config(struct corpus *c)
{
    char *none[] = {NULL};
    char *aliases[] = {(char *)"virtio:d00000001v*", NULL};
    char *depends[] = {(char *)"/lib/modules/a.ko", NULL};
    struct agent_module modules[] = {{(char *)"/lib/modules/a.ko", none, none},
                                     {(char *)"/lib/modules/b.ko", aliases, depends}};
    const struct agent_config config = {
        .volume_uuid = {1, 2, 3},
        .partition_uuid = {4, 5, 6},
        .cipher = (char *)"aes-xts-plain64",
        .sector_size = 4096,
        .data_offset = 16 << 20,
        .data_size = 1 << 30,
        .root_type = (char *)"ext4",
        .root_flags = (char *)"errors=remount-ro",
        .pins = {{7}, {8}},
        .pin_count = 2,
        .listen_port = AGENT_LISTEN_PORT,
        .brokers = {{"keys.example.org", AGENT_BROKER_PORT}, {"2001:db8::7", 8443}},
        .broker_count = 2,
        .deadline = 900,
        .modules = modules,
        .module_count = ARRAY_SIZE(modules),
    };
    _buffer_ struct buffer json = {0};
    struct error e = {0};
    if (agent_config_format(&config, &json, &e) < 0)
        errx(1, "%s", e.text);
    corpus_json(c, "good", buffer_bytes(&json));
}

void seeds_audit(struct corpus *c)
{
    _findings_ struct findings f = {0};
    _buffer_ struct buffer granted = {0}, denied = {0}, changed = {0};
    struct audit_state state = {0};
    struct error e = {0};
    finding_add(&f, "token.signature", VERDICT_PASS, NULL, NULL);
    if (make_audit_record(&state, &f, true, true, &granted, &state, &e) < 0)
        errx(1, "%s", e.text);
    corpus_json(c, "granted", buffer_bytes(&granted));
    finding_add(&f, "boot.kernel", VERDICT_REJECT, "one", "another");
    if (make_audit_record(&state, &f, false, false, &denied, &state, &e) < 0)
        errx(1, "%s", e.text);
    corpus_json(c, "denied", buffer_bytes(&denied));
    const struct audit_change change = {.id = "0123456789abcdef0123456789abcdef",
                                        .action = "volume.set",
                                        .user = "alice (uid 1000)",
                                        .volume = (const uint8_t *)"0123456789abcdef",
                                        .detail = "{\"enabled\":false}",
                                        .broker = "east",
                                        .time = TEST_AUDIT_TIME};
    if (audit_make_change(&state, &change, &changed, &state, &e) < 0)
        errx(1, "%s", e.text);
    corpus_json(c, "changed", buffer_bytes(&changed));
}

void seeds_audit_checkpoint(struct corpus *c)
{
    const struct audit_checkpoint checkpoint = {.state = {.sequence = 7, .hash = {1, 2, 3}},
                                                .time = TEST_AUDIT_TIME,
                                                .broker = "east",
                                                .signature = {4, 5, 6},
                                                .signature_size = 70};
    _buffer_ struct buffer text = {0};
    struct error e = {0};
    if (audit_checkpoint_format(&checkpoint, &text, &e) < 0)
        errx(1, "%s", e.text);
    corpus_json(c, "good", buffer_bytes(&text));
}

void seeds_reference(struct corpus *c)
{
    struct reference ref;
    _buffer_ struct buffer json = {0};
    struct error e = {0};
    make_reference(&ref);
    if (reference_values_format(&ref.values, &json, &e) < 0)
        errx(1, "%s", e.text);
    corpus_json(c, "good", buffer_bytes(&json));
}
