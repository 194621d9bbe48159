#include "eventlog/eventlog.h"

#include <string.h>

#define LOG_END 0xffffffffu
#define PCR_COUNT 24
#define DATA_MAX ((size_t)1 << 20)

static const char spec_id_signature[16] = "Spec ID Event03";

/* The algorithms a log declares; digest sizes come from here, never from a constant (E10). */
struct algorithms {
    size_t count;
    struct {
        uint16_t id;
        uint16_t size;
    } list[EVENT_LOG_MAX_ALGS];
};

static const struct {
    uint32_t type;
    const char *name;
} type_names[] = {
    {EV_NO_ACTION, "EV_NO_ACTION"},
    {EV_SEPARATOR, "EV_SEPARATOR"},
    {EV_ACTION, "EV_ACTION"},
    {EV_EVENT_TAG, "EV_EVENT_TAG"},
    {EV_S_CRTM_VERSION, "EV_S_CRTM_VERSION"},
    {EV_PLATFORM_CONFIG_FLAGS, "EV_PLATFORM_CONFIG_FLAGS"},
    {EV_IPL, "EV_IPL"},
    {EV_EFI_VARIABLE_DRIVER_CONFIG, "EV_EFI_VARIABLE_DRIVER_CONFIG"},
    {EV_EFI_VARIABLE_BOOT, "EV_EFI_VARIABLE_BOOT"},
    {EV_EFI_BOOT_SERVICES_APPLICATION, "EV_EFI_BOOT_SERVICES_APPLICATION"},
    {EV_EFI_BOOT_SERVICES_DRIVER, "EV_EFI_BOOT_SERVICES_DRIVER"},
    {EV_EFI_RUNTIME_SERVICES_DRIVER, "EV_EFI_RUNTIME_SERVICES_DRIVER"},
    {EV_EFI_GPT_EVENT, "EV_EFI_GPT_EVENT"},
    {EV_EFI_ACTION, "EV_EFI_ACTION"},
    {EV_EFI_PLATFORM_FIRMWARE_BLOB, "EV_EFI_PLATFORM_FIRMWARE_BLOB"},
    {EV_EFI_HANDOFF_TABLES, "EV_EFI_HANDOFF_TABLES"},
    {EV_EFI_PLATFORM_FIRMWARE_BLOB2, "EV_EFI_PLATFORM_FIRMWARE_BLOB2"},
    {EV_EFI_HANDOFF_TABLES2, "EV_EFI_HANDOFF_TABLES2"},
    {EV_EFI_VARIABLE_BOOT2, "EV_EFI_VARIABLE_BOOT2"},
    {EV_EFI_VARIABLE_AUTHORITY, "EV_EFI_VARIABLE_AUTHORITY"},
};

const char *event_type_name(uint32_t type)
{
    for (size_t i = 0; i < ARRAY_SIZE(type_names); i++)
        if (type_names[i].type == type)
            return type_names[i].name;
    return "unknown";
}

static size_t declared_size(const struct algorithms *a, uint16_t id)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->list[i].id == id)
            return a->list[i].size;
    return 0;
}

/* A size other than the algorithm's own, or none, would let records be read in two ways. */
static int declare(struct algorithms *a, uint16_t id, uint16_t size, struct error *err)
{
    size_t known = hash_size(id);
    if (declared_size(a, id))
        return error_set(err, EBADMSG, "header: algorithm 0x%x is declared twice", id);
    if (size == 0 || size > DIGEST_MAX || (known && size != known))
        return error_set(err, EBADMSG, "header: algorithm 0x%x cannot have digests of %u bytes", id,
                         size);
    a->list[a->count].id = id;
    a->list[a->count++].size = size;
    return 0;
}

/* TCG_EfiSpecIDEvent: TCG PC Client Platform Firmware Profile, 10.4.5.1 */
static int parse_spec_id(struct algorithms *a, struct bytes data, struct error *err)
{
    struct reader r = reader_of(data);
    struct bytes signature = read_bytes(&r, sizeof(spec_id_signature));
    if (!bytes_equal(signature, BYTES_OF(spec_id_signature)))
        return error_set(err, EBADMSG, "header: not \"Spec ID Event03\"");
    (void)read_bytes(&r, 8); /* platform class, version, size of UINTN */
    uint32_t count = read_le32(&r);
    if (r.error || count == 0 || count > EVENT_LOG_MAX_ALGS)
        return error_set(err, EBADMSG, "header: %u digest algorithms, expected 1 to %d", count,
                         EVENT_LOG_MAX_ALGS);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t id = read_le16(&r);
        uint16_t size = read_le16(&r);
        int result = r.error ? error_set(err, EBADMSG, "header: algorithm %u is cut off", i)
                             : declare(a, id, size, err);
        if (result < 0)
            return result;
    }
    (void)read_bytes(&r, read_u8(&r)); /* vendor information */
    if (r.error || reader_left(&r) > 0)
        return error_set(err, EBADMSG, "header: its size does not fit its content");
    return 0;
}

/* The first record has the old form with one SHA-1 digest (TCG_PCR_EVENT). */
static int parse_header(struct algorithms *a, struct reader *r, struct error *err)
{
    (void)read_le32(r);
    uint32_t type = read_le32(r);
    (void)read_bytes(r, 20);
    struct bytes data = read_bytes(r, read_le32(r));
    if (r->error || type != EV_NO_ACTION)
        return error_set(err, EBADMSG, "offset 0: no Spec ID record");
    int result = parse_spec_id(a, data, err);
    return result < 0 ? error_prefix(err, result, "offset 0") : 0;
}

/* The digests of one record: each declared, none twice; the bank's goes into `e`. */
static int parse_digests(struct event *e, const struct algorithms *a, enum hash_alg bank,
                         struct reader *r, struct error *err)
{
    uint16_t seen[EVENT_LOG_MAX_ALGS];
    uint32_t count = read_le32(r);
    if (r->error || count > a->count)
        return error_set(err, EBADMSG, "%u digests, the header declares %zu", count, a->count);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t id = read_le16(r);
        size_t size = declared_size(a, id);
        if (r->error || size == 0)
            return error_set(err, EBADMSG, "digest algorithm 0x%x is not in the header", id);
        for (uint32_t j = 0; j < i; j++)
            if (seen[j] == id)
                return error_set(err, EBADMSG, "two digests of algorithm 0x%x", id);
        seen[i] = id;
        struct bytes digest = read_bytes(r, size);
        if (r->error)
            return error_set(err, EBADMSG, "digest is cut off");
        if (id == (uint16_t)bank) {
            e->digest = (struct digest){.alg = bank, .size = size};
            memcpy(e->digest.bytes, digest.data, size);
        }
    }
    if (e->type == EV_NO_ACTION)
        e->digest = (struct digest){0};
    else if (e->digest.size == 0)
        return error_set(err, EBADMSG, "no digest of algorithm 0x%x", bank);
    return 0;
}

/* TCG_PCR_EVENT2 */
static int parse_event(struct event *e, const struct algorithms *a, enum hash_alg bank,
                       struct reader *r, struct error *err)
{
    e->offset = r->at;
    e->index = read_le32(r);
    e->type = read_le32(r);
    if (r->error)
        return error_set(err, EBADMSG, "record is cut off");
    int result = parse_digests(e, a, bank, r, err);
    if (result < 0)
        return result;
    uint32_t size = read_le32(r);
    if (r->error || size > DATA_MAX || size > reader_left(r))
        return error_set(err, EBADMSG, "%u bytes of data, %zu are left", size, reader_left(r));
    e->data = read_bytes(r, size);
    return 0;
}

static bool at_end(const struct reader *r)
{
    static const uint8_t end[4] = {0xff, 0xff, 0xff, 0xff};
    size_t left = r->in.size - r->at;
    return bytes_are_zero(r->in.data + r->at, left) ||
           (left >= 4 && memcmp(r->in.data + r->at, end, 4) == 0);
}

/* Room for one more, doubling. */
static int grow(struct event_log *l, struct error *err)
{
    if (l->count == EVENT_LOG_MAX_RECORDS)
        return error_set(err, EBADMSG, "more than %d records", EVENT_LOG_MAX_RECORDS);
    if (l->count & (l->count - 1))
        return 0;
    size_t capacity = l->count ? l->count * 2 : 1;
    struct event *events = reallocarray(l->events, capacity, sizeof(*events));
    if (!events)
        return error_set(err, ENOMEM, "out of memory");
    l->events = events;
    return 0;
}

int event_log_parse(struct event_log *ret, struct bytes log, enum hash_alg alg, struct error *err)
{
    _event_log_ struct event_log l = {.bank = alg};
    struct algorithms algorithms = {0};
    struct reader r = reader_of(log);
    int result = parse_header(&algorithms, &r, err);
    if (result < 0)
        return error_prefix(err, result, "event log");
    if (hash_size(alg) == 0 || declared_size(&algorithms, (uint16_t)alg) == 0)
        return error_set(err, EBADMSG, "event log: has no %s bank",
                         hash_name(alg) ? hash_name(alg) : "such");
    while (!at_end(&r)) {
        size_t offset = r.at;
        struct event e = {0};
        result = grow(&l, err);
        if (result == 0)
            result = parse_event(&e, &algorithms, alg, &r, err);
        if (result < 0)
            return error_prefix(err, result, "event log: record %zu at offset %zu", l.count + 1,
                                offset);
        l.events[l.count++] = e;
    }
    *ret = l;
    l = (struct event_log){0};
    return 0;
}

void event_log_free(struct event_log *l)
{
    free(l->events);
    *l = (struct event_log){0};
}

int event_log_replay(const struct event_log *l, const int8_t *map, struct digest *registers,
                     size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        registers[i] = (struct digest){.alg = l->bank, .size = hash_size(l->bank)};
    for (size_t i = 0; i < l->count; i++) {
        const struct event *e = &l->events[i];
        if (e->type == EV_NO_ACTION)
            continue;
        if (map && e->index >= PCR_COUNT)
            return error_set(err, EBADMSG, "record %zu at offset %zu: there is no PCR %u", i + 1,
                             e->offset, e->index);
        int64_t target = map ? map[e->index] : (int64_t)e->index;
        if (target <= 0)
            continue; /* not of the boot log, or covered by nothing (E9) */
        if ((uint64_t)target >= count)
            return error_set(err, EBADMSG, "record %zu at offset %zu: there is no register %lld",
                             i + 1, e->offset, (long long)target);
        int r = digest_extend(&registers[target], digest_bytes(&e->digest));
        if (r < 0)
            return error_set(err, -r, "replay: hashing failed");
    }
    return 0;
}
