#include "cli/inspect.h"
#include "appraise/record.h"
#include "base/hex.h"
#include "eventlog/eventlog.h"

#include <string.h>

#define DATA_SHOWN 200
#define NAME_MAX_CHARS 64

/* UEFI strings are UTF-16; everything that is not ASCII becomes '?'. */
static void utf16_text(struct bytes in, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i + 1 < in.size && n + 1 < size; i += 2) {
        uint16_t c = (uint16_t)(in.data[i] | in.data[i + 1] << 8);
        if (c == 0)
            break;
        out[n++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    out[n] = '\0';
}

/* UEFI_VARIABLE_DATA: the name and how large the value is. */
static bool show_variable(json_t *j, const struct event *e)
{
    struct reader r = reader_of(e->data);
    char name[NAME_MAX_CHARS + 1];
    char text[NAME_MAX_CHARS + 64];
    (void)read_bytes(&r, 16);
    uint64_t characters = read_le64(&r);
    uint64_t size = read_le64(&r);
    if (r.error || characters > reader_left(&r) / 2)
        return false;
    utf16_text(read_bytes(&r, (size_t)characters * 2), name, sizeof(name));
    snprintf(text, sizeof(text), "variable %s, %llu bytes", name, (unsigned long long)size);
    json_object_set_new(j, "data", json_string(text));
    return true;
}

/* UEFI_IMAGE_LOAD_EVENT: the last file path in the device path (UEFI, 10.3.5.4). */
static bool show_program(json_t *j, const struct event *e)
{
    struct reader r = reader_of(e->data);
    char path[256] = "";
    (void)read_bytes(&r, 32);
    while (reader_left(&r) >= 4) {
        uint8_t type = read_u8(&r);
        uint8_t subtype = read_u8(&r);
        uint16_t size = read_le16(&r);
        struct bytes node = read_bytes(&r, size >= 4 ? size - 4u : SIZE_MAX);
        if (type == 4 && subtype == 4)
            utf16_text(node, path, sizeof(path));
    }
    json_object_set_new(j, "data",
                        json_string(path[0] ? path : "(no file: from memory or a device)"));
    return true;
}

static bool show_text(json_t *j, const struct event *e)
{
    inspect_put_text(j, "data", record_text(e));
    return true;
}

static const struct {
    uint32_t type;
    bool (*show)(json_t *j, const struct event *e);
} shows[] = {
    {EV_IPL, show_text},
    {EV_ACTION, show_text},
    {EV_EFI_ACTION, show_text},
    {EV_EFI_VARIABLE_DRIVER_CONFIG, show_variable},
    {EV_EFI_VARIABLE_BOOT, show_variable},
    {EV_EFI_VARIABLE_AUTHORITY, show_variable},
    {EV_EFI_BOOT_SERVICES_APPLICATION, show_program},
    {EV_EFI_BOOT_SERVICES_DRIVER, show_program},
    {EV_EFI_RUNTIME_SERVICES_DRIVER, show_program},
};

static void show_data(json_t *j, const struct event *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(shows); i++)
        if (shows[i].type == e->type && shows[i].show(j, e))
            return;
    _free_ char *text = text_escape(e->data, DATA_SHOWN);
    json_object_set_new(j, "data", json_string(text ? text : ""));
}

static json_t *show_event(const struct event *e, size_t number, bool pcr)
{
    char text[32];
    json_t *j = json_object();
    json_object_set_new(j, "record", json_integer((json_int_t)number));
    snprintf(text, sizeof(text), "%s %u", pcr ? "PCR" : "register", e->index);
    json_object_set_new(j, "index", json_string(text));
    json_object_set_new(j, "type", json_string(event_type_name(e->type)));
    if (strcmp(event_type_name(e->type), "unknown") == 0) {
        snprintf(text, sizeof(text), "0x%x", e->type);
        json_object_set_new(j, "type", json_string(text));
    }
    inspect_put_hex(j, "digest", digest_bytes(&e->digest));
    show_data(j, e);
    return j;
}

/* SHA-256 first, since reference values are. */
static const enum hash_alg banks[] = {HASH_SHA256, HASH_SHA384, HASH_SHA512, HASH_SM3, HASH_SHA1};

/* The first bank that is there. */
static int parse_some_bank(struct event_log *ret, struct bytes in, struct error *err)
{
    int r = event_log_parse(ret, in, banks[0], err);
    for (size_t i = 1; r < 0 && i < ARRAY_SIZE(banks); i++)
        if (event_log_parse(ret, in, banks[i], NULL) == 0)
            return 0;
    return r;
}

/* What each index comes to, from zeros. Register 0 of a CCEL is never extended (E9). */
static void show_registers(json_t *j, const struct event_log *l, bool pcr)
{
    int8_t map[24];
    struct digest registers[25];
    for (int i = 0; i < 24; i++)
        map[i] = (int8_t)(i + 1);
    if (event_log_replay(l, map, registers, ARRAY_SIZE(registers), NULL) < 0)
        return;
    for (size_t i = pcr ? 1 : 2; i < ARRAY_SIZE(registers); i++) {
        char name[32];
        snprintf(name, sizeof(name), "%s %zu", pcr ? "PCR" : "register", i - 1);
        if (!bytes_are_zero(registers[i].bytes, registers[i].size))
            inspect_put_hex(j, name, digest_bytes(&registers[i]));
    }
}

/* Every bank that the log's header names. */
static json_t *show_replays(struct bytes in, bool pcr)
{
    json_t *j = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++) {
        _event_log_ struct event_log l = {0};
        if (event_log_parse(&l, in, banks[i], NULL) < 0)
            continue;
        json_t *registers = json_object();
        show_registers(registers, &l, pcr);
        json_object_set_new(j, hash_name(banks[i]), registers);
    }
    return j;
}

int inspect_event_log(json_t **ret, struct bytes in, bool pcr, struct error *err)
{
    _event_log_ struct event_log l = {0};
    int r = parse_some_bank(&l, in, err);
    if (r < 0)
        return r;
    json_t *root = json_object();
    json_t *events = json_array();
    json_object_set_new(root, "bank", json_string(hash_name(l.bank)));
    for (size_t i = 0; i < l.count; i++)
        json_array_append_new(events, show_event(&l.events[i], i + 1, pcr));
    json_object_set_new(root, "events", events);
    json_object_set_new(root, "replayed", show_replays(in, pcr));
    *ret = root;
    return 0;
}
