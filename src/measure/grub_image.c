#include "measure/grub_image.h"

#include <string.h>

/* grub/kernel.h: struct grub_module_info64, grub_module_info32, grub_module_header. */
#define MODULES_MAGIC "mimg"
#define MODULE_HEADER_SIZE 8
#define MODULE_MEMDISK 1
#define MODULE_TYPES 16 /* more than any GRUB has; tells a list of modules from chance */

/* The modules behind a header with the magic number, whose fields are `width` bytes wide. */
static struct bytes modules_at(struct bytes header, size_t width)
{
    struct reader r = reader_of(header);
    (void)read_bytes(&r, width == 8 ? 8 : 4); /* the magic number, padded in the wide form */
    uint64_t offset = width == 8 ? read_le64(&r) : read_le32(&r);
    uint64_t size = width == 8 ? read_le64(&r) : read_le32(&r);
    if (r.error || offset != r.at || size < offset || size > header.size)
        return BYTES_NONE;
    return BYTES(header.data + offset, (size_t)(size - offset));
}

static bool find_memdisk(struct bytes modules, struct bytes *ret)
{
    struct reader r = reader_of(modules);
    while (reader_left(&r) >= MODULE_HEADER_SIZE) {
        uint32_t type = read_le32(&r);
        uint32_t size = read_le32(&r);
        if (type >= MODULE_TYPES || size < MODULE_HEADER_SIZE)
            return false;
        struct bytes content = read_bytes(&r, size - MODULE_HEADER_SIZE);
        if (type == MODULE_MEMDISK && content.size > 0) {
            *ret = content;
            return true;
        }
    }
    return false;
}

struct bytes grub_image_memdisk(struct bytes program)
{
    static const size_t widths[] = {8, 4};
    struct bytes rest = program, found = BYTES_NONE;
    for (const uint8_t *at;
         rest.size > 0 && (at = memmem(rest.data, rest.size, MODULES_MAGIC, 4)) != NULL;) {
        rest = BYTES(at, rest.size - (size_t)(at - rest.data));
        for (size_t i = 0; i < ARRAY_SIZE(widths); i++)
            if (find_memdisk(modules_at(rest, widths[i]), &found))
                return found;
        rest = BYTES(rest.data + 1, rest.size - 1);
    }
    return BYTES_NONE;
}
