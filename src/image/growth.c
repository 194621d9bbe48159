#include "image/growth.h"

#define MIB ((uint64_t)1 << 20)
/* The backup table: 33 sectors (UEFI, 5.3.1), kept aligned. */
#define GPT_TAIL MIB

static uint64_t end_of(const struct partition *p)
{
    return p->start + p->size;
}

static uint64_t align_up(uint64_t n)
{
    return (n + MIB - 1) / MIB * MIB;
}

/* The first byte behind `p` that something else uses, or the end of the usable disk. */
static uint64_t room_end(const struct partition_table *t, size_t index, bool *last)
{
    const struct partition *p = &t->parts[index];
    uint64_t room = t->disk_size > 34 * 512 ? t->disk_size - 34 * 512 : 0;
    *last = true;
    for (size_t i = 0; i < t->count; i++) {
        if (i == index || t->parts[i].start < p->start)
            continue;
        *last = false;
        if (t->parts[i].start < room)
            room = t->parts[i].start;
    }
    return room;
}

static uint64_t last_end(const struct partition_table *t)
{
    uint64_t end = MIB;
    for (size_t i = 0; i < t->count; i++)
        if (end_of(&t->parts[i]) > end)
            end = end_of(&t->parts[i]);
    return end;
}

static bool sane(const struct partition_table *t, uint64_t extra)
{
    const uint64_t limit = (uint64_t)1 << 60;
    for (size_t i = 0; i < t->count; i++)
        if (t->parts[i].start > limit || t->parts[i].size > limit)
            return false;
    return t->disk_size <= limit && extra <= limit;
}

int growth_plan(struct partition_table *ret, enum growth *how, const struct partition_table *in,
                size_t index, uint64_t extra, struct error *err)
{
    if (index >= in->count || !sane(in, extra))
        return error_set(err, EOVERFLOW, "partition table: sizes are out of range");
    *ret = *in;
    struct partition *p = &ret->parts[index];
    bool last;
    uint64_t room = room_end(in, index, &last);
    p->size += extra;
    if (end_of(p) <= room) {
        *how = GROWTH_IN_PLACE;
        return 0;
    }
    if (!last)
        p->start = align_up(last_end(in));
    *how = last ? GROWTH_DISK : GROWTH_MOVED;
    uint64_t need = align_up(end_of(p)) + GPT_TAIL;
    if (need > ret->disk_size)
        ret->disk_size = need;
    return 0;
}
