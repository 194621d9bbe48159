#include "machine.h"
#include "base/io.h"

#include <string.h>

int machine_kind_open(struct machine_kind *ret, const char *state, enum authority_kind kind,
                      struct error *err)
{
    int r = authority_open(&ret->authority, state, kind, err);
    if (r < 0)
        return r;
    forgery_begin_as(&ret->forgery, kind == AUTHORITY_RSA ? FORGERY_RSA : FORGERY_P521);
    ret->forgery.platform_key = ret->authority.aik;
    return 0;
}

void machine_kind_close(struct machine_kind *k)
{
    forgery_end(&k->forgery);
    authority_free(&k->authority);
}

int machine_evidence(const struct machine_kind *k, const uint8_t volume[16],
                     const uint8_t challenge[CHALLENGE_SIZE], struct buffer *ret, struct error *err)
{
    struct forgery f = k->forgery;
    _evidence_ struct evidence e = {0};
    forgery_set_challenge(&f, challenge);
    forgery_evidence(&f, &e);
    memcpy(e.volume, volume, sizeof(e.volume));
    e.certificate.size = 0;
    int r =
        buffer_append(&e.certificate, k->authority.certificate.data, k->authority.certificate.size);
    if (r < 0)
        return error_set(err, -r, "evidence");
    return evidence_format(&e, ret, err);
}

int machine_write_reference(const char *folder, struct error *err)
{
    char rim[DIGEST_HEX_SIZE], path[4096];
    forgery_write_reference(folder);
    forgery_rim(rim);
    snprintf(path, sizeof(path), "%s/rim", folder);
    return write_file_atomic(path, BYTES_STR(rim), 0644, true, err);
}
