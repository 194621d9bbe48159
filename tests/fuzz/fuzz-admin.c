/* A request to the broker's administration: its head, where it leads, the settings in its body. */
#include "daemon/admin.h"

#include <string.h>

static ssize_t take(void *arg, void *p, size_t n, struct error *err)
{
    struct bytes *in = arg;
    n = n < in->size ? n : in->size;
    if (n)
        memcpy(p, in->data, n);
    *in = BYTES(in->data + n, in->size - n);
    return (ssize_t)n;
}

static void read_settings(struct bytes body)
{
    _json_ json_t *j = NULL;
    struct store_volume v = {0};
    if (json_parse(&j, body, "request", NULL) < 0 || admin_read_settings(j, &v, NULL) < 0)
        return;
    /* What was taken is told the same. */
    _json_ json_t *told = json_object();
    struct store_volume again = {0};
    if (admin_put_settings(told, &v) != 0)
        abort();
    if (v.name[0] && (admin_read_settings(told, &again, NULL) < 0 ||
                      strcmp(v.name, again.name) != 0 || v.not_after != again.not_after))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = BYTES(data, size);
    struct http_stream s = {.read = take, .arg = &in};
    struct http_header wanted[] = {{"Host", ""}, {"Origin", ""}, {"X-Encroot-Admin", ""}};
    struct http_request head;
    if (http_read_request_with(&s, &head, wanted, ARRAY_SIZE(wanted), NULL) < 0)
        return 0;
    const struct admin_origin origin = {
        .host = wanted[0].value, .origin = wanted[1].value, .marker = wanted[2].value};
    for (enum admin_role role = ADMIN_NONE; role <= ADMIN_ADMIN; role++) {
        const struct admin_user user = {.role = role, .name = "fuzz"};
        struct admin_call c = {.user = &user};
        struct error err = {0};
        int r = admin_route(&c, &head, &origin, &err);
        if (r < 0)
            admin_fail(&c.reply, r, &err);
        else if (c.route->role > role || (strcmp(head.method, "GET") != 0 && !origin.marker[0]))
            abort();
        admin_call_free(&c);
    }
    read_settings(in);
    return 0;
}
