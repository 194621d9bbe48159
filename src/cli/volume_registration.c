#include "cli/volume_registration.h"
#include "base/hex.h"
#include "base/io.h"
#include "cli/volume_view.h"
#include "crypto/base64.h"
#include "crypto/volume_key.h"
#include "measure/reference.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#define REGISTRATION_VERSION 1
#define LABEL_MAX 64

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

int registration_make(json_t **ret, const char *uuid, const json_t *policy,
                      const struct volume_settings *s, struct error *err)
{
    _json_ json_t *j = json_pack("{s:i, s:s, s:O, s:[]}", "version", REGISTRATION_VERSION, "uuid",
                                 uuid, "policy", policy, "values");
    if (!j)
        return no_memory(err);
    int r = volume_settings_put(s, j, err);
    if (r == 0)
        *ret = TAKE_PTR(j);
    return r;
}

int registration_set_secret(json_t *registration, const struct secret *secret, struct error *err)
{
    struct buffer text = {0};
    int r = base64_encode(secret_bytes(secret), &text);
    json_t *value = r == 0 ? json_stringn((const char *)text.data, text.size) : NULL;
    wipe(text.data, text.size);
    buffer_free(&text);
    return json_object_set_new(registration, "secret", value) < 0 ? no_memory(err) : 0;
}

int registration_read_values(json_t **ret, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    _reference_values_ struct reference_values values = {0};
    int r = read_file(path, HASH_JSON_MAX, &text, err);
    if (r == 0)
        r = reference_values_parse(&values, buffer_bytes(&text), path, err);
    return r < 0 ? r : json_parse(ret, buffer_bytes(&text), path, err);
}

int registration_add_values(json_t *registration, const char *path, const char *label,
                            struct error *err)
{
    _json_ json_t *text = NULL;
    _free_ char *copy = strdup(path);
    if (!copy)
        return no_memory(err);
    int r = registration_read_values(&text, path, err);
    if (r < 0)
        return r;
    char cut[LABEL_MAX + 1];
    snprintf(cut, sizeof(cut), "%s", label ? label : basename(copy));
    json_t *v = json_pack("{s:o, s:O}", "label", plain_json(cut), "text", text);
    return json_array_append_new(json_object_get(registration, "values"), v) < 0 ? no_memory(err)
                                                                                 : 0;
}

/* ---- files ---- */
static int check_secret(const json_t *registration, const char *name, struct error *err)
{
    const char *text;
    struct buffer secret = {0};
    int r = json_get_string(registration, "secret", &text, name, err);
    if (r < 0)
        return r;
    bool ok = base64_decode(BYTES_STR(text), &secret) == 0 && secret.size == VOLUME_SECRET_SIZE;
    wipe(secret.data, secret.size);
    buffer_free(&secret);
    return ok ? 0
              : error_set(err, EINVAL, "%s: \"secret\" must be %d bytes in base64", name,
                          VOLUME_SECRET_SIZE);
}

int registration_check(const json_t *registration, int has_secret, const char *name,
                       struct error *err)
{
    uint64_t version;
    const char *uuid;
    uint8_t ignored[16];
    int r = json_get_uint(registration, "version", UINT32_MAX, &version, name, err);
    if (r == 0 && version != REGISTRATION_VERSION)
        r = error_set(err, EINVAL, "%s: \"version\": expected %d, found %u", name,
                      REGISTRATION_VERSION, (unsigned)version);
    if (r == 0)
        r = json_get_string(registration, "uuid", &uuid, name, err);
    if (r == 0 && uuid_parse(uuid, ignored) < 0)
        r = error_set(err, EINVAL, "%s: \"uuid\": \"%.100s\" is not a UUID", name, uuid);
    if (r == 0 && !json_is_object(json_object_get(registration, "policy")))
        r = error_set(err, EINVAL, "%s: \"policy\" must be an object", name);
    bool found = json_object_get(registration, "secret") != NULL;
    if (r == 0 && found && has_secret == 0)
        r = error_set(err, EINVAL, "%s: holds a secret, which nobody asked for", name);
    if (r == 0 && (found || has_secret > 0))
        r = check_secret(registration, name, err);
    return r;
}

static int check_mode(int fd, const char *path, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) == 0)
        return 0;
    return error_hint(err,
                      error_set(err, EPERM, "%s: holds a key, and others may read it (mode %04o)",
                                path, (unsigned)st.st_mode & 07777),
                      "chmod 600 %s", path);
}

int registration_load(json_t **ret, const char *path, struct error *err)
{
    _json_ json_t *j = NULL;
    struct buffer text = {.max = REGISTRATION_MAX};
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    int r = read_fd(fd, path, REGISTRATION_MAX, &text, err);
    if (r == 0)
        r = json_parse(&j, buffer_bytes(&text), path, err);
    wipe(text.data, text.size);
    buffer_free(&text);
    if (r == 0)
        r = registration_check(j, -1, path, err);
    if (r == 0 && json_object_get(j, "secret"))
        r = check_mode(fd, path, err);
    if (r == 0)
        *ret = TAKE_PTR(j);
    return r;
}

int registration_write(const json_t *registration, const char *path, bool replace,
                       struct error *err)
{
    mode_t mode = json_object_get(registration, "secret") ? 0600 : 0644;
    char *text = json_dumps(registration, JSON_INDENT(2));
    if (!text)
        return no_memory(err);
    size_t n = strlen(text);
    text[n] = '\n'; /* in the place of its NUL */
    int r = write_file_atomic(path, BYTES(text, n + 1), mode, replace, err);
    wipe(text, n);
    free(text);
    return r;
}

int registration_post(const struct admin_client *c, const json_t *registration, json_t **ret,
                      struct error *err)
{
    _json_ json_t *volume = NULL;
    int r = admin_call(c, "POST", "/v1/volumes", registration, &volume, err);
    if (r == 0)
        r = volume_check(volume, err);
    if (r == 0)
        *ret = TAKE_PTR(volume);
    return r;
}
