/* A wrapped secret, as a store that somebody wrote to may give it: under a key that is known, so
 * that only what this key sealed opens, and only as it was sealed. */
#include "base/io.h"
#include "vault/kek.h"

#include <err.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_ring(struct kek_ring *ring)
{
    static const uint8_t key[KEK_SIZE] = {7};
    char path[] = "/tmp/encroot-fuzz-XXXXXX", url[64];
    struct error e = {0};
    int fd = mkstemp(path); /* mode 0600 */
    if (fd < 0 || write_exact(fd, key, sizeof(key)) < 0)
        errx(1, "%s", path);
    close(fd);
    snprintf(url, sizeof(url), "file:%s", path);
    int r = kek_open(&ring->keys[0], url, &e);
    unlink(path);
    if (r < 0)
        errx(1, "%s", e.text);
    ring->count = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kek_ring ring;
    static const uint8_t volume[16] = {1, 2, 3, 4};
    _secret_ struct secret *s = NULL;
    struct error e = {0};
    if (ring.count == 0)
        open_ring(&ring);
    int r = kek_unwrap(&ring, volume, BYTES(data, size), &s, &e);
    bool current = kek_is_current(&ring, BYTES(data, size));
    if (r < 0 ? s || !e.text[0] || (r == -ENOKEY && current)
              : !current || KEK_WRAPPED_SIZE(secret_size(s)) != size)
        abort();
    return 0;
}
