/* QEMU's command line, as far as measurements depend on it. */
#include "unit.h"

#include "measure/qemu_command.h"
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

static int parse_line(struct qemu_command *c, const char *line, struct error *e)
{
    char copy[512], *argv[32] = {(char *)"qemu"};
    size_t n = 1;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[n++] = word;
    argv[n] = NULL;
    return qemu_command_parse(c, argv, e);
}

static void assert_path(const char *line, const char *found, const char *expected)
{
    if ((found == NULL) != (expected == NULL) || (found && strcmp(found, expected) != 0))
        fail_msg("%s: found %s, expected %s", line, found ? found : "none",
                 expected ? expected : "none");
}

static void test_files_are_found(void **state)
{
    static const struct {
        const char *line, *firmware, *kernel, *initrd;
    } cases[] = {
        {"-bios a", "a", NULL, NULL},
        {"-M virt -S --bios a -S", "a", NULL, NULL},
        {"-bios a -bios b", "b", NULL, NULL},
        {"-pflash a -pflash b", "a", NULL, NULL},
        {"-drive if=pflash,file=a,,b,format=raw", "a,b", NULL, NULL},
        {"-drive if=pflash,unit=1,file=v -drive if=pflash,unit=0,file=a", "a", NULL, NULL},
        {"-drive if=pflash,unit=1,file=v -pflash a", "a", NULL, NULL},
        {"-drive if=none,file=d -device x,drive=d -bios a", "a", NULL, NULL},
        {"-machine virt,firmware=a", "a", NULL, NULL},
        {"-machine virt,kernel=k,initrd=i", NULL, "k", "i"},
        {"-nographic -kernel k -newflag -initrd i", NULL, "k", "i"},
        {"-kernel k -append -bios", NULL, "k", NULL},
        {"-object {\"qom-type\":\"x\"} -object y,z=1 -kernel k -bios a", "a", "k", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _qemu_command_ struct qemu_command c = {0};
        struct error e = {0};
        if (parse_line(&c, cases[i].line, &e) != 0)
            fail_msg("%s: %s", cases[i].line, e.text);
        assert_path(cases[i].line, c.firmware, cases[i].firmware);
        assert_path(cases[i].line, c.kernel, cases[i].kernel);
        assert_path(cases[i].line, c.initrd, cases[i].initrd);
    }
}

static void test_numbers_are_found(void **state)
{
    static const struct {
        const char *line;
        unsigned vcpus, sve_bits, pmu_counters;
        bool sve_assumed, pmu_assumed;
    } cases[] = {
        {"-cpu host", 1, 0, 0, true, true},
        {"-smp 4,maxcpus=8 -cpu host,sve=off,pmu=off", 4, 0, 0, false, false},
        {"-cpu max,sve128=on,sve256=on,sve512=off", 1, 256, 0, false, true},
        {"-cpu max,sve=off,sve256=on", 1, 0, 0, true, true},
        {"-cpu max,sve256=on -cpu host", 1, 0, 0, true, true},
        {"-cpu host,pmu=on", 1, 0, 0, true, true},
        {"-object tmm-guest,id=t", 1, 0, 0, false, false},
        {"-object tmm-guest,id=t,sve-vector-length=256,num-pmu-counters=6 -cpu host,pmu=off", 1,
         256, 6, false, false},
        {"-object {\"qom-type\":\"tmm-guest\",\"sve-vector-length\":128,\"num-pmu-counters\":1}", 1,
         128, 1, false, false},
        {"-object qom-type=tmm-guest,num-pmu-counters=2,measurement-algo=sha256", 1, 0, 2, false,
         false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _qemu_command_ struct qemu_command c = {0};
        struct error e = {0};
        char line[512];
        snprintf(line, sizeof(line), "-bios a %s", cases[i].line);
        if (parse_line(&c, line, &e) != 0)
            fail_msg("%s: %s", line, e.text);
        if (c.vcpus.value != cases[i].vcpus || c.sve_bits.value != cases[i].sve_bits ||
            c.pmu_counters.value != cases[i].pmu_counters)
            fail_msg("%s: %u, %u, %u", line, c.vcpus.value, c.sve_bits.value, c.pmu_counters.value);
        assert_int_equal(strncmp(c.sve_bits.origin, "assumed", 7) == 0, cases[i].sve_assumed);
        assert_int_equal(strncmp(c.pmu_counters.origin, "assumed", 7) == 0, cases[i].pmu_assumed);
    }
}

static void test_what_cannot_be_followed_is_refused(void **state)
{
    static const struct {
        const char *line, *expected;
    } cases[] = {
        {"-M virt", "neither a firmware nor a kernel"},
        {"-pflash a -bios b", "two firmwares"},
        {"-drive if=pflash,format=qcow2,file=a", "found qcow2"},
        {"-drive if=pflash,format=raw", "file="},
        {"-drive if=pflash,unit=9,file=a", "which pflash unit"},
        {"-drive if=pflash,unit=0,file=a -drive if=pflash,unit=0,file=b", "which pflash unit"},
        {"-pflash a -pflash a -pflash a -pflash a -pflash a -pflash a -pflash a -pflash a -pflash "
         "b",
         "which pflash unit"},
        {"-bios a -readconfig c", "not read here"},
        {"-bios a -smp 1 -smp 2", "given twice"},
        {"-bios a -smp 513", "513"},
        {"-bios", "-bios: its value is missing"},
        {"-bios a -object tmm-guest,measurement-algo=sha512", "found sha512"},
        {"-bios a -object tmm-guest,num-pmu-counters=32", "from 0 to 31, found \"32\""},
        {"-bios a -object tmm-guest,sve-vector-length=x", "found \"x\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _qemu_command_ struct qemu_command c = {0};
        struct error e = {0};
        if (parse_line(&c, cases[i].line, &e) != -EINVAL || !strstr(e.text, cases[i].expected))
            fail_msg("%s: %s", cases[i].line, e.text);
        assert_null(c.firmware);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_lists),
        cmocka_unit_test(test_vcpus),
        cmocka_unit_test(test_files_are_found),
        cmocka_unit_test(test_numbers_are_found),
        cmocka_unit_test(test_what_cannot_be_followed_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
