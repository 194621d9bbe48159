#include "appraise/record.h"

#include <string.h>

#define PCR_COUNT 24

size_t record_register(const struct event *e, enum event_log_format format,
                       const struct platform_claims *claims)
{
    int64_t target = e->index;
    if (e->type == EV_NO_ACTION)
        return 0;
    if (format == EVENT_LOG_TCG2)
        target = e->index < PCR_COUNT ? claims->pcr_map[e->index] : -1;
    return target > 0 && (uint64_t)target < claims->register_count ? (size_t)target : 0;
}

uint32_t record_pcrs(const struct event *e, enum event_log_format format,
                     const struct platform_claims *claims)
{
    uint32_t pcrs = 0;
    if (format == EVENT_LOG_TCG2)
        return e->index < PCR_COUNT ? UINT32_C(1) << e->index : 0;
    for (unsigned pcr = 0; pcr < PCR_COUNT; pcr++)
        if (claims->pcr_map[pcr] > 0 && (uint32_t)claims->pcr_map[pcr] == e->index)
            pcrs |= UINT32_C(1) << pcr;
    return pcrs;
}

bool record_measures(const struct event *e, struct bytes text)
{
    struct digest d;
    return e->digest.size > 0 && digest_compute(&d, e->digest.alg, text) == 0 &&
           digest_equal(&d, &e->digest);
}

struct bytes record_text(const struct event *e)
{
    struct bytes text = e->data;
    if (text.size > 0 && text.data[text.size - 1] == '\0')
        text.size--;
    return text;
}

bool bytes_start_with(struct bytes b, const char *prefix)
{
    size_t n = strlen(prefix);
    return b.size >= n && memcmp(b.data, prefix, n) == 0;
}

struct bytes bytes_from(struct bytes b, size_t at)
{
    return at < b.size ? BYTES(b.data + at, b.size - at) : BYTES_NONE;
}

bool record_command(const struct event *e, struct bytes *ret)
{
    static const char prefix[] = "grub_cmd: ";
    struct bytes text = record_text(e);
    if (!bytes_start_with(text, prefix))
        return false;
    *ret = bytes_from(text, strlen(prefix));
    return true;
}

struct bytes record_path(const struct event *e)
{
    struct bytes text = record_text(e);
    if (!bytes_start_with(text, "("))
        return text;
    const uint8_t *close = memchr(text.data, ')', text.size);
    return close ? bytes_from(text, (size_t)(close + 1 - text.data)) : text;
}

char *text_escape(struct bytes text, size_t max)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = text.size < max ? text.size : max;
    char *out = malloc(4 * n + 4);
    char *p = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = text.data[i];
        if (c >= 0x20 && c < 0x7f) {
            *p++ = (char)c;
            continue;
        }
        *p++ = '\\';
        *p++ = 'x';
        *p++ = digits[c >> 4];
        *p++ = digits[c & 15];
    }
    memcpy(p, n < text.size ? "..." : "", n < text.size ? 4 : 1);
    return out;
}
