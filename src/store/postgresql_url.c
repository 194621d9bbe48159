#include "store/postgresql.h"

#include <arpa/inet.h>

static int senseless(const char *why, struct error *err)
{
    int r = error_set(err, EINVAL, "the URL of the PostgreSQL database: %s", why);
    return error_hint(err, r,
                      "as postgresql://encroot@db.example.org/encroot?sslmode=verify-full; "
                      "in a user's name or a password, write @ : / ? # as %%40 %%3A %%2F "
                      "%%3F %%23");
}

static const char *option(const PQconninfoOption *o, const char *key)
{
    for (; o->keyword; o++)
        if (strcmp(o->keyword, key) == 0)
            return o->val ? o->val : "";
    return "";
}

/*
 * A password with an unquoted '/' or '@' in it makes a URL that libpq takes apart in other places,
 * and then shows: in an error about a port, or a database of that name.
 */
static const char *misread(const PQconninfoOption *o)
{
    const char *port = option(o, "port"), *host = option(o, "host");
    if (port[strspn(port, "0123456789,")] != '\0')
        return "expected a number as the port";
    if (strchr(option(o, "dbname"), '@') || (*host != '/' && strchr(host, '@')))
        return "expected one '@' at most";
    return NULL;
}

static bool is_local(const char *host)
{
    struct in6_addr a;
    return !*host || *host == '/' || *host == '@' || strcmp(host, "localhost") == 0 ||
           (strncmp(host, "127.", 4) == 0 && inet_pton(AF_INET, host, &a) == 1) ||
           strcmp(host, "::1") == 0;
}

int postgresql_read_url(struct postgresql *p, struct error *err)
{
    char *text = NULL; /* not shown: the URL is in it, in some cases */
    PQconninfoOption *o = PQconninfoParse(p->url, &text);
    PQfreemem(text);
    if (!o)
        return senseless("expected postgresql://[user@]host[:port]/database[?key=value&...]", err);
    const char *why = misread(o);
    int r = why ? senseless(why, err) : 0;
    const char *user = option(o, "user"), *host = option(o, "host"), *port = option(o, "port");
    if (r == 0 && asprintf(&p->db.name, "postgresql://%s%s%s%s%s/%s", user, *user ? "@" : "", host,
                           *port ? ":" : "", port, option(o, "dbname")) < 0) {
        p->db.name = NULL;
        r = error_set(err, ENOMEM, "out of memory");
    }
    p->local = is_local(host) && is_local(option(o, "hostaddr"));
    PQconninfoFree(o);
    return r;
}
