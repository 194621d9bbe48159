#include "cli/audit_options.h"
#include "cli/command.h"

const char *audit_source_problem(const struct audit_source *s)
{
    if (s->folder && s->admin.broker)
        return "-d and --broker: the records of one or of the other";
    if (!s->admin.broker && (s->admin.key || s->admin.certificate || s->admin.pin || s->last))
        return "--client-key, --client-certificate, --pin and --last go with --broker";
    return NULL;
}

int audit_open(struct audit_reader *ret, struct audit_source *source, struct error *err)
{
    int r;
    if (source->admin.broker) {
        r = admin_client_of(&source->client, &source->admin, err);
        return r < 0 ? r : audit_reader_open_broker(ret, &source->client, source->last, err);
    }
    paths_free(&source->paths);
    r = paths_of(&source->paths, source->folder ? source->folder : ".", err);
    return r < 0 ? r : audit_reader_open(ret, source->paths.audit, err);
}

void audit_source_free(struct audit_source *s)
{
    paths_free(&s->paths);
}

int audit_exit_code(int r)
{
    return r == -EUCLEAN ? EXIT_REFUSED : admin_exit_code(r);
}

int audit_conclude(const struct audit_reader *a)
{
    return a->broken.text[0] ? report_error(&a->broken, EXIT_REFUSED, false) : EXIT_OK;
}
