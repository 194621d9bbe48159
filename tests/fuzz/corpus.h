/*
 * Seeds for the fuzz targets: inputs that are good, and the same with one defect each. Every
 * target has a folder of them, and nothing binary needs to be kept in the tree.
 */
#ifndef ENCROOT_TESTS_CORPUS_H
#define ENCROOT_TESTS_CORPUS_H

#include "base/bytes.h"

struct corpus {
    const char *folder;  /* of the target */
    struct bytes prefix; /* put before every input: what a target takes as its own selector */
    size_t count;        /* of inputs written */
};

/* One input, as it is. Ends the program when it cannot be written; so do the others. */
void corpus_put(struct corpus *c, const char *name, struct bytes input);

/*
 * A way to make inputs with one defect from a good one, which is put, too. All of these may be
 * used for one target, with different names.
 */
typedef void corpus_spoil(struct corpus *c, const char *name, struct bytes good);
corpus_spoil corpus_bytes; /* cut, grown, doubled, a bit flipped here and there */
corpus_spoil corpus_lines; /* each line left out, doubled, moved behind the next */
corpus_spoil corpus_words; /* the same with words */
corpus_spoil corpus_json;  /* each value left out, or of another type, and corpus_bytes */

/* ---- targets whose inputs must be made (seeds_*.c) ---- */
typedef void corpus_make(struct corpus *c);
corpus_make seeds_token, seeds_eventlog, seeds_boot, seeds_certificate, seeds_evidence,
    seeds_release;
corpus_make seeds_dhcp, seeds_front_request, seeds_gate, seeds_http, seeds_tmm;
corpus_make seeds_messages;
corpus_make seeds_decompress, seeds_gpt, seeds_partition, seeds_pe, seeds_qcow2;
corpus_make seeds_agent_config, seeds_audit, seeds_audit_checkpoint, seeds_reference;

#endif
