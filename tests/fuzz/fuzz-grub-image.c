#include "measure/grub_image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes disk = grub_image_memdisk(BYTES(data, size));
    if (disk.size > 0 && (disk.data < data || disk.data + disk.size > data + size))
        abort();
    return 0;
}
