#include "cli/image_vault.h"
#include "base/hex.h"
#include "base/io.h"
#include "cli/policy_compose.h"
#include "cli/policy_embed.h"
#include "cli/volume_registration.h"
#include "cli/volume_view.h"

#include <string.h>

void image_vault_free(struct image_vault *v)
{
    json_decref(v->policy);
    json_decref(v->registration);
    free(v->rescue);
}

const char *vault_options_problem(const struct vault_options *o, const char *key_file)
{
    bool policy = o->policy || o->rims.count > 0;
    if (!o->admin.broker && (policy || o->no_key_file || o->settings.name || o->settings.approval))
        return "--policy, -m, --name, --approval and --no-key-file go with --vault";
    if (o->admin.broker && !policy)
        return "--vault needs --policy FILE or -m RIM: by what is the key to be released?";
    if (o->policy && o->rims.count > 0)
        return "--policy takes the place of -m: the policy says it";
    if (o->no_key_file && key_file)
        return "--no-key-file makes a new key: it does not go with -k";
    return NULL;
}

/* ---- before the work ---- */
static int check_broker(const struct admin_client *c, struct error *err)
{
    static const char where[] = "the broker's answer";
    _json_ json_t *status = NULL;
    const char *role;
    int r = admin_call(c, "GET", "/v1/status", NULL, &status, err);
    if (r == 0 && json_get_string(status, "role", &role, where, err) < 0)
        r = -EPROTO;
    if (r < 0 || strcmp(role, "admin") == 0)
        return r;
    r = error_set(err, EKEYREJECTED, "%s: this user may only read there, not register volumes",
                  c->address.text);
    return error_hint(err, r,
                      "admin-group and admin-client in encrootd.conf(5) name those who may");
}

static int make_policy(json_t **ret, const struct vault_options *o, const char *folder,
                       struct error *err)
{
    if (o->policy)
        return policy_embed(ret, o->policy, err);
    _json_ json_t *boot = json_object(); /* reference values come as a version of their own */
    struct policy_source s = {.rims = o->rims, .folder = folder};
    int r = policy_compose(ret, &s, boot, err);
    return r < 0 ? r : policy_embedded_check(*ret, NULL, "the new policy", err);
}

/* "disk-enc.qcow2" → "disk-enc.qcow2.volume.json" */
static int name_rescue(struct image_vault *v, struct error *err)
{
    if (asprintf(&v->rescue, "%s.volume.json", v->image) < 0) {
        v->rescue = NULL;
        return error_set(err, ENOMEM, "out of memory");
    }
    if (!name_is_taken(v->rescue))
        return 0;
    return error_hint(err, error_set(err, EEXIST, "%s: already exists", v->rescue),
                      "it holds the key of a volume that was not registered yet: encroot volume "
                      "import, or remove it");
}

int image_vault_open(struct image_vault *ret, const struct vault_options *o, const char *folder,
                     const char *image, struct error *err)
{
    ret->image = image;
    ret->only_copy = o->no_key_file;
    admin_wipe_json();
    int r = admin_client_of(&ret->client, &o->admin, err);
    if (r == 0)
        r = name_rescue(ret, err);
    if (r == 0)
        r = make_policy(&ret->policy, o, folder, err);
    if (r == 0)
        r = check_broker(&ret->client, err);
    return r < 0 ? error_prefix(err, r, "--vault") : 0;
}

static int check_free(const struct admin_client *c, const char *ref, struct error *err)
{
    _json_ json_t *volume = NULL;
    struct error none = {0};
    int r = volume_call(c, "GET", ref, "", NULL, &volume, &none);
    if (r == -ENOENT)
        return 0;
    if (r < 0) {
        *err = none;
        return r;
    }
    r = error_set(err, EBUSY, "%s: has a volume %s already (%s)", c->address.text, ref,
                  admin_text(volume, "uuid"));
    return error_hint(err, r,
                      "the same image and key give the same volume: `encroot volume values --add` "
                      "is for its other boots, `encroot volume remove` removes it");
}

int image_vault_prepare(struct image_vault *v, const struct vault_options *o,
                        const uint8_t uuid[16], const struct secret *secret, struct error *err)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(uuid, text);
    int r = policy_embedded_check(v->policy, text, o->policy ? o->policy : "the new policy", err);
    if (r == 0)
        r = registration_make(&v->registration, text, v->policy, &o->settings, err);
    if (r == 0)
        r = registration_set_secret(v->registration, secret, err);
    if (r == 0)
        r = check_free(&v->client, text, err);
    if (r == 0 && o->settings.name)
        r = check_free(&v->client, o->settings.name, err);
    return r < 0 ? error_prefix(err, r, "--vault") : 0;
}

/* ---- after it ---- */
static const char *uuid_of(const struct image_vault *v)
{
    return admin_text(v->registration, "uuid");
}

/* An answer that was lost on its way: did the broker take it? It had no such volume before. */
static int post(const struct image_vault *v, json_t **ret, struct error *err)
{
    struct error ignored;
    int r = registration_post(&v->client, v->registration, ret, err);
    bool unsure = r == -ETIMEDOUT || r == -ECONNRESET || r == -EPROTO || r == -EHOSTDOWN;
    if (unsure && volume_call(&v->client, "GET", uuid_of(v), "", NULL, ret, &ignored) == 0)
        return 0;
    return r;
}

/* Keep what a later `volume import` needs. */
static int rescue(const struct image_vault *v, int r, struct error *err)
{
    struct error second = {0};
    int kept = registration_write(v->registration, v->rescue, false, &second);
    error_prefix(err, r, "%s is whole, but its volume %s is not registered", v->image, uuid_of(v));
    if (kept < 0 && v->only_copy)
        return error_hint(err, r,
                          "and its key is lost (%.200s): remove the image, and encrypt again",
                          second.text);
    if (kept < 0)
        return error_hint(err, r,
                          "encroot volume add --uuid %s -k KEY -p POLICY -f HASH.JSON registers it "
                          "(%.200s)",
                          uuid_of(v), second.text);
    return error_hint(err, r,
                      "encroot volume import %s --broker %s%s registers it; that file holds "
                      "its key%s",
                      v->rescue, v->client.address.text,
                      v->client.address.tls ? " --client-key ..." : "",
                      v->only_copy ? ", the only copy" : "");
}

static void tell(const struct image_vault *v, json_t *report, const json_t *volume,
                 const struct error *err)
{
    json_t *j = json_pack("{s:s, s:b, s:s}", "broker", v->client.address.text, "registered",
                          volume != NULL, "volume", uuid_of(v));
    if (volume)
        json_object_set_new(j, "name", json_string(admin_text(volume, "name")));
    else
        json_object_set_new(j, "error", plain_json(err->text));
    if (!volume && err->hint[0])
        json_object_set_new(j, "hint", plain_json(err->hint));
    if (!volume && name_is_taken(v->rescue))
        json_object_set_new(j, "import", plain_json(v->rescue));
    json_object_set_new(report, "vault", j);
}

int image_vault_register(struct image_vault *v, const char *hash_json, json_t *report,
                         struct error *err)
{
    _json_ json_t *volume = NULL;
    int r = registration_add_values(v->registration, hash_json, NULL, err);
    if (r == 0)
        r = post(v, &volume, err);
    if (r < 0)
        r = rescue(v, r, err);
    if (report)
        tell(v, report, volume, err);
    return r;
}
