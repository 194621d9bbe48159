/* The software TMM: what it sees of TPM commands, the control channel, the machine, the port. */
#include "unit.h"
#include "tpm_message.h"

#include "base/hex.h"
#include "base/io.h"
#include "crypto/digest.h"
#include "measure/qemu_options.h"
#include "tmm/machine.h"
#include "tmm/port.h"
#include "tmm/registers.h"
#include "tmm/tpm_control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---- TPM commands ---- */

static void test_extend_is_seen(void **state)
{
    uint8_t command[128], digest[32];
    struct tpm_observation o;
    size_t n = make_extend(command, 4, 0x000b, 32, 0xaa);

    memset(digest, 0xaa, sizeof(digest));
    assert_int_equal(tpm_observe(BYTES(command, n), BYTES_OF(success), &o), 0);
    assert_int_equal(o.effect, TPM_EFFECT_EXTEND);
    assert_int_equal(o.pcr, 4);
    assert_int_equal(o.digest_count, 1);
    assert_memory_equal(o.digests[0], digest, 32);

    assert_int_equal(tpm_observe(BYTES(command, n), BYTES_OF(failure), &o), 0);
    assert_int_equal(o.effect, TPM_EFFECT_NONE);
}

static void test_extend_cut_or_lengthened_is_an_error(void **state)
{
    uint8_t command[128];
    struct tpm_observation o;
    size_t n = make_extend(command, 4, 0x000b, 32, 0xaa);

    for (size_t cut = 10; cut < n; cut++) {
        put_be32(command + 2, (uint32_t)cut);
        assert_int_equal(tpm_observe(BYTES(command, cut), BYTES_OF(success), &o), -EBADMSG);
    }
    command[n] = 0;
    put_be32(command + 2, (uint32_t)n + 1);
    assert_int_equal(tpm_observe(BYTES(command, n + 1), BYTES_OF(success), &o), -EBADMSG);
    put_be32(command + 2, (uint32_t)n);
    assert_int_equal(tpm_observe(BYTES(command, n), BYTES_OF(success), &o), 0);
    put_be32(command + 27, 0xffffffff); /* count of digests */
    assert_int_equal(tpm_observe(BYTES(command, n), BYTES_OF(success), &o), -EBADMSG);
    put_be32(command + 27, 1);
    put_be32(command + 14, 0xfffffff0); /* size of the authorisation */
    assert_int_equal(tpm_observe(BYTES(command, n), BYTES_OF(success), &o), -EBADMSG);
}

static void test_event_counts_by_its_response(void **state)
{
    /* PCR_Event on PCR 5: 3 bytes of data; the answer holds a SHA-1 and a SHA-256 digest. */
    static const uint8_t command[] = {0x80, 0x02, 0, 0, 0, 32, 0, 0,    1,   0x3c, 0,
                                      0,    0,    5, 0, 0, 0,  9, 0x40, 0,   0,    9,
                                      0,    0,    0, 0, 0, 0,  3, 'a',  'b', 'c'};
    uint8_t response[10 + 4 + 4 + 22 + 34 + 5] = {0x80, 0x02};
    struct tpm_observation o;

    put_be32(response + 2, sizeof(response));
    put_be32(response + 10, 4 + 22 + 34);
    put_be32(response + 14, 2);
    put_be16(response + 18, 0x0004);
    put_be16(response + 40, 0x000b);
    memset(response + 42, 0x77, 32);
    assert_int_equal(tpm_observe(BYTES_OF(command), BYTES_OF(response), &o), 0);
    assert_int_equal(o.effect, TPM_EFFECT_EXTEND);
    assert_int_equal(o.pcr, 5);
    assert_int_equal(o.digest_count, 1);
    assert_int_equal(o.digests[0][0], 0x77);
    put_be32(response + 10, 4 + 22 + 34 + 6); /* parameters past the end */
    assert_int_equal(tpm_observe(BYTES_OF(command), BYTES_OF(response), &o), -EBADMSG);
}

/* ---- registers ---- */

static void start_tpm(struct registers *g, uint8_t type)
{
    uint8_t command[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, type};
    static const uint8_t ok[] = {0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0};

    registers_power_on(g);
    registers_watch(g, BYTES_OF(command), BYTES_OF(ok));
}

static void watch_extend(struct registers *g, uint32_t pcr, uint16_t alg, size_t size, uint8_t fill)
{
    uint8_t command[128];
    size_t n = make_extend(command, pcr, alg, size, fill);

    registers_watch(g, BYTES(command, n), BYTES_OF(success));
}

static void test_pcr_map(void **state)
{
    static const int expected[25] = {-1, 0, 1, 1, 1, 1, 1, 0, 2, 2, -1, 2, 2,
                                     2,  2, 2, 3, 3, 3, 3, 3, 3, 3, 3,  -1};

    for (uint32_t pcr = 0; pcr < ARRAY_SIZE(expected); pcr++)
        assert_int_equal(rem_of_pcr(pcr), expected[pcr]);
}

static void test_registers_follow_the_extends(void **state)
{
    struct digest rem = {.alg = HASH_SHA256, .size = 32};
    uint8_t a[32], b[32];
    struct registers g;

    registers_init(&g, NULL);
    assert_non_null(registers_unknown(&g));
    start_tpm(&g, 0);
    assert_null(registers_unknown(&g));
    watch_extend(&g, 4, 0x000b, 32, 0x11);
    watch_extend(&g, 0, 0x000b, 32, 0x33);  /* the RIM's */
    watch_extend(&g, 10, 0x000b, 32, 0x33); /* a running kernel's */
    watch_extend(&g, 2, 0x000b, 32, 0x22);  /* another PCR of the same REM */
    memset(a, 0x11, 32);
    memset(b, 0x22, 32);
    assert_int_equal(digest_extend(&rem, BYTES_OF(a)), 0);
    assert_int_equal(digest_extend(&rem, BYTES_OF(b)), 0);
    assert_memory_equal(g.rem[1], rem.bytes, 32);
    assert_true(bytes_are_zero(g.rem[0], 32));
    assert_true(bytes_are_zero(g.rem[2], 32));
    assert_true(bytes_are_zero(g.rem[3], 32));
    assert_null(registers_unknown(&g));
    start_tpm(&g, 0);
    assert_true(bytes_are_zero(g.rem, sizeof(g.rem)));
}

/* Ways to empty registers that an evil system could then fill with a good history. */
static void test_registers_that_tell_nothing(void **state)
{
    static const uint8_t reset[] = {0x80, 0x02, 0, 0, 0,    27, 0, 0, 1, 0x3d, 0, 0, 0, 16,
                                    0,    0,    0, 9, 0x40, 0,  0, 9, 0, 0,    0, 0, 0};
    uint8_t before[32];
    struct registers g;

    registers_init(&g, NULL);
    start_tpm(&g, 1); /* resumed from a saved state */
    assert_non_null(registers_unknown(&g));
    start_tpm(&g, 0);
    assert_null(registers_unknown(&g));
    watch_extend(&g, 7, 0x0004, 20, 1); /* the SHA-256 bank is off: not seen */
    assert_non_null(registers_unknown(&g));
    start_tpm(&g, 0);
    watch_extend(&g, 7, 0x7777, 20, 1); /* not understood */
    assert_non_null(registers_unknown(&g));
    start_tpm(&g, 0);
    watch_extend(&g, 16, 0x000b, 32, 1);
    memcpy(before, g.rem[3], 32);
    registers_watch(&g, BYTES_OF(reset), BYTES_OF(success));
    assert_memory_equal(g.rem[3], before, 32); /* a PCR can be reset, a REM cannot */
    assert_true(bytes_are_zero(g.pcr[16], 32));
    assert_null(registers_unknown(&g));
}

/* ---- control channel ---- */

static void test_control_is_split(void **state)
{
    static const uint8_t init[] = {0, 0, 0, 2, 0, 0, 0, 0, 0xff};
    static const uint8_t set_state[] = {0, 0, 0, 0x0d, 0, 0, 0, 0};
    const struct control_command *c = NULL;

    for (size_t n = 0; n < 8; n++)
        assert_int_equal(control_split(BYTES(init, n), &c), 0);
    assert_null(c);
    assert_int_equal(control_split(BYTES_OF(init), &c), 8);
    assert_int_equal(c->code, CONTROL_INIT);
    assert_int_equal(control_split(BYTES_OF(set_state), &c), -EPROTO);
}

static void test_control_answers(void **state)
{
    const struct control_command *c = control_command_find(CONTROL_SET_BUFFERSIZE);
    uint8_t answer[CONTROL_ANSWER_MAX] = {0};
    uint8_t capabilities[8] = {0, 0, 0, 0, 0, 1, 0xff, 0xff};
    size_t got = 4;

    assert_false(control_answer_complete(c, answer, &got));
    answer[3] = 9; /* an error comes alone */
    answer[7] = 1; /* left from before */
    assert_true(control_answer_complete(c, answer, &got));
    assert_int_equal(got, 16);
    assert_int_equal(answer[7], 0);
    control_mask_capabilities(capabilities);
    assert_int_equal(capabilities[6], 0xfc);
    assert_int_equal(capabilities[7], 0xff);
}

/* ---- QEMU's arguments ---- */

struct fixture {
    char folder[64];
    char firmware[96];
    char firmware_drive[192];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->folder, sizeof(f->folder), "/tmp/encroot-test-tmm-XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(f->firmware, sizeof(f->firmware), "%s/firmware.fd", f->folder);
    snprintf(f->firmware_drive, sizeof(f->firmware_drive),
             "if=pflash,unit=0,format=raw,readonly=on,file=%s", f->firmware);
    *state = f;
    return write_file_atomic(f->firmware, BYTES_STR("firmware"), 0644, false, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    (void)unlink(f->firmware);
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

static void rim_of(struct digest *ret, const char *const argv[])
{
    _machine_ struct machine m = {.firmware = -1};
    struct error err = {0};
    int r = machine_parse(&m, (char *const *)(uintptr_t)argv, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    assert_int_equal(machine_rim(&m, ret, &err), 0);
}

static void test_rim_depends_on_the_machine_alone(void **state)
{
    struct fixture *f = *state;
    const char *first[] = {
        "qemu-system-x86_64", "-M",     "q35,smm=on",           "-m", "1G", "-drive",
        f->firmware_drive,    "-drive", "if=virtio,file=a.img", NULL};
    const char *same[] = {"qemu-system-x86_64",
                          "-drive",
                          f->firmware_drive,
                          "-drive",
                          "file=b.qcow2,if=virtio,format=qcow2",
                          "-m",
                          "1G",
                          "-nographic",
                          "-serial",
                          "stdio",
                          "-machine",
                          "q35,accel=tcg,smm=on",
                          NULL};
    const char *memory[] = {
        "qemu-system-x86_64", "-M",     "q35,smm=on",           "-m", "2G", "-drive",
        f->firmware_drive,    "-drive", "if=virtio,file=a.img", NULL};
    const char *vcpus[] = {
        "qemu-system-x86_64", "-M",     "q35,smm=on",           "-m",   "1G", "-drive",
        f->firmware_drive,    "-drive", "if=virtio,file=a.img", "-smp", "2",  NULL};
    const char *device[] = {"qemu-system-x86_64",
                            "-M",
                            "q35,smm=on",
                            "-m",
                            "1G",
                            "-drive",
                            f->firmware_drive,
                            "-drive",
                            "if=virtio,file=a.img",
                            "-device",
                            "virtio-rng-pci",
                            NULL};
    struct digest a, b;

    rim_of(&a, first);
    rim_of(&b, same);
    assert_true(digest_equal(&a, &b));
    rim_of(&b, memory);
    assert_false(digest_equal(&a, &b));
    rim_of(&b, vcpus);
    assert_false(digest_equal(&a, &b));
    rim_of(&b, device);
    assert_false(digest_equal(&a, &b));
    assert_int_equal(write_file_atomic(f->firmware, BYTES_STR("firmwarf"), 0644, true, NULL), 0);
    rim_of(&b, first);
    assert_false(digest_equal(&a, &b));
}

/* What is measured is what QEMU is given: a change of the file comes too late. */
static void test_firmware_is_sealed(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"qemu-system-x86_64", "-drive", f->firmware_drive, NULL};
    _machine_ struct machine m = {.firmware = -1};
    _buffer_ struct buffer content = {0};

    assert_int_equal(machine_parse(&m, (char *const *)(uintptr_t)argv, NULL), 0);
    assert_int_equal(write_file_atomic(f->firmware, BYTES_STR("evil"), 0644, true, NULL), 0);
    _free_ char *path = option_value(m.argv[2], "file");
    assert_int_equal(read_file(path, 100, &content, NULL), 0);
    assert_true(content.size == 8 && memcmp(content.data, "firmwar", 7) == 0);
    assert_int_equal(pwrite(m.firmware, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
}

static void test_machine_refusals(void **state)
{
    struct fixture *f = *state;
    char writable[192], layered[192];
    const char *const cases[][6] = {
        {"q", "-drive", f->firmware_drive, "-tpmdev", "emulator,id=t,chardev=c"},
        {"q", "-drive", f->firmware_drive, "--tpmdev", "emulator,id=t,chardev=c"},
        {"q", "-drive", f->firmware_drive, "-device", "loader,file=/evil,addr=0"},
        {"q", "-drive", f->firmware_drive, "-device", "addr=0,driver=loader,data=1"},
        {"q", "-drive", f->firmware_drive, "-device", "{\"driver\":\"loader\"}"},
        {"q", "-drive", f->firmware_drive, "-device", "tpm-tis,tpmdev=t"},
        {"q", "-drive", f->firmware_drive, "-incoming", "tcp:0:1"},
        {"q", "-drive", f->firmware_drive, "-loadvm", "x"},
        {"q", "-drive", f->firmware_drive, "-fw_cfg", "name=opt/x,file=/evil"},
        {"q", "-drive", f->firmware_drive, "-machine", "q35,pflash0=x"},
        {"q", "-drive", f->firmware_drive, "-machine", "q35,kernel=/evil"},
        {"q", "-drive", f->firmware_drive, "-bios", f->firmware},
        {"q", "-drive", f->firmware_drive, "-set", "drive.pflash0.file=/evil"},
        {"q", "-drive", f->firmware_drive, "-smp", "0"},
        {"q", "-drive", f->firmware_drive, "-smp", "cores=500,threads=500"},
        {"q", "-drive", f->firmware_drive, "-daemonize", NULL},
        {"q", "-drive", f->firmware_drive, "disk.img", NULL},
        {"q", "-drive", f->firmware_drive, "-m", NULL},
        {"q", "-m", "1G", NULL},
        {"q", "-drive", writable, NULL},
        {"q", "-drive", layered, NULL},
    };

    snprintf(writable, sizeof(writable), "if=pflash,format=raw,file=%s", f->firmware);
    snprintf(layered, sizeof(layered), "if=pflash,format=qcow2,readonly=on,file=%s", f->firmware);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _machine_ struct machine m = {.firmware = -1};
        struct error err = {0};
        int r = machine_parse(&m, (char *const *)(uintptr_t)cases[i], &err);
        if (r >= 0 || err.text[0] == '\0')
            fail_msg("case %zu was taken: %s", i, cases[i][3] ? cases[i][3] : cases[i][2]);
    }
}

/* ---- the guest's port ---- */

static unsigned asked;

static int answer(void *context, const uint8_t challenge[PORT_CHALLENGE_SIZE],
                  struct buffer *ret_token, struct buffer *ret_certificate)
{
    asked++;
    if (challenge[0] == 0xee)
        return -EPERM;
    int r = buffer_append(ret_token, challenge, PORT_CHALLENGE_SIZE);
    return r < 0 ? r : buffer_append(ret_certificate, "cert", 4);
}

static void make_request(uint8_t request[PORT_REQUEST_SIZE], uint8_t fill)
{
    memcpy(request, TMM_REQUEST_MAGIC, 4);
    put_le32(request + 4, 64);
    memset(request + 8, fill, 64);
}

static void run_port(struct port *p, uint64_t now)
{
    for (;;) {
        int timeout = -1;
        struct pollfd fd = {p->fd, port_events(p, now, &timeout), 0};
        if (!fd.events || poll(&fd, 1, 0) <= 0 || port_handle(p, fd.revents, now) < 0)
            return;
    }
}

static void test_port_answers(void **state)
{
    uint8_t request[PORT_REQUEST_SIZE], got[256];
    struct port p;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    port_init(&p, pair[0], answer, NULL);
    make_request(request, 0x42);
    assert_int_equal(write_exact(pair[1], "TMMTMMQ\x40garbage TMMQ", 20), 0);
    for (size_t i = 0; i < sizeof(request); i++) {
        assert_int_equal(write_exact(pair[1], request + i, 1), 0);
        run_port(&p, 0);
    }
    assert_int_equal(recv(pair[1], got, sizeof(got), MSG_DONTWAIT), 16 + 64 + 4);
    assert_memory_equal(got, "TMMA\0\0\0\0\x40\0\0\0\x04\0\0\0", 16);
    assert_memory_equal(got + 16, request + 8, 64);
    assert_memory_equal(got + 80, "cert", 4);

    make_request(request, 0xee);
    assert_int_equal(write_exact(pair[1], request, sizeof(request)), 0);
    run_port(&p, 0);
    assert_int_equal(recv(pair[1], got, sizeof(got), MSG_DONTWAIT), 16);
    assert_int_equal(got[4], EPERM);
    port_free(&p);
    close(pair[0]);
    close(pair[1]);
}

static void test_port_is_rate_limited(void **state)
{
    uint8_t request[PORT_REQUEST_SIZE], sink[4096];
    struct port p;
    int pair[2];

    asked = 0;
    make_request(request, 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    port_init(&p, pair[0], answer, NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(write_exact(pair[1], request, sizeof(request)), 0);
    run_port(&p, 0);
    assert_int_equal(asked, PORT_BURST);
    run_port(&p, PORT_INTERVAL_MS - 1);
    assert_int_equal(asked, PORT_BURST);
    run_port(&p, PORT_INTERVAL_MS);
    assert_int_equal(asked, PORT_BURST + 1);
    assert_true(recv(pair[1], sink, sizeof(sink), MSG_DONTWAIT) > 0);
    port_free(&p);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extend_is_seen),
        cmocka_unit_test(test_extend_cut_or_lengthened_is_an_error),
        cmocka_unit_test(test_event_counts_by_its_response),
        cmocka_unit_test(test_pcr_map),
        cmocka_unit_test(test_registers_follow_the_extends),
        cmocka_unit_test(test_registers_that_tell_nothing),
        cmocka_unit_test(test_control_is_split),
        cmocka_unit_test(test_control_answers),
        cmocka_unit_test_setup_teardown(test_rim_depends_on_the_machine_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_firmware_is_sealed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_machine_refusals, set_up, tear_down),
        cmocka_unit_test(test_port_answers),
        cmocka_unit_test(test_port_is_rate_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
