/*
 * Evidence (virtCCA) of a good boot, with its trust anchors and reference values, and with
 * exactly one defect if one is named.
 */
#ifndef ENCROOT_TESTS_FORGERY_H
#define ENCROOT_TESTS_FORGERY_H

#include "../unit/boot_log.h"
#include "../unit/chain.h"
#include "token/cca.h"

/* The forms that evidence has; the defects are made for the first. */
enum forgery_kind {
    FORGERY_P521,      /* with a platform token; certificate in PEM */
    FORGERY_RSA,       /* RSA-4096, with a platform token; certificate in DER */
    FORGERY_RSA_ALONE, /* RSA-4096, the CVM's part alone, whose key is the certificate's */
};

struct forgery {
    enum forgery_kind kind;
    /* who signs */
    struct chain chain;
    struct chain other; /* a chain that nobody pinned */
    X509 *revoked;      /* of the AIK, too; the list among the trust anchors names it */
    EVP_PKEY *cvm_key;
    EVP_PKEY *platform_key; /* signs the platform token */
    X509 *certificate;      /* that goes with the evidence */
    X509 *other_machines;   /* issued by the same authority; NULL until it is needed */
    /* what is claimed */
    struct cca_platform platform;
    bool without_platform;
    bool zero_signature;
    enum hash_alg alg; /* of the registers and the log */
    struct digest rim;
    uint8_t token_challenge[CHALLENGE_SIZE];
    uint8_t file_challenge[CHALLENGE_SIZE];
    /* what was booted, and what the log says */
    struct boot real;
    struct boot told;
    size_t log_byte; /* offset in the log of a byte to set to 0xff; 0: none */
};

/* All of these end the program when something of their own fails. */
void forgery_begin(struct forgery *f);
void forgery_begin_as(struct forgery *f, enum forgery_kind kind);
void forgery_end(struct forgery *f);
/* A machine that measures in SHA-384; before anything else. */
void forgery_use_sha384(struct forgery *f);
/* The challenge of a live connection; before any defect. */
void forgery_set_challenge(struct forgery *f, const uint8_t challenge[CHALLENGE_SIZE]);

/* The name of a defect, NULL behind the last; and making it. */
const char *forgery_defect_name(size_t i);
void forgery_apply(struct forgery *f, const char *defect);

/* What this machine says. */
void forgery_evidence(struct forgery *f, struct evidence *ret);
/* The certificate of this machine's own platform key, in PEM. */
void forgery_own_certificate(const struct forgery *f, struct buffer *ret);
/* trust/ and hash.json, as `encroot` takes them. */
void forgery_write_trust(const struct forgery *f, const char *folder);
void forgery_write_reference(const char *folder);
/* The RIM that is to be accepted, in hex. */
void forgery_rim(char ret[DIGEST_HEX_SIZE]);
void forgery_rim_in(enum hash_alg alg, char ret[DIGEST_HEX_SIZE]);

void forgery_write(const char *folder, const char *name, struct bytes content);
void must(int r, const struct error *e);

#endif
