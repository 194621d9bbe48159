#include "unit.h"
#include "dhcp_answer.h"
#include "agent/dhcp.h"
#include "agent/ipconfig.h"

/* ---- the messages ---- */
static void request_is_a_valid_packet(void **state)
{
    (void)state;
    struct dhcp_request q = {
        .type = DHCP_REQUEST, .xid = 0x01020304, .requested = ADDRESS, .server = SERVER};
    memcpy(q.mac, mac, 6);
    uint8_t p[DHCP_REQUEST_SIZE];
    dhcp_build(&q, p);
    /* RFC 1071: the sum over a correct header, checksum included, is all ones. */
    uint32_t sum = 0;
    for (size_t i = 0; i < 20; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
    /* The same for UDP with its pseudo header. */
    sum = 17 + (DHCP_REQUEST_SIZE - 20);
    for (size_t i = 12; i < DHCP_REQUEST_SIZE; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    assert_int_equal(sum, 0xffff);
    static const uint8_t requested[] = {50, 4, 10, 0, 2, 15};
    assert_non_null(memmem(p + 268, sizeof(p) - 268, requested, sizeof(requested)));
    assert_memory_equal(p + 28 + 4, "\x01\x02\x03\x04", 4);
}

static void offer_is_read(void **state)
{
    (void)state;
    struct answer a = full_answer(7, DHCP_OFFER, ADDRESS, 3600);
    struct dhcp_reply d;
    assert_int_equal(dhcp_parse(end_answer(&a), 7, mac, &d), 0);
    assert_int_equal(d.type, DHCP_OFFER);
    assert_int_equal(d.address, ADDRESS);
    assert_int_equal(d.mask, MASK);
    assert_int_equal(d.router, SERVER);
    assert_int_equal(d.server, SERVER);
    assert_int_equal(d.lease, 3600);
}

static void answers_to_others_are_ignored(void **state)
{
    (void)state;
    static const uint8_t other[6] = {1, 2, 3, 4, 5, 6};
    struct answer a = full_answer(7, DHCP_OFFER, ADDRESS, 3600);
    struct bytes p = end_answer(&a);
    struct dhcp_reply d;
    assert_int_equal(dhcp_parse(p, 8, mac, &d), -ENOMSG);
    assert_int_equal(dhcp_parse(p, 7, other, &d), -ENOMSG);
    a.bytes[28] = 1; /* a request */
    assert_int_equal(dhcp_parse(p, 7, mac, &d), -ENOMSG);
    a.bytes[28] = 2;
    a.bytes[6] = 0x20; /* a fragment */
    assert_int_equal(dhcp_parse(p, 7, mac, &d), -ENOMSG);
}

static void useless_addresses_are_refused(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 0x7f000001, 0xe0000001, 0xffffffff, 0x00000005};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct answer a = full_answer(7, DHCP_ACK, bad[i], 3600);
        struct dhcp_reply d;
        assert_int_equal(dhcp_parse(end_answer(&a), 7, mac, &d), -EBADMSG);
    }
}

static void bad_masks_are_refused_and_absent_ones_guessed(void **state)
{
    (void)state;
    struct dhcp_reply d;
    struct answer a = begin_answer(7, DHCP_ACK, ADDRESS);
    add_number(&a, 1, 0xff00ff00);
    assert_int_equal(dhcp_parse(end_answer(&a), 7, mac, &d), -EBADMSG);
    a = begin_answer(7, DHCP_ACK, ADDRESS);
    assert_int_equal(dhcp_parse(end_answer(&a), 7, mac, &d), 0);
    assert_int_equal(d.mask, 0xff000000);
    assert_int_equal(d.router, 0);
}

/* At most three, and none that cannot be a server's address. */
static void dns_servers_are_read(void **state)
{
    (void)state;
    static const struct {
        uint8_t size;
        uint8_t value[24];
        uint32_t expected[DHCP_DNS_MAX];
    } cases[] = {
        {4, {10, 0, 2, 3}, {0x0a000203}},
        {8, {10, 0, 2, 3, 9, 9, 9, 9}, {0x0a000203, 0x09090909}},
        {16,
         {1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4},
         {0x01010101, 0x02020202, 0x03030303}},
        {16, {0, 0, 0, 0, 127, 0, 0, 1, 224, 0, 0, 1, 4, 4, 4, 4}, {0x04040404}},
        {7, {1, 1, 1, 1, 2, 2, 2}, {0x01010101}},
        {3, {1, 1, 1}, {0}},
        {0, {0}, {0}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct answer a = full_answer(7, DHCP_ACK, ADDRESS, 60);
        struct dhcp_reply d;
        add_option(&a, 6, cases[i].value, cases[i].size);
        assert_int_equal(dhcp_parse(end_answer(&a), 7, mac, &d), 0);
        assert_memory_equal(d.dns, cases[i].expected, sizeof(d.dns));
    }
}

/* C6: whatever else a server says has no effect at all. */
static void other_options_mean_nothing(void **state)
{
    (void)state;
    struct answer plain = full_answer(7, DHCP_ACK, ADDRESS, 60);
    struct answer hostile = full_answer(7, DHCP_ACK, ADDRESS, 60);
    add_option(&hostile, 12, "$(reboot)", 9);
    add_option(&hostile, 15, "`id`.example", 12);
    add_option(&hostile, 67, "/bin/sh", 7);
    struct dhcp_reply a;
    struct dhcp_reply b;
    assert_int_equal(dhcp_parse(end_answer(&plain), 7, mac, &a), 0);
    assert_int_equal(dhcp_parse(end_answer(&hostile), 7, mac, &b), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void truncations_never_pass_the_end(void **state)
{
    (void)state;
    struct answer a = full_answer(7, DHCP_OFFER, ADDRESS, 3600);
    struct bytes whole = end_answer(&a);
    for (size_t n = 0; n < whole.size; n++) {
        uint8_t *copy = malloc(n ? n : 1); /* so that a sanitizer sees the end */
        memcpy(copy, whole.data, n);
        struct dhcp_reply d;
        assert_true(dhcp_parse(BYTES(copy, n), 7, mac, &d) < 0);
        if (n >= 268) { /* cut inside the options, with fitting lengths */
            put_be16(copy + 2, (uint16_t)n);
            put_be16(copy + 24, (uint16_t)(n - 20));
            int r = dhcp_parse(BYTES(copy, n), 7, mac, &d);
            assert_true(r == 0 || r == -EBADMSG);
        }
        free(copy);
    }
}

/* ---- the client ---- */
struct wire {
    uint8_t last[DHCP_REQUEST_SIZE];
    unsigned sent;
};

static void record(void *arg, struct bytes packet)
{
    struct wire *w = arg;
    assert_int_equal(packet.size, sizeof(w->last));
    memcpy(w->last, packet.data, packet.size);
    w->sent++;
}

static uint8_t sent_type(const struct wire *w)
{
    return w->last[28 + 240 + 2];
}

static struct dhcp client(struct wire *w)
{
    struct dhcp d = {.send = record, .arg = w};
    memcpy(d.mac, mac, 6);
    return d;
}

#define SECOND UINT64_C(1000000000)

static enum dhcp_event feed(struct dhcp *d, uint8_t type, uint32_t address, uint32_t lease,
                            uint64_t now)
{
    struct answer a = full_answer(d->xid, type, address, lease);
    return dhcp_input(d, end_answer(&a), now);
}

static void takes_an_address(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    dhcp_start(&d, SECOND);
    assert_int_equal(sent_type(&w), DHCP_DISCOVER);
    assert_int_equal(feed(&d, DHCP_ACK, ADDRESS, 600, SECOND), DHCP_NOTHING); /* not asked for */
    assert_int_equal(feed(&d, DHCP_OFFER, ADDRESS, 600, SECOND), DHCP_NOTHING);
    assert_int_equal(sent_type(&w), DHCP_REQUEST);
    assert_int_equal(w.sent, 2);
    assert_int_equal(feed(&d, DHCP_ACK, ADDRESS, 600, SECOND), DHCP_HAVE_ADDRESS);
    assert_int_equal(d.on.address, ADDRESS);
    assert_int_equal(d.next, SECOND + 300 * SECOND);
}

static void bind_at(struct dhcp *d, uint32_t lease, uint64_t now)
{
    dhcp_start(d, now);
    feed(d, DHCP_OFFER, ADDRESS, lease, now);
    assert_int_equal(feed(d, DHCP_ACK, ADDRESS, lease, now), DHCP_HAVE_ADDRESS);
}

static void retransmits_with_backoff(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    dhcp_start(&d, 0);
    uint64_t gaps[6];
    uint64_t now = 0;
    for (size_t i = 0; i < ARRAY_SIZE(gaps); i++) {
        assert_int_equal(dhcp_timer(&d, d.next - 1), DHCP_NOTHING);
        assert_int_equal(w.sent, i + 1); /* not early */
        gaps[i] = d.next - now;
        now = d.next;
        dhcp_timer(&d, now);
        assert_int_equal(w.sent, i + 2);
    }
    assert_true(gaps[0] >= SECOND / 2 && gaps[0] <= 2 * SECOND);
    assert_true(gaps[2] > gaps[0] && gaps[5] <= 9 * SECOND);
}

static void nak_starts_again(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    dhcp_start(&d, 0);
    feed(&d, DHCP_OFFER, ADDRESS, 600, 0);
    assert_int_equal(feed(&d, DHCP_NAK, 0, 0, 0), DHCP_NOTHING);
    assert_int_equal(d.state, DHCP_SELECTING);
    dhcp_timer(&d, d.next);
    assert_int_equal(sent_type(&w), DHCP_DISCOVER);
}

/* A server that grants nothing, and answers as fast as it is asked. */
static void a_nak_to_everything_does_not_keep_us_busy(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    uint64_t now = 0;
    dhcp_start(&d, now);
    for (int i = 0; i < 1000 && now < 60 * SECOND; i++) {
        feed(&d, DHCP_OFFER, ADDRESS, 600, now);
        feed(&d, DHCP_NAK, 0, 0, now);
        if (w.sent % 2 == 0) { /* so it has not begun anew by itself */
            now = d.next;
            dhcp_timer(&d, now);
        }
    }
    assert_true(now >= 60 * SECOND);
    assert_true(w.sent <= 130);
}

static void a_nak_to_a_renewal_takes_the_address(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    bind_at(&d, 600, 0);
    dhcp_timer(&d, d.next);
    assert_int_equal(feed(&d, DHCP_NAK, 0, 0, 301 * SECOND), DHCP_LOST_ADDRESS);
    assert_int_equal(d.state, DHCP_SELECTING);
    assert_true(d.next > 301 * SECOND && d.next <= 302 * SECOND);
}

static void silence_after_an_offer_starts_again(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    dhcp_start(&d, 0);
    feed(&d, DHCP_OFFER, ADDRESS, 600, 0);
    for (int i = 0; i < 10 && d.state == DHCP_REQUESTING; i++)
        dhcp_timer(&d, d.next);
    assert_int_equal(d.state, DHCP_SELECTING);
}

static void renews_at_half_time(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    bind_at(&d, 600, 0);
    assert_int_equal(dhcp_timer(&d, 300 * SECOND), DHCP_NOTHING);
    assert_int_equal(sent_type(&w), DHCP_REQUEST);
    assert_memory_equal(w.last + 28 + 12, "\x0a\x00\x02\x0f", 4); /* ciaddr */
    assert_int_equal(feed(&d, DHCP_ACK, ADDRESS, 600, 301 * SECOND), DHCP_NOTHING);
    assert_int_equal(d.expires, 901 * SECOND);
}

static void an_expired_lease_is_lost(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    bind_at(&d, 600, 0);
    enum dhcp_event e = DHCP_NOTHING;
    uint64_t at = 0;
    for (int i = 0; i < 1000 && e == DHCP_NOTHING; i++) {
        at = d.next;
        e = dhcp_timer(&d, at);
    }
    assert_int_equal(e, DHCP_LOST_ADDRESS);
    assert_true(at >= 600 * SECOND && at < 620 * SECOND);
    assert_int_equal(sent_type(&w), DHCP_DISCOVER);
}

/* Half a day of asking a server that is gone. */
static void a_renewal_without_an_answer_is_patient(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    bind_at(&d, 86400, 0);
    w.sent = 0;
    enum dhcp_event e = DHCP_NOTHING;
    while (e == DHCP_NOTHING)
        e = dhcp_timer(&d, d.next);
    assert_int_equal(e, DHCP_LOST_ADDRESS);
    assert_int_equal(d.started, 86400 * SECOND); /* to the second */
    assert_true(w.sent > 8 && w.sent < 30);
}

static void short_leases_do_not_keep_us_busy(void **state)
{
    (void)state;
    struct wire w = {0};
    struct dhcp d = client(&w);
    bind_at(&d, 1, 0);
    assert_int_equal(d.next, 30 * SECOND);
}

/* ---- ip= ---- */
static void ip_forms(void **state)
{
    (void)state;
    struct ipconfig c;
    assert_int_equal(ipconfig_parse("root=/dev/sda1 ro quiet", &c, NULL), 0);
    assert_int_equal(c.count, 0);
    assert_int_equal(ipconfig_for(&c, "eth0")->method, IP_DHCP);
    assert_int_equal(ipconfig_parse("ro ip=dhcp\n", &c, NULL), 0);
    assert_int_equal(ipconfig_for(&c, "eth1")->method, IP_DHCP);
    assert_int_equal(ipconfig_parse("ip=eth1:dhcp", &c, NULL), 0);
    assert_null(ipconfig_for(&c, "eth0"));
    assert_int_equal(ipconfig_for(&c, "eth1")->method, IP_DHCP);
    assert_int_equal(ipconfig_parse("ip=off", &c, NULL), 0);
    assert_int_equal(ipconfig_for(&c, "eth0")->method, IP_OFF);
    assert_int_equal(ipconfig_parse("ip=::::guest:eth0:dhcp", &c, NULL), 0);
    assert_int_equal(ipconfig_for(&c, "eth0")->method, IP_DHCP);
}

static void ip_static(void **state)
{
    (void)state;
    struct ipconfig c;
    const char *line = "quiet ip=192.168.7.5::192.168.7.1:255.255.255.0:guest:eth0:none "
                       "ip=10.1.2.3:::20::eth1:off:9.9.9.9";
    assert_int_equal(ipconfig_parse(line, &c, NULL), 0);
    assert_int_equal(c.count, 2);
    const struct ip_setting *s = ipconfig_for(&c, "eth0");
    assert_int_equal(s->method, IP_STATIC);
    assert_int_equal(s->address, 0xc0a80705);
    assert_int_equal(s->mask, 0xffffff00);
    assert_int_equal(s->gateway, 0xc0a80701);
    s = ipconfig_for(&c, "eth1");
    assert_int_equal(s->address, 0x0a010203);
    assert_int_equal(s->mask, 0xfffff000);
    assert_int_equal(s->gateway, 0);
    assert_null(ipconfig_for(&c, "eth2"));
}

static void ip_names_dns_servers(void **state)
{
    (void)state;
    struct ipconfig c;
    const char *line = "ip=10.1.2.3::10.1.2.1:24::eth0:none:9.9.9.9:1.1.1.1 "
                       "ip=:::::eth1:dhcp::8.8.8.8 ip=10.1.2.4:::24::eth2:none:::7.7.7.7";
    assert_int_equal(ipconfig_parse(line, &c, NULL), 0);
    const struct ip_setting *s = ipconfig_for(&c, "eth0");
    assert_int_equal(s->dns[0], 0x09090909);
    assert_int_equal(s->dns[1], 0x01010101);
    s = ipconfig_for(&c, "eth1");
    assert_int_equal(s->method, IP_DHCP);
    assert_int_equal(s->dns[0], 0x08080808);
    assert_int_equal(s->dns[1], 0);
    assert_int_equal(ipconfig_for(&c, "eth2")->dns[0], 0); /* the last field is for NTP */
}

static void ip_nonsense_is_named(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "ip=",
        "ip=bogus",
        "ip=eth0:bogus",
        "ip=1.2.3:::255.0.0.0::eth0:none",
        "ip=127.0.0.1:::255.0.0.0::eth0:none",
        "ip=10.0.0.1:::255.0.255.0::eth0:none",
        "ip=10.0.0.1:::33::eth0:none",
        "ip=10.0.0.1:::0::eth0:none",
        "ip=10.0.0.1::bad:24::eth0:none",
        "ip=10.0.0.1:::24::averyveryverylongname0:none",
        "ip=10.0.0.1:::24::../eth0:none",
        "ip=:::::eth0:static",
        "ip=10.0.0.1:::24::eth0:none:name.example",
        "ip=10.0.0.1:::24::eth0:none::127.0.0.1",
        "ip=a:b:c:d:e:f:g:h:i:j:k",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct ipconfig c;
        struct error err = {0};
        if (ipconfig_parse(bad[i], &c, &err) != -EINVAL || !strstr(err.text, bad[i]))
            fail_msg("%s: %s", bad[i], err.text);
    }
}

static void ip_inside_quotes_is_another_parameters_value(void **state)
{
    (void)state;
    struct ipconfig c;
    assert_int_equal(ipconfig_parse("x=\"a ip=off b\" ip=dhcp", &c, NULL), 0);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.settings[0].method, IP_DHCP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_a_valid_packet),
        cmocka_unit_test(offer_is_read),
        cmocka_unit_test(answers_to_others_are_ignored),
        cmocka_unit_test(useless_addresses_are_refused),
        cmocka_unit_test(bad_masks_are_refused_and_absent_ones_guessed),
        cmocka_unit_test(dns_servers_are_read),
        cmocka_unit_test(other_options_mean_nothing),
        cmocka_unit_test(truncations_never_pass_the_end),
        cmocka_unit_test(takes_an_address),
        cmocka_unit_test(retransmits_with_backoff),
        cmocka_unit_test(nak_starts_again),
        cmocka_unit_test(a_nak_to_everything_does_not_keep_us_busy),
        cmocka_unit_test(a_nak_to_a_renewal_takes_the_address),
        cmocka_unit_test(silence_after_an_offer_starts_again),
        cmocka_unit_test(renews_at_half_time),
        cmocka_unit_test(an_expired_lease_is_lost),
        cmocka_unit_test(a_renewal_without_an_answer_is_patient),
        cmocka_unit_test(short_leases_do_not_keep_us_busy),
        cmocka_unit_test(ip_forms),
        cmocka_unit_test(ip_static),
        cmocka_unit_test(ip_names_dns_servers),
        cmocka_unit_test(ip_nonsense_is_named),
        cmocka_unit_test(ip_inside_quotes_is_another_parameters_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
