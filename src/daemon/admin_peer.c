/* Who asks: by the kernel's word on a UNIX socket, by the key of its certificate over TLS. */
#include "daemon/admin.h"

#include <pwd.h>
#include <string.h>
#include <sys/socket.h>

#define GROUPS_MAX 1024 /* of one peer; more are not looked at */

const char *admin_role_name(enum admin_role role)
{
    static const char *const names[] = {
        [ADMIN_NONE] = "none", [ADMIN_READER] = "reader", [ADMIN_ADMIN] = "admin"};
    return names[role];
}

static int find_group(const char *name, const char *key, bool *ret_has, gid_t *ret,
                      struct error *err)
{
    if (!name)
        return 0;
    const struct group *g = getgrnam(name);
    if (!g)
        return error_hint(err, error_set(err, EINVAL, "%s: there is no group \"%.64s\"", key, name),
                          "groupadd --system %.64s", name);
    *ret = g->gr_gid;
    *ret_has = true;
    return 0;
}

int admin_groups_find(struct admin_groups *ret, const struct daemon_config *c, struct error *err)
{
    struct admin_groups g = {0};
    int r = find_group(c->admin_group, "admin-group", &g.has_admin, &g.admin, err);
    if (r == 0)
        r = find_group(c->reader_group, "reader-group", &g.has_reader, &g.reader, err);
    if (r < 0)
        return r;
    g.names = fopen("/etc/passwd", "re");
    *ret = g;
    return 0;
}

void admin_groups_free(struct admin_groups *g)
{
    if (g->names)
        fclose(g->names);
    *g = (struct admin_groups){0};
}

/* Names are a courtesy to who reads the log; the number is what counts. */
static void put_name(const struct admin_groups *g, uid_t uid, char *to, size_t size)
{
    char line[1024];
    struct passwd entry, *found = NULL;
    if (g->names)
        rewind(g->names);
    while (g->names && fgetpwent_r(g->names, &entry, line, sizeof(line), &found) == 0)
        if (found->pw_uid == uid) {
            snprintf(to, size, "%.64s (uid %u)", found->pw_name, uid);
            return;
        }
    snprintf(to, size, "uid %u", uid);
}

static bool is_in(const gid_t *list, size_t count, bool has, gid_t wanted)
{
    for (size_t i = 0; has && i < count; i++)
        if (list[i] == wanted)
            return true;
    return false;
}

int admin_peer_of_socket(const struct admin_groups *g, int fd, struct admin_user *ret,
                         struct error *err)
{
    struct ucred cred;
    gid_t groups[GROUPS_MAX + 1];
    socklen_t size = sizeof(cred), groups_size = sizeof(groups) - sizeof(*groups);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
        return error_errno(err, errno, "asking who the peer is");
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_size) < 0)
        groups_size = 0; /* too many: the main one counts */
    size_t count = groups_size / sizeof(*groups);
    groups[count++] = cred.gid;

    struct admin_user u = {.role = ADMIN_NONE};
    if (is_in(groups, count, g->has_reader, g->reader))
        u.role = ADMIN_READER;
    if (cred.uid == 0 || cred.uid == geteuid() || is_in(groups, count, g->has_admin, g->admin))
        u.role = ADMIN_ADMIN;
    put_name(g, cred.uid, u.name, sizeof(u.name));
    *ret = u;
    return 0;
}

bool admin_peer_of_pin(const struct daemon_config *c, const uint8_t pin[32], struct admin_user *ret)
{
    for (size_t i = 0; i < c->client_count; i++)
        if (memcmp(c->clients[i].pin, pin, 32) == 0) {
            ret->role = c->clients[i].role;
            snprintf(ret->name, sizeof(ret->name), "%s (certificate)", c->clients[i].name);
            return true;
        }
    return false;
}
