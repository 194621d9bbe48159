#include "cli/policy_claims.h"
#include "base/hex.h"
#include "base/io.h"
#include "crypto/x509.h"
#include "eventlog/eventlog.h"
#include "token/cca.h"

#include <string.h>

#define SAMPLE_FILE_MAX ((size_t)1 << 20)

static json_t *hex_text(struct bytes value)
{
    _free_ char *hex = malloc(2 * value.size + 1);
    if (!hex)
        return NULL;
    hex_encode(value, hex);
    return json_string(hex);
}

static json_t *plain(struct bytes value)
{
    return json_stringn((const char *)value.data, value.size);
}

static json_t *component(const struct cca_component *c)
{
    json_t *j =
        json_pack("{s:o, s:[o]}", "type", plain(c->type), "measurements", hex_text(c->measurement));
    if (c->signer_id.size > 0)
        json_object_set_new(j, "signer_ids", json_pack("[o]", hex_text(c->signer_id)));
    return j;
}

static json_t *platform(const struct cca_platform *p, bool instance)
{
    json_t *components = json_array();
    for (size_t i = 0; i < p->component_count; i++)
        json_array_append_new(components, component(&p->components[i]));
    json_t *j = json_pack("{s:[o], s:[o], s:[o], s:o}", "profiles", plain(p->profile),
                          "implementation_ids", hex_text(p->implementation_id), "configurations",
                          hex_text(p->configuration), "components", components);
    if (instance)
        json_object_set_new(j, "instance_ids", json_pack("[o]", hex_text(p->instance_id)));
    return j;
}

/* "keys" of "trust": the key that signed. */
static int pin_key(json_t *root, const struct evidence *e, struct error *err)
{
    _x509_ X509 *c = NULL;
    uint8_t hash[32];
    int r = certificate_parse(&c, buffer_bytes(&e->certificate), err);
    if (r == 0)
        r = certificate_spki_sha256(c, hash);
    if (r == 0)
        json_object_set_new(json_object_get(root, "trust"), "keys",
                            json_pack("[o]", hex_text(BYTES_OF(hash))));
    return r < 0 ? error_prefix(err, r, "certificate of the evidence") : 0;
}

/* ACPI and SMBIOS: the host makes them, and the same machine gets the same. */
static bool is_table(const struct event *e)
{
    return e->type == EV_EFI_HANDOFF_TABLES || e->type == EV_EFI_HANDOFF_TABLES2 ||
           e->type == EV_PLATFORM_CONFIG_FLAGS;
}

static int add_records(json_t *root, const struct evidence *e, enum hash_alg alg, struct error *err)
{
    _event_log_ struct event_log log = {0};
    int r = event_log_parse(&log, buffer_bytes(&e->event_log), alg, err);
    if (r < 0)
        return error_prefix(err, r, "event log of the evidence");
    json_t *records = json_array();
    json_object_set_new(root, "records", records);
    for (size_t i = 0; i < log.count; i++)
        if (is_table(&log.events[i]))
            json_array_append_new(records, hex_text(digest_bytes(&log.events[i].digest)));
    return 0;
}

static int parse(struct cca_token **ret, const struct evidence *e, struct error *err)
{
    struct cca_token *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    int r = cca_token_parse(t, buffer_bytes(&e->token), err);
    if (r < 0) {
        free(t);
        return error_prefix(err, r, "token of the evidence");
    }
    *ret = t;
    return 0;
}

int policy_rim_of(const struct evidence *e, json_t *rims, struct error *err)
{
    _free_ struct cca_token *t = NULL;
    int r = parse(&t, e, err);
    if (r == 0)
        json_array_append_new(rims, hex_text(t->cvm.initial));
    return r;
}

int policy_claims_of(json_t *root, const struct evidence *e, bool instance, struct error *err)
{
    _free_ struct cca_token *t = NULL;
    char name[32];
    int r = parse(&t, e, err);
    if (r < 0)
        return r;
    if (!t->has_platform)
        return error_set(err, EINVAL,
                         "the evidence holds a token without a platform part, of which there is "
                         "nothing to expect: write the policy without it");
    json_object_set_new(root, "platform", platform(&t->platform, instance));
    snprintf(name, sizeof(name), "%.*s", (int)t->cvm.hash_alg.size,
             (const char *)t->cvm.hash_alg.data);
    if (instance)
        r = pin_key(root, e, err);
    return r < 0 ? r : add_records(root, e, hash_by_name(name), err);
}

/* ---- the sample's platform reference file, spelt as it is ---- */

static int sample_component(json_t *list, json_t *j, const char *where, struct error *err)
{
    const char *name, *measurement, *version;
    if (!json_is_object(j))
        return error_set(err, EINVAL, "%s: expected an object", where);
    int r = json_get_string(j, "firware_name", &name, where, err);
    if (r == 0)
        r = json_get_string(j, "measurement", &measurement, where, err);
    if (r == 0)
        r = json_get_string(j, "firware_version", &version, where, err);
    if (r < 0)
        return r;
    json_array_append_new(list, json_pack("{s:s, s:[s], s:s}", "type", name, "measurements",
                                          measurement, "min_version", version));
    return 0;
}

int policy_components_of(json_t *root, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    _json_ json_t *file = NULL;
    json_t *values, *list = json_array();
    json_t *platform = json_object_get(root, "platform");
    if (!platform) {
        platform = json_object();
        json_object_set_new(root, "platform", platform);
    }
    json_object_set_new(platform, "components", list);
    int r = read_file(path, SAMPLE_FILE_MAX, &text, err);
    if (r == 0)
        r = json_parse(&file, buffer_bytes(&text), path, err);
    if (r == 0)
        r = json_get_array(file, "measure_value", &values, path, err);
    for (size_t i = 0; r == 0 && i < json_array_size(values); i++) {
        char where[320];
        snprintf(where, sizeof(where), "%.250s: measure_value[%zu]", path, i);
        r = sample_component(list, json_array_get(values, i), where, err);
    }
    return r;
}
