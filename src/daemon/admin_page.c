/* The status page: files that the build put in, which read the same interface as everyone else. */
#include "daemon/admin.h"
#include "daemon/page/page.h"

#include <string.h>

static int serve(struct admin_call *c, const char *name, const char *type, struct error *err)
{
    for (size_t i = 0; i < page_file_count; i++) {
        const struct embedded_file *f = &page_files[i];
        if (strcmp(f->name, name) != 0)
            continue;
        if (buffer_append(&c->reply.body, f->data, f->size) < 0)
            return error_set(err, ENOMEM, "out of memory");
        c->reply.status = 200;
        c->reply.type = type;
        return 0;
    }
    return error_set(err, ENOENT, "%s: not part of this program", name);
}

int admin_get_page(struct admin_call *c, struct error *err)
{
    return serve(c, "index.html", "text/html; charset=utf-8", err);
}

int admin_get_script(struct admin_call *c, struct error *err)
{
    return serve(c, "status.js", "text/javascript; charset=utf-8", err);
}

int admin_get_style(struct admin_call *c, struct error *err)
{
    return serve(c, "status.css", "text/css; charset=utf-8", err);
}

int admin_get_icon(struct admin_call *c, struct error *err)
{
    return serve(c, "icon.svg", "image/svg+xml", err);
}
