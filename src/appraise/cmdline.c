#include "appraise/cmdline.h"
#include "appraise/record.h"

#include <string.h>

struct words {
    size_t count;
    bool too_many;
    struct bytes list[CMDLINE_WORDS_MAX];
};

/* As Linux does (lib/cmdline.c, next_arg): blanks separate, but not between double quotes. */
static struct words *split(struct bytes line)
{
    struct words *w = calloc(1, sizeof(*w));
    bool quoted = false;
    size_t begin = 0;
    if (!w)
        return NULL;
    for (size_t i = 0; i <= line.size; i++) {
        bool end = i == line.size || (!quoted && (line.data[i] == ' ' || line.data[i] == '\t'));
        if (!end) {
            quoted ^= line.data[i] == '"';
            continue;
        }
        w->too_many |= i > begin && w->count == CMDLINE_WORDS_MAX;
        if (i > begin && !w->too_many)
            w->list[w->count++] = BYTES(line.data + begin, i - begin);
        begin = i + 1;
    }
    return w;
}

/* Strike out of `a` and `b` the words that they share; what is left differs. */
static void strike_common(struct words *a, struct words *b)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            if (a->list[i].size && bytes_equal(a->list[i], b->list[j])) {
                a->list[i] = b->list[j] = BYTES_NONE;
                break;
            }
}

static size_t count_left(const struct words *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->count; i++)
        n += w->list[i].size > 0;
    return n;
}

size_t cmdline_distance(struct bytes a, struct bytes b)
{
    _free_ struct words *x = split(a);
    _free_ struct words *y = split(b);
    if (!x || !y || x->too_many || y->too_many)
        return SIZE_MAX;
    strike_common(x, y);
    return count_left(x) + count_left(y);
}

static int list_left(const struct words *w, const char *title, struct buffer *ret)
{
    if (count_left(w) == 0)
        return 0;
    int r = buffer_printf(ret, "%s%s:", ret->size ? "; " : "", title);
    for (size_t i = 0; r == 0 && i < w->count; i++) {
        if (w->list[i].size == 0)
            continue;
        _free_ char *word = text_escape(w->list[i], 1024);
        r = word ? buffer_printf(ret, " %s", word) : -ENOMEM;
    }
    return r;
}

int cmdline_describe(struct bytes expected, struct bytes found, struct buffer *ret)
{
    _free_ struct words *x = split(expected);
    _free_ struct words *y = split(found);
    _buffer_ struct buffer out = {0};
    if (!x || !y)
        return -ENOMEM;
    bool shortened = x->too_many || y->too_many;
    bool same_count = x->count == y->count;
    bool same_order = same_count;
    for (size_t i = 0; same_order && i < x->count; i++)
        same_order = bytes_equal(x->list[i], y->list[i]);
    strike_common(x, y);
    int r = list_left(y, "added", &out);
    if (r == 0)
        r = list_left(x, "missing", &out);
    if (r == 0 && out.size == 0)
        r = buffer_printf(&out, "%s",
                          shortened    ? "more words than can be compared"
                          : same_order ? "differs in white space only"
                                       : "the same words in another order");
    return r < 0 ? r : buffer_append(ret, out.data, out.size);
}
