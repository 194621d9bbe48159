/*
 * Records of UEFI variables. They share a register with the platform's tables, which the host makes
 * and whose code the guest's kernel runs: no table may be told as a variable. Tables begin with
 * four letters (ACPI) or with a structure's type and a length of 4 or more (SMBIOS); nothing that
 * these forms take begins so.
 */
#include "appraise/record.h"

#include <string.h>

/* The namespaces of what is measured, as they stand in memory (UEFI, appendix A). */
#define GUID_SIZE 16
static const uint8_t namespaces[][GUID_SIZE] = {
    /* EFI_GLOBAL_VARIABLE */
    {0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b,
     0x8c},
    /* EFI_IMAGE_SECURITY_DATABASE_GUID */
    {0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65,
     0x6f},
    /* SHIM_LOCK_GUID */
    {0x50, 0xab, 0x5d, 0x60, 0x46, 0xe0, 0x00, 0x43, 0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b,
     0x23},
};

#define BOOT_NUMBER_MAX 0x3ff /* Boot03FF; firmware counts from 0 */
#define BOOT_ORDER_MAX 256    /* entries */

/* ACTIVE, FORCE_RECONNECT, HIDDEN, CATEGORY_APP (UEFI, 3.1.3). */
#define LOAD_OPTION_ATTRIBUTES 0x010bu

struct variable {
    struct bytes guid;
    struct bytes name; /* UTF-16 */
    struct bytes value;
};

static bool is_known_namespace(struct bytes guid)
{
    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
        if (bytes_equal(guid, BYTES_OF(namespaces[i])))
            return true;
    return false;
}

/* UEFI_VARIABLE_DATA: GUID, u64 characters in the name, u64 bytes of the value, name, value. */
static bool read_variable(const struct event *e, struct variable *v)
{
    struct reader r = reader_of(e->data);
    v->guid = read_bytes(&r, GUID_SIZE);
    uint64_t characters = read_le64(&r);
    uint64_t size = read_le64(&r);
    if (r.error || characters > reader_left(&r) / 2)
        return false;
    v->name = read_bytes(&r, (size_t)characters * 2);
    if (size != reader_left(&r))
        return false;
    v->value = read_bytes(&r, (size_t)size);
    return r.error == 0 && is_known_namespace(v->guid);
}

bool form_variable(const struct event *e)
{
    struct variable v;
    return read_variable(e, &v) && record_measures(e, e->data);
}

/* ---- the order of boot ---- */

/* As ASCII; "" for what is not, or is too long. */
static void name_text(struct bytes utf16, char ret[16])
{
    size_t n = 0;
    for (size_t i = 0; i + 1 < utf16.size && n < 15; i += 2, n++)
        ret[n] = utf16.data[i + 1] == 0 && utf16.data[i] < 0x7f ? (char)utf16.data[i] : '?';
    ret[n < 15 ? n : 0] = '\0';
}

static bool is_boot_order(struct bytes value)
{
    bool seen[BOOT_NUMBER_MAX + 1] = {false};
    struct reader r = reader_of(value);
    if (value.size % 2 || value.size > 2 * BOOT_ORDER_MAX)
        return false;
    while (reader_left(&r) > 0) {
        uint16_t number = read_le16(&r);
        if (number > BOOT_NUMBER_MAX || seen[number])
            return false;
        seen[number] = true;
    }
    return true;
}

/* EFI_LOAD_OPTION (UEFI, 3.1.3): attributes, length of the path, description, path, the rest. */
static bool is_load_option(struct bytes value)
{
    struct reader r = reader_of(value);
    uint32_t attributes = read_le32(&r);
    uint16_t path_size = read_le16(&r);
    if (r.error || attributes & ~LOAD_OPTION_ATTRIBUTES)
        return false;
    while (!r.error && read_le16(&r) != 0)
        ;
    return !r.error && path_size >= 4 && path_size <= reader_left(&r);
}

static bool is_boot_number(const char *name)
{
    return strlen(name) == 8 && strncmp(name, "Boot", 4) == 0 &&
           strspn(name + 4, "0123456789ABCDEF") == 4;
}

/* EV_EFI_VARIABLE_BOOT: older firmware measures the value alone, newer all of the data. */
bool form_boot_variable(const struct event *e)
{
    struct variable v;
    char name[16];
    if (!read_variable(e, &v))
        return false;
    name_text(v.name, name);
    bool order = strcmp(name, "BootOrder") == 0;
    if (!order && !is_boot_number(name))
        return false;
    if (record_measures(e, e->data))
        return true;
    return (order ? is_boot_order(v.value) : is_load_option(v.value)) &&
           record_measures(e, v.value);
}
