#include "base/secret.h"
#include "crypto/tls.h"
#include "daemon/command.h"
#include "vault/kek.h"

#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static int check_identity(const char *which, const char *key, const char *certificate,
                          struct error *err)
{
    _tls_identity_ struct tls_identity *id = NULL;
    int r = tls_identity_load(&id, key, certificate, err);
    if (r == -ENOENT)
        error_hint(err, r, "`encroot init` makes a key and its certificate");
    return r < 0 ? error_prefix(err, r, "%s", which) : 0;
}

/* A file that the broker will make must have a folder to be made in. */
static int check_folder(const char *key, const char *path, struct error *err)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    const char *folder = dirname(copy);
    if (access(folder, W_OK | X_OK) < 0)
        return error_errno(err, errno, "%s: %s: cannot write to %s", key, path, folder);
    return 0;
}

static int check_store(const struct daemon_config *c, struct error *err)
{
    static const char sqlite[] = "sqlite:";
    const char *file = c->store_password_file;
    int r = 0;
    if (strncmp(c->store, sqlite, strlen(sqlite)) == 0)
        r = check_folder("store", c->store + strlen(sqlite), err);
    if (r == 0 && file && access(file, R_OK) < 0)
        r = error_errno(err, errno, "store-password-file: %s", file);
    return r;
}

/* Tokens and credentials are there only when the broker runs. */
static int check_kek(const char *key, const char *url, struct error *err)
{
    static const char file[] = "file:";
    _secret_ struct secret *s = NULL;
    if (strncmp(url, file, strlen(file)) != 0)
        return 0;
    int r = secret_read_file(&s, url + strlen(file), KEK_SIZE, true, err);
    return r < 0 ? error_prefix(err, r, "%s", key) : 0;
}

static int check_group(const char *key, const char *name, struct error *err)
{
    if (!name || getgrnam(name))
        return 0;
    return error_hint(err, error_set(err, ENOENT, "%s: there is no group \"%s\"", key, name),
                      "groupadd --system %s", name);
}

int config_check(const struct daemon_config *c, struct error *err)
{
    int r = check_identity("key", c->key, c->certificate, err);
    if (r == 0 && c->admin_listen_count)
        r = check_identity("admin-key", c->admin_key, c->admin_certificate, err);
    if (r == 0)
        r = check_store(c, err);
    for (size_t i = 0; r == 0 && i < c->kek_count; i++)
        r = check_kek(i == 0 ? "kek" : "kek-old", c->keks[i], err);
    if (r == 0)
        r = check_group("admin-group", c->admin_group, err);
    if (r == 0)
        r = check_group("reader-group", c->reader_group, err);
    return r < 0 ? r : check_folder("admin-socket", c->admin_socket, err);
}
