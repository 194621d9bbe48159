#include "unit.h"
#include "dns_server.h"
#include "agent/connect.h"
#include "crypto/tls.h"

#include <sys/eventfd.h>

static int stop = -1;

static int set_up(void **state)
{
    (void)state;
    stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return stop < 0;
}

static int tear_down(void **state)
{
    (void)state;
    return close(stop);
}

struct result {
    int r;
    struct in6_addr list[RESOLVE_ADDRESSES_MAX];
    size_t count;
    struct error err;
    uint64_t took;
};

static struct result ask(struct dns_fake *fakes, size_t n, int family)
{
    struct resolver r = {.count = n};
    struct result ret = {0};
    for (size_t i = 0; i < n; i++)
        r.servers[i] = dns_start(&fakes[i]);
    uint64_t before = clock_now();
    ret.r = resolve(&r, "keys.example.org", family, stop, ret.list, &ret.count, &ret.err);
    ret.took = clock_now() - before;
    for (size_t i = 0; i < n; i++)
        dns_stop(&fakes[i]);
    return ret;
}

static void addresses_of_both_families(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    struct dns_fake s = {.four = 2, .six = 1, .four_at = {{192, 0, 2, 7}}};
    struct result a = ask(&s, 1, AF_INET);
    assert_int_equal(a.r, 0);
    assert_int_equal(a.count, 2);
    address_format(&a.list[0], text);
    assert_string_equal(text, "192.0.2.7");
    address_format(&a.list[1], text);
    assert_string_equal(text, "127.0.0.1");
    s = (struct dns_fake){.four = 2, .six = 1};
    a = ask(&s, 1, AF_INET6);
    assert_int_equal(a.count, 1);
    address_format(&a.list[0], text);
    assert_string_equal(text, "::1");
}

static void no_more_addresses_than_there_is_room_for(void **state)
{
    (void)state;
    struct dns_fake s = {.four = 25};
    struct result a = ask(&s, 1, AF_INET);
    assert_int_equal(a.r, 0);
    assert_int_equal(a.count, RESOLVE_ADDRESSES_MAX);
}

/* Whatever a server answers, one error comes of it, and soon. */
static void useless_answers_are_explained(void **state)
{
    (void)state;
    static const struct {
        enum dns_behaviour behaviour;
        int code;
        const char *text;
    } cases[] = {
        {DNS_ANSWERS, ENOENT, "no IPv4 address"}, /* and none in it */
        {DNS_UNKNOWN, ENOENT, "does not know the name"},
        {DNS_FAILS, ECONNREFUSED, "no DNS server gives an answer"},
        {DNS_GARBAGE, EBADMSG, "malformed"},
        {DNS_CUT, EBADMSG, "malformed"},
        {DNS_TRUNCATED, ECONNREFUSED, "no DNS server gives an answer"},
        {DNS_NOISE, ETIMEDOUT, "no DNS server gives an answer"},
        {DNS_SILENT, ETIMEDOUT, "no DNS server gives an answer"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct dns_fake s = {.behaviour = cases[i].behaviour,
                             .four = cases[i].behaviour == DNS_CUT};
        struct result a = ask(&s, 1, AF_INET);
        if (a.r != -cases[i].code || !strstr(a.err.text, cases[i].text))
            fail_msg("case %zu: %d, %s", i, a.r, a.err.text);
        assert_int_equal(a.count, 0);
        assert_true(s.asked >= 1);
        assert_true(a.took < SECONDS(30));
    }
}

/* C7: a dead server costs 2 s, not the name. */
static void the_next_server_is_asked(void **state)
{
    (void)state;
    struct dns_fake s[] = {{.behaviour = DNS_SILENT}, {.four = 1}};
    struct result a = ask(s, 2, AF_INET);
    assert_int_equal(a.r, 0);
    assert_int_equal(a.count, 1);
    assert_int_equal(s[0].asked, 1);
}

static void without_a_server_it_says_so(void **state)
{
    (void)state;
    struct result a = ask(NULL, 0, AF_INET);
    assert_int_equal(a.r, -EDESTADDRREQ);
    assert_non_null(strstr(a.err.text, "DHCP"));
}

static void it_ends_when_told(void **state)
{
    (void)state;
    struct dns_fake s = {.behaviour = DNS_SILENT};
    assert_int_equal(eventfd_write(stop, 1), 0);
    struct result a = ask(&s, 1, AF_INET);
    assert_int_equal(a.r, -ECANCELED);
    assert_true(a.took < SECONDS(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(addresses_of_both_families, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_addresses_than_there_is_room_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(useless_answers_are_explained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_server_is_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_server_it_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_ends_when_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
