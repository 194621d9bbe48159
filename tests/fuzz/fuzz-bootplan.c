#include "image/bootplan.h"
#include "image/grubgen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is made of a configuration once it is parsed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bootplan_checks checks = {.boot_uuid = "1-2", .grubenv = "saved_entry=a>b\n"};
    _grub_config_ struct grub_config c = {0};
    _bootplan_ struct bootplan p = {0};
    _grub_stub_ struct grub_stub s = {0};
    if (grub_config_parse(&c, BYTES(data, size), "fuzz", NULL) < 0)
        return 0;
    (void)!grub_stub_read(&s, &c, NULL);
    (void)!bootplan_make(&p, &c, &checks, NULL);
    return 0;
}
