#include "cli/image_values.h"
#include "image/measure_image.h"

#include <string.h>

/* An image that is encrypted already has no root to be found, and needs none here. */
static int open_layout(struct layout *l, const char *path, unsigned root_partition,
                       struct error *err)
{
    struct error ignored;
    int r = layout_open(l, path, err);
    if (r == 0 && root_partition)
        r = layout_find_root(l, root_partition, err);
    else if (r == 0)
        (void)!layout_find_root(l, 0, &ignored);
    return r < 0 ? r : layout_find_boot(l, err);
}

static void find_volume(const struct layout *l, char volume[64])
{
    size_t found = 0;
    for (size_t i = 0; i < l->table.count; i++)
        if (strcmp(l->parts[i].info.type_name, "crypto_LUKS") == 0 && found++ == 0)
            snprintf(volume, 64, "%.63s", l->parts[i].info.uuid);
    if (found != 1)
        volume[0] = '\0';
}

int image_values(struct reference_values *ret, struct bootplan *plan, char volume[64],
                 const char *path, unsigned root_partition, struct error *err)
{
    _layout_ struct layout l = {0};
    _bootpath_ struct bootpath p = {0};
    int r = open_layout(&l, path, root_partition, err);
    if (r == 0)
        r = bootpath_read(&p, &l, err);
    if (r == 0)
        r = boot_entries(plan, &l, &p, err);
    if (r == 0)
        r = measure_entries(ret, &l, &p, plan, err);
    if (r == 0)
        find_volume(&l, volume);
    return r;
}
