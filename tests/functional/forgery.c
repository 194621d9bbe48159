#include "forgery.h"
#include "base/hex.h"
#include "base/io.h"
#include "../unit/crl.h"

#include <err.h>
#include <sys/stat.h>

void must(int r, const struct error *e)
{
    if (r < 0)
        errx(1, "%s", e->text);
}

static void set_cvm_key(struct forgery *f, EVP_PKEY *key)
{
    if (!key)
        errx(1, "making keys failed");
    EVP_PKEY_free(f->cvm_key);
    f->cvm_key = key;
}

/* ---- defects ---- */

static void both(struct forgery *f, size_t at, struct record r)
{
    insert(&f->real, at, r);
    insert(&f->told, at, r);
}

static void e1_made_up_authority(struct forgery *f)
{
    f->platform_key = f->other.aik_key;
    f->certificate = f->other.aik;
}
static void e2_zero_signature(struct forgery *f)
{
    f->zero_signature = true;
}
/* The forger's own CVM key, and what a genuine platform said about another. */
static void e3_own_cvm_key(struct forgery *f)
{
    static struct digest genuine;
    _buffer_ struct buffer point = {0};
    struct error err = {0};
    bool rsa = EVP_PKEY_is_a(f->cvm_key, "RSA");
    if (!rsa) {
        must(public_key_to_point(f->cvm_key, &point, &err), &err);
        must(digest_compute(&genuine, HASH_SHA256, buffer_bytes(&point)), &err);
        f->platform.challenge = digest_bytes(&genuine);
    }
    set_cvm_key(f, rsa ? EVP_RSA_gen(4096) : EVP_EC_gen("P-521"));
}
static void e4_platform_dropped(struct forgery *f)
{
    f->without_platform = true; /* of a P-521 token: that is E3, too */
}
static void e5_nothing_measured(struct forgery *f)
{
    f->real.count = f->told.count = 0;
}
static void e5_log_truncated(struct forgery *f)
{
    f->told.count = AT_CMDLINE;
}
static void e6_second_loader(struct forgery *f)
{
    both(f, AT_SHIM, (struct record){4, PE, "evil loader", 0, "", 0});
}
static void e6_loader_told_as_table(struct forgery *f)
{
    both(f, AT_SHIM, (struct record){5, EV_EFI_GPT_EVENT, "evil loader", 0, TEXT("EFI PART")});
}
static void e7_shell_as_init(struct forgery *f)
{
    static const struct record line = {8, EV_IPL, CMDLINE(CMDLINE_1 " init=/bin/sh")};
    f->real.records[AT_CMDLINE] = f->told.records[AT_CMDLINE] = line;
}
static void e8_second_kernel(struct forgery *f)
{
    both(f, AT_CMDLINE, (struct record){9, EV_IPL, "evil", 0, TEXT("/evil/vmlinuz-1")});
}
static void e9_no_register(struct forgery *f)
{
    f->real.records[AT_INITRAMFS].index = f->told.records[AT_INITRAMFS].index = 0;
}
static void e10_digest_sizes(struct forgery *f)
{
    f->log_byte = 62; /* the size of SHA-256 digests, in the header */
}
static void e11_debug_enabled(struct forgery *f)
{
    f->platform.lifecycle = 0x4000; /* non-CCA platform debug (RMM, A7.2.3.2.3) */
}
static void e13_text_differs(struct forgery *f)
{
    static const struct record line = {8, EV_IPL, CMDLINE(CMDLINE_1 " init=/bin/sh")};
    f->real.records[AT_CMDLINE] = f->told.records[AT_CMDLINE] = line;
    f->told.records[AT_CMDLINE].data = good.records[AT_CMDLINE].data;
    f->told.records[AT_CMDLINE].data_size = good.records[AT_CMDLINE].data_size;
}
static void e14_other_connection(struct forgery *f)
{
    f->token_challenge[0] ^= 1;
}
static void e15_other_certificate(struct forgery *f)
{
    _evp_pkey_ EVP_PKEY *key = EVP_EC_gen("P-521");
    const struct certificate_request r = {.name = "Other AIK",
                                          .key = key,
                                          .issuer = f->chain.intermediate,
                                          .issuer_key = f->chain.intermediate_key};
    struct error err = {0};
    if (!f->other_machines)
        must(certificate_issue(&f->other_machines, &r, &err), &err);
    f->certificate = f->other_machines;
}
static void revoked_certificate(struct forgery *f)
{
    f->certificate = f->revoked; /* same name, same key, same authority */
}
static void e16_other_command(struct forgery *f)
{
    both(f, AT_INITRAMFS, (struct record){8, EV_IPL, COMMAND("initrd /initrd-1 /evil")});
}
static void e16_typed_in_the_menu(struct forgery *f)
{
    both(f, AT_LINUX, (struct record){8, EV_IPL, COMMAND("set foo=bar")});
}
static void e16_typed_search(struct forgery *f)
{
    both(f, AT_LINUX, (struct record){8, EV_IPL, COMMAND("search --label evil --set=root")});
}
static void other_firmware(struct forgery *f)
{
    f->rim.bytes[0] ^= 1;
}
static void changed_grub_cfg(struct forgery *f)
{
    f->real.records[AT_MAIN].content = f->told.records[AT_MAIN].content = "evil.cfg";
}
static void changed_kernel(struct forgery *f)
{
    f->real.records[AT_KERNEL].content = f->told.records[AT_KERNEL].content = "evil kernel";
}
static void changed_initramfs(struct forgery *f)
{
    f->real.records[AT_INITRAMFS].content = f->told.records[AT_INITRAMFS].content = "evil";
}
/* The forger tells what should have been booted; the registers know better. */
static void log_of_another_boot(struct forgery *f)
{
    f->real.records[AT_INITRAMFS].content = "evil";
}

static const struct {
    const char *name;
    void (*apply)(struct forgery *f);
} defects[] = {
    {"e1-made-up-authority", e1_made_up_authority},
    {"e2-zero-signature", e2_zero_signature},
    {"e3-own-cvm-key", e3_own_cvm_key},
    {"e4-platform-dropped", e4_platform_dropped},
    {"e5-nothing-measured", e5_nothing_measured},
    {"e5-log-truncated", e5_log_truncated},
    {"e6-second-loader", e6_second_loader},
    {"e6-loader-told-as-table", e6_loader_told_as_table},
    {"e7-shell-as-init", e7_shell_as_init},
    {"e8-second-kernel", e8_second_kernel},
    {"e9-no-register", e9_no_register},
    {"e10-digest-sizes", e10_digest_sizes},
    {"e11-debug-enabled", e11_debug_enabled},
    {"e13-text-differs", e13_text_differs},
    {"e14-other-connection", e14_other_connection},
    {"e15-other-certificate", e15_other_certificate},
    {"e16-other-command", e16_other_command},
    {"revoked-certificate", revoked_certificate},
    {"e16-typed-in-the-menu", e16_typed_in_the_menu},
    {"e16-typed-search", e16_typed_search},
    {"other-firmware", other_firmware},
    {"changed-grub-cfg", changed_grub_cfg},
    {"changed-kernel", changed_kernel},
    {"changed-initramfs", changed_initramfs},
    {"log-of-another-boot", log_of_another_boot},
};

const char *forgery_defect_name(size_t i)
{
    return i < ARRAY_SIZE(defects) ? defects[i].name : NULL;
}

void forgery_apply(struct forgery *f, const char *defect)
{
    for (size_t i = 0; i < ARRAY_SIZE(defects); i++)
        if (strcmp(defects[i].name, defect) == 0) {
            defects[i].apply(f);
            return;
        }
    errx(2, "unknown defect %s", defect);
}

/* ---- making it ---- */

static const uint8_t instance[33] = {1, 2, 3};
static const uint8_t measurement[32] = {4, 5, 6};

static void use_hash(struct forgery *f, enum hash_alg alg)
{
    f->alg = alg;
    f->rim = digest_in(alg, "rim");
}

static int make_chain(struct chain *c, enum forgery_kind kind)
{
    if (kind == FORGERY_P521)
        return chain_make(c, "Good", EVP_EC_gen("P-521"));
    return chain_make_with(c, "Good", EVP_RSA_gen(2048), EVP_RSA_gen(2048), EVP_RSA_gen(4096));
}

/* Another certificate for the same key: the one that a revocation list names. */
static int make_revoked(struct forgery *f)
{
    const struct certificate_request again = {.name = "Good AIK",
                                              .key = f->chain.aik_key,
                                              .issuer = f->chain.intermediate,
                                              .issuer_key = f->chain.intermediate_key};
    return certificate_issue(&f->revoked, &again, NULL);
}

static EVP_PKEY *make_cvm_key(const struct forgery *f)
{
    if (f->kind == FORGERY_P521)
        return EVP_EC_gen("P-521");
    if (f->kind == FORGERY_RSA)
        return EVP_RSA_gen(4096);
    return EVP_PKEY_up_ref(f->chain.aik_key) == 1 ? f->chain.aik_key : NULL;
}

void forgery_begin(struct forgery *f)
{
    forgery_begin_as(f, FORGERY_P521);
}

void forgery_begin_as(struct forgery *f, enum forgery_kind kind)
{
    *f = (struct forgery){.kind = kind, .real = good, .told = good};
    if (make_chain(&f->chain, kind) < 0 || make_chain(&f->other, FORGERY_P521) < 0 ||
        make_revoked(f) < 0 || !(f->cvm_key = make_cvm_key(f)))
        errx(1, "making keys and certificates failed");
    f->without_platform = kind == FORGERY_RSA_ALONE;
    f->platform_key = f->chain.aik_key;
    f->certificate = f->chain.aik;
    use_hash(f, HASH_SHA256);
    memset(f->token_challenge, 0xc7, CHALLENGE_SIZE);
    memset(f->file_challenge, 0xc7, CHALLENGE_SIZE);
    f->platform = (struct cca_platform){
        .profile = BYTES_STR("http://arm.com/CCA-SSD/1.0.0"),
        .implementation_id = BYTES(instance, 32),
        .instance_id = BYTES_OF(instance),
        .configuration = BYTES_STR("configuration"),
        .hash_alg = BYTES_STR("sha-256"),
        .has_lifecycle = true,
        .lifecycle = 0x3000,
        .components = {{.type = BYTES_STR("ipu"),
                        .measurement = BYTES_OF(measurement),
                        .version = BYTES_STR("1.0"),
                        .signer_id = BYTES_OF(measurement)}},
        .component_count = 1,
    };
}

void forgery_use_sha384(struct forgery *f)
{
    use_hash(f, HASH_SHA384);
}

/* The CVM token's signature is the last bytes of the token: 132 of them on P-521, or 512. */
static void sign(struct forgery *f, struct evidence *e)
{
    struct platform_claims claims;
    struct error err = {0};
    struct cca_token_spec spec = {
        .cvm = {.challenge = BYTES_OF(f->token_challenge),
                .initial = digest_bytes(&f->rim),
                .hash_alg = BYTES_STR(hash_name(f->alg))},
        .cvm_key = f->cvm_key,
        .wrap_twice = true,
        .platform = f->without_platform ? NULL : &f->platform,
        .platform_key = f->platform_key,
    };
    measure_in(&f->real, f->alg, &claims);
    for (size_t i = 0; i < CCA_REGISTERS; i++)
        spec.cvm.extended[i] = digest_bytes(&claims.extended[i + 1]);
    must(cca_token_create(&e->token, &spec, &err), &err);
    size_t n = EVP_PKEY_is_a(f->cvm_key, "RSA") ? 512 : 132;
    if (f->zero_signature)
        memset(e->token.data + e->token.size - n, 0, n);
}

void forgery_set_challenge(struct forgery *f, const uint8_t challenge[CHALLENGE_SIZE])
{
    memcpy(f->token_challenge, challenge, CHALLENGE_SIZE);
    memcpy(f->file_challenge, challenge, CHALLENGE_SIZE);
}

void forgery_evidence(struct forgery *f, struct evidence *ret)
{
    struct error err = {0};
    *ret = (struct evidence){.platform = "virtcca", .has_challenge = true};
    sign(f, ret);
    write_log_in(&f->told, f->alg, EVENT_LOG_TCG2, &ret->event_log);
    if (f->log_byte)
        ret->event_log.data[f->log_byte] = 0xff;
    must(certificate_encode(f->certificate, f->kind == FORGERY_P521, &ret->certificate, &err),
         &err);
    memcpy(ret->challenge, f->file_challenge, CHALLENGE_SIZE);
}

void forgery_write(const char *folder, const char *name, struct bytes content)
{
    char path[4096];
    struct error err = {0};
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    must(write_file_atomic(path, content, 0644, true, &err), &err);
}

void forgery_own_certificate(const struct forgery *f, struct buffer *ret)
{
    struct error err = {0};
    must(certificate_encode(f->chain.aik, true, ret, &err), &err);
}

void forgery_write_trust(const struct forgery *f, const char *folder)
{
    _buffer_ struct buffer root = {0};
    _buffer_ struct buffer intermediate = {0};
    _buffer_ struct buffer list = {0};
    const struct crl_request revocation = {.issuer = f->chain.intermediate,
                                           .issuer_key = f->chain.intermediate_key,
                                           .revoked = f->revoked};
    struct error err = {0};
    uint8_t hash[32];
    char path[4096], pin[66];
    snprintf(path, sizeof(path), "%s/trust", folder);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/trust/certificates", folder);
    mkdir(path, 0755);
    must(certificate_encode(f->chain.root, true, &root, &err), &err);
    must(certificate_encode(f->chain.intermediate, true, &intermediate, &err), &err);
    must(crl_make(&revocation, true, &list), &err);
    must(certificate_sha256(f->chain.root, hash), &err);
    hex_encode(BYTES_OF(hash), pin);
    pin[64] = '\n';
    forgery_write(folder, "trust/certificates/root.crt", buffer_bytes(&root));
    forgery_write(folder, "trust/certificates/intermediate.crt", buffer_bytes(&intermediate));
    forgery_write(folder, "trust/certificates/intermediate.crl", buffer_bytes(&list));
    forgery_write(folder, "trust/roots.sha256", BYTES(pin, 65));
}

void forgery_write_reference(const char *folder)
{
    static const char *const commands[] = {
        "source */EFI/debian/grub.cfg",
        "menuentry Debian {\n linux " CMDLINE_1 "\n}",
        "linux " CMDLINE_1,
        "initrd /initrd-1",
        "set timeout=1",
        NULL,
    };
    struct reference ref, other;
    _buffer_ struct buffer json = {0};
    struct error err = {0};
    make_reference(&ref);
    make_reference_in(&other, HASH_SHA384);
    ref.values.grub_commands = (char **)commands;
    ref.values.sha384 = &other.values;
    must(reference_values_format(&ref.values, &json, &err), &err);
    forgery_write(folder, "hash.json", buffer_bytes(&json));
}

void forgery_rim_in(enum hash_alg alg, char ret[DIGEST_HEX_SIZE])
{
    struct digest rim = digest_in(alg, "rim");
    digest_hex(&rim, ret);
}

void forgery_rim(char ret[DIGEST_HEX_SIZE])
{
    forgery_rim_in(HASH_SHA256, ret);
}

void forgery_end(struct forgery *f)
{
    chain_free(&f->chain);
    chain_free(&f->other);
    X509_free(f->other_machines);
    EVP_PKEY_free(f->cvm_key);
    X509_free(f->revoked);
}
