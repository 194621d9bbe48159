#include "image/agent_file.h"

#include <string.h>

#define TYPE_INTERPRETER 3 /* PT_INTERP */

static const char *machine_name(uint16_t machine)
{
    static const struct {
        uint16_t machine;
        const char *name;
    } names[] = {{62, "x86-64"}, {183, "aarch64"}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].machine == machine)
            return names[i].name;
    return "another machine";
}

/* ELF-64 object file format, "ELF header", "Program header table"; both machines are little-endian.
 */
int agent_file_check(struct bytes file, uint16_t machine, struct error *err)
{
    struct reader r = reader_of(file);
    struct bytes ident = read_bytes(&r, 16);
    (void)read_le16(&r);
    uint16_t found = read_le16(&r);
    (void)read_bytes(&r, 12);
    uint64_t table = read_le64(&r);
    (void)read_bytes(&r, 14);
    uint16_t size = read_le16(&r);
    uint16_t count = read_le16(&r);
    if (r.error || memcmp(ident.data, "\177ELF\2\1", 6) != 0)
        return error_set(err, EINVAL, "the agent is not a 64-bit ELF program");
    if (found != machine)
        return error_hint(err,
                          error_set(err, EINVAL, "the agent is for %s, the image boots on %s",
                                    machine_name(found), machine_name(machine)),
                          "give one for that machine: --agent FILE");
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = table + (uint64_t)i * size;
        if (size < 4 || at < table || at > file.size || file.size - at < size)
            return error_set(err, EINVAL, "the agent's program headers are beyond its end");
        struct reader p = reader_of(BYTES(file.data + at, size));
        if (read_le32(&p) == TYPE_INTERPRETER)
            return error_set(err, EINVAL,
                             "the agent is not static: the libraries it needs would be missing");
    }
    return 0;
}
