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

/* libpq passes over a file that others may read, and then has no password. */
static int check_password_file(const char *file, struct error *err)
{
    struct stat st;
    if (access(file, R_OK) < 0 || stat(file, &st) < 0)
        return error_errno(err, errno, "store-password-file: %s", file);
    if (st.st_mode & 077)
        return error_hint(err,
                          error_set(err, EPERM,
                                    "store-password-file: %s: open to others (mode %03o)", file,
                                    (unsigned)st.st_mode & 0777),
                          "chmod 600 %s", file);
    return 0;
}

/* postgresql://USER:PASSWORD@HOST/..., or ...?password=... */
static bool has_password(const char *url)
{
    static const char scheme[] = "postgresql://";
    if (strncmp(url, scheme, strlen(scheme)) != 0)
        return false;
    const char *user = url + strlen(scheme), *at = strchr(user, '@');
    return (at && memchr(user, ':', (size_t)(at - user))) || strstr(user, "password=");
}

static int check_store(const struct daemon_config *c, mode_t mode, struct error *err)
{
    static const char sqlite[] = "sqlite:";
    int r = 0;
    if (strncmp(c->store, sqlite, strlen(sqlite)) == 0)
        r = check_folder("store", c->store + strlen(sqlite), err);
    if (r == 0 && has_password(c->store) && mode & 077)
        r = error_hint(err,
                       error_set(err, EPERM,
                                 "store: a password in a file that is open to others (mode %03o)",
                                 (unsigned)mode & 0777),
                       "put it into store-password-file, or chmod 600 this one");
    return r == 0 && c->store_password_file ? check_password_file(c->store_password_file, err) : r;
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

int config_check(const struct daemon_config *c, mode_t mode, struct error *err)
{
    int r = check_identity("key", c->key, c->certificate, err);
    if (r == 0 && c->admin_listen_count)
        r = check_identity("admin-key", c->admin_key, c->admin_certificate, err);
    if (r == 0)
        r = check_store(c, mode, err);
    for (size_t i = 0; r == 0 && i < c->kek_count; i++)
        r = check_kek(i == 0 ? "kek" : "kek-old", c->keks[i], err);
    if (r == 0)
        r = check_group("admin-group", c->admin_group, err);
    if (r == 0)
        r = check_group("reader-group", c->reader_group, err);
    return r < 0 ? r : check_folder("admin-socket", c->admin_socket, err);
}
