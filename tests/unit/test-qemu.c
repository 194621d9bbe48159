/* QEMU's command line, as far as measurements depend on it. */
#include "unit.h"

#include "measure/qemu_options.h"

static void test_option_lists(void **state)
{
    _free_ char *file = option_value("if=pflash,file=a,,b=c,format=raw", "file");
    _free_ char *bare = option_value("q35,smm=on", NULL);
    _free_ char *replaced = option_replace("if=pflash,file=a,,b,unit=0", "file", "/x");

    assert_string_equal(file, "a,b=c");
    assert_string_equal(bare, "q35");
    assert_null(option_value("if=pflash,filex=1", "file"));
    assert_null(option_value("if=pflash", NULL));
    assert_string_equal(replaced, "if=pflash,file=/x,unit=0");
}

static void test_vcpus(void **state)
{
    static const struct {
        const char *value;
        unsigned expected; /* 0: refused */
    } cases[] = {
        {"4", 4},
        {"4,sockets=2", 4},
        {"cpus=3", 3},
        {"sockets=2,cores=3", 6},
        {"cores=2,threads=2,dies=2", 8},
        {"maxcpus=8", 8},
        {"512", 512},
        {"513", 0},
        {"0", 0},
        {"-1", 0},
        {"2x", 0},
        {"cores=256,threads=3", 0},
        {"cpus=", 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned n = 0;
        int r = vcpus_parse(cases[i].value, &n, NULL);
        if (n != cases[i].expected || (r == 0) != (n > 0))
            fail_msg("-smp %s gives %u", cases[i].value, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_lists),
        cmocka_unit_test(test_vcpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
