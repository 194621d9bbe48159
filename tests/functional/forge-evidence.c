/*
 * forge-evidence DIR [--rsa] [--sha384] [DEFECT]: make a folder with trust anchors, reference
 * values, a RIM and saved evidence (virtCCA: P-521 with a platform part, or RSA without; measured
 * in SHA-256 or SHA-384) of a good boot, with exactly one defect if one is named; beside it its
 * token alone, and the certificate that goes with a genuine one. Prints the RIM.
 * `forge-evidence --list` prints the defects.
 */
#include "forgery.h"

#include <err.h>

static void write_evidence(struct forgery *f, const char *folder)
{
    _evidence_ struct evidence e = {0};
    _buffer_ struct buffer json = {0}, certificate = {0};
    struct error err = {0};
    forgery_evidence(f, &e);
    forgery_own_certificate(f, &certificate);
    forgery_write(folder, "token.cbor", buffer_bytes(&e.token));
    forgery_write(folder, "platform.crt", buffer_bytes(&certificate));
    must(evidence_format(&e, &json, &err), &err);
    forgery_write(folder, "evidence.json", buffer_bytes(&json));
}

int main(int argc, char **argv)
{
    struct forgery f;
    char rim[DIGEST_HEX_SIZE];
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; forgery_defect_name(i); i++)
            puts(forgery_defect_name(i));
        return 0;
    }
    int at = 2;
    bool rsa = argc > at && strcmp(argv[at], "--rsa") == 0;
    at += rsa;
    bool sha384 = argc > at && strcmp(argv[at], "--sha384") == 0;
    at += sha384;
    if (argc < 2 || argc > at + 1)
        errx(2, "usage: forge-evidence DIR [--rsa] [--sha384] [DEFECT] | --list");
    forgery_begin_as(&f, rsa ? FORGERY_RSA_ALONE : FORGERY_P521);
    if (sha384)
        forgery_use_sha384(&f);
    if (argc > at)
        forgery_apply(&f, argv[at]);
    forgery_write_trust(&f, argv[1]);
    forgery_write_reference(argv[1]);
    write_evidence(&f, argv[1]);
    forgery_rim_in(f.alg, rim);
    puts(rim);
    forgery_end(&f);
    return 0;
}
