#include "cli/audit_reader.h"
#include "cli/audit_columns.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* The size, while nobody writes: no half of a record that is being appended is seen. */
static int settled_size(int fd, uint64_t *ret, const char *path, struct error *err)
{
    struct stat st;
    if (flock(fd, LOCK_SH) < 0 || fstat(fd, &st) < 0 || flock(fd, LOCK_UN) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s: expected an ordinary file", path);
    *ret = (uint64_t)st.st_size;
    return 0;
}

int audit_reader_open(struct audit_reader *ret, const char *path, struct error *err)
{
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return error_hint(err, error_errno(err, errno, "%s", path),
                          "`encroot unlock` makes it with its first decision; -d names the folder");
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    struct audit_reader a = {.path = path};
    int r = settled_size(fd, &a.left, path, err);
    if (r < 0)
        return r;
    a.buffer = malloc(AUDIT_RECORD_MAX + 1);
    a.file = a.buffer ? fdopen(fd, "re") : NULL;
    if (!a.file) {
        free(a.buffer);
        return error_set(err, ENOMEM, "out of memory");
    }
    TAKE_FD(fd);
    *ret = a;
    return 0;
}

int audit_reader_open_broker(struct audit_reader *ret, const struct admin_client *c, uint64_t count,
                             struct error *err)
{
    struct audit_reader a = {.path = c->address.text};
    int r = audit_pages_open(&a.pages, c, count, err);
    if (r == 0)
        *ret = a;
    return r;
}

/* One line into the buffer, as much of it as has room. False: it has no end. */
static bool read_line(struct audit_reader *a)
{
    size_t n = 0;
    int c = 0;
    while (a->left > 0 && c != '\n' && (c = getc_unlocked(a->file)) != EOF) {
        a->left--;
        if (c != '\n' && n < AUDIT_RECORD_MAX + 1)
            a->buffer[n++] = (uint8_t)c;
    }
    a->text = BYTES(a->buffer, n);
    return c == '\n';
}

/* Does it follow? It is what later lines are measured by, whatever is wrong with it. */
static int judge(struct audit_reader *a, bool ended, const char *name)
{
    int r = audit_parse(&a->record, a->text, name, &a->problem);
    /* Of a chain that is not read from its beginning, the first record is taken at its word. */
    if (r == 0 && a->pages.client && a->records == 0 && a->pages.first > 1 &&
        a->record.sequence == a->pages.first) {
        a->state.sequence = a->record.sequence - 1;
        memcpy(a->state.hash, a->record.previous, AUDIT_HASH_SIZE);
    }
    if (r == 0) {
        r = audit_verify(&a->state, &a->record, name, &a->problem);
        if (r == 0 && a->pages.client)
            r = audit_columns_compare(a->columns, &a->record, name, &a->problem);
        a->records++;
        a->state = audit_state_after(&a->record);
    }
    if (ended)
        return r;
    if (a->record.json)
        return error_set(&a->problem, EUCLEAN, "%s: the record has no line end", name);
    error_set(&a->problem, EUCLEAN, "%s: the beginning of a record, %zu bytes, without its end",
              name, a->text.size);
    return error_hint(&a->problem, -EUCLEAN,
                      "a crash leaves this, and so does cutting the file off; the next decision "
                      "moves it to %s.torn",
                      a->path);
}

static int next_of_file(struct audit_reader *a, bool *ended, struct error *err)
{
    if (a->left == 0)
        return 0;
    *ended = read_line(a);
    if (ferror(a->file))
        return error_set(err, EIO, "%s: reading failed", a->path);
    if (!*ended && a->left > 0)
        return error_set(err, EIO, "%s: became shorter while it was read", a->path);
    return 1;
}

static int next_of_broker(struct audit_reader *a, struct error *err)
{
    int r = audit_pages_next(&a->pages, a->state.sequence, &a->columns, &a->text, err);
    if (r == 0 && a->state.sequence < a->pages.end && !a->broken.text[0])
        error_set(&a->broken, EUCLEAN,
                  "%s: has %llu records by its own account, but the last that it gives is %llu",
                  a->path, (unsigned long long)a->pages.end, (unsigned long long)a->state.sequence);
    return r;
}

int audit_reader_next(struct audit_reader *a, struct error *err)
{
    char name[512];
    bool ended = true;
    audit_record_free(&a->record);
    a->problem = (struct error){0};
    int r = a->pages.client ? next_of_broker(a, err) : next_of_file(a, &ended, err);
    if (r <= 0)
        return r;
    a->line++;
    snprintf(name, sizeof(name), "%s: line %llu", a->path, (unsigned long long)a->line);
    if (judge(a, ended, name) == -ENOMEM)
        return error_set(err, ENOMEM, "out of memory");
    if (a->problem.text[0] && !a->broken.text[0])
        a->broken = a->problem;
    return 1;
}

void audit_reader_close(struct audit_reader *a)
{
    audit_record_free(&a->record);
    audit_pages_close(&a->pages);
    if (a->file)
        fclose(a->file);
    free(a->buffer);
    *a = (struct audit_reader){0};
}
