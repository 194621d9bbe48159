#include "unit.h"
#include "measure/rim.h"

#include <strings.h>

/* Inputs and results agree with virtCCA's gen_rim_ref: byte i of blob(n, seed) is
 * (31·i + 7·⌊i/4096⌋ + seed) mod 256. */
static struct bytes blob(size_t n, unsigned seed)
{
    uint8_t *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(31 * i + 7 * (i / 4096) + seed);
    return BYTES(p, n);
}

static struct {
    struct bytes firmware, device_tree, image, initrd;
} in;

static int make_inputs(void **state)
{
    (void)state;
    in.firmware = blob(300000, 1);
    in.device_tree = blob(20000, 2);
    in.image = blob(1000000, 3);
    in.initrd = blob(700001, 4);
    put_le64((uint8_t *)in.image.data + 16, 1048576);
    memcpy((uint8_t *)in.image.data + 56, "ARM\x64", 4);
    return 0;
}

static int drop_inputs(void **state)
{
    (void)state;
    free((void *)in.firmware.data);
    free((void *)in.device_tree.data);
    free((void *)in.image.data);
    free((void *)in.initrd.data);
    return 0;
}

static void assert_rim(int r, const struct digest *d, const struct error *e, const char *expected)
{
    char hex[DIGEST_HEX_SIZE];
    if (r != 0)
        fail_msg("%s", e->text);
    digest_hex(d, hex);
    if (strcasecmp(hex, expected) != 0)
        fail_msg("%s, expected %s", hex, expected);
}

static void firmware_rim_is_the_vendors(void **state)
{
    (void)state;
    struct error e = {0};
    struct digest d = {0};
    struct rim_machine m = {.vcpus = 1};
    assert_rim(rim_of_firmware(&d, &m, in.firmware, in.device_tree, &e), &d, &e,
               "847F2C6B330134B4CE33992A7DCF249A05F84CD202114EDAC8FBE02DD94FBCF9");
    m = (struct rim_machine){.vcpus = 4, .sve_bits = 256, .pmu_counters = 6};
    assert_rim(rim_of_firmware(&d, &m, in.firmware, in.device_tree, &e), &d, &e,
               "C91651D4BF2083CB869411F3F7417A2AE4F5ABE22AB23D4B78A9AD2DA9E9FA33");
}

static void kernel_rim_is_the_vendors(void **state)
{
    (void)state;
    struct error e = {0};
    struct digest d = {0};
    const struct rim_machine m = {.vcpus = 2};
    assert_rim(rim_of_kernel(&d, &m, in.image, in.initrd, in.device_tree, &e), &d, &e,
               "D7359BBBFB62534A22CE67FFB0F4606623A9C6032520275A098E5A0A5E24530B");
}

static void a_machine_that_cannot_be_has_no_rim(void **state)
{
    (void)state;
    struct error e = {0};
    struct digest d = {0};
    const struct rim_machine bad[] = {
        {.vcpus = 0},
        {.vcpus = 513},
        {.vcpus = 1, .sve_bits = 100},
        {.vcpus = 1, .sve_bits = 2176},
        {.vcpus = 1, .pmu_counters = 32},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(rim_of_firmware(&d, &bad[i], in.firmware, in.device_tree, &e), -EINVAL);
    const struct rim_machine m = {.vcpus = 1};
    assert_int_equal(rim_of_firmware(&d, &m, BYTES_NONE, in.device_tree, &e), -EINVAL);
    assert_int_equal(rim_of_firmware(&d, &m, in.firmware, BYTES_NONE, &e), -EINVAL);
    assert_int_equal(rim_of_firmware(&d, &m, BYTES(in.firmware.data, ((size_t)128 << 20) + 1),
                                     in.device_tree, &e),
                     -EFBIG);
    assert_int_equal(rim_of_kernel(&d, &m, in.firmware, in.initrd, in.device_tree, &e), -EINVAL);
    put_le64((uint8_t *)in.image.data + 16, 999999); /* less memory than the file */
    assert_int_equal(rim_of_kernel(&d, &m, in.image, in.initrd, in.device_tree, &e), -EINVAL);
    put_le64((uint8_t *)in.image.data + 16, 0x07e00001); /* reaches into the initrd */
    assert_int_equal(rim_of_kernel(&d, &m, in.image, in.initrd, in.device_tree, &e), -EINVAL);
    put_le64((uint8_t *)in.image.data + 16, 1048576);
    assert_int_equal(d.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firmware_rim_is_the_vendors),
        cmocka_unit_test(kernel_rim_is_the_vendors),
        cmocka_unit_test(a_machine_that_cannot_be_has_no_rim),
    };
    return cmocka_run_group_tests(tests, make_inputs, drop_inputs);
}
