/* Reaching a guest by a name that has several addresses; the resolver is replaced. */
#include "unit.h"
#include "cli/dial.h"
#include "crypto/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>

/* What the name resolves to. */
static struct sockaddr_in addresses[2];
static size_t address_count;

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
    static struct addrinfo list[2];
    (void)name, (void)service, (void)hints;
    for (size_t i = 0; i < address_count; i++)
        list[i] = (struct addrinfo){.ai_family = AF_INET,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_addr = (struct sockaddr *)&addresses[i],
                                    .ai_addrlen = sizeof(addresses[i]),
                                    .ai_next = i + 1 < address_count ? &list[i + 1] : NULL};
    *ret = list;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    (void)list;
}

static int server(struct sockaddr_in *ret)
{
    socklen_t size = sizeof(*ret);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)ret, size), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &size), 0);
    return fd;
}

/* A full backlog: the kernel drops what else comes, as a firewall does. */
static void fill(const struct sockaddr_in *to, int fds[4])
{
    for (size_t i = 0; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(connect(fds[i], (const struct sockaddr *)to, sizeof(*to)) == 0 ||
                    errno == EINPROGRESS);
    }
}

static void an_address_that_swallows_leaves_time_for_the_next(void **state) /* C7 */
{
    (void)state;
    struct error e = {0};
    int fds[4];
    int black_hole = server(&addresses[0]);
    int good = server(&addresses[1]);
    fill(&addresses[0], fds);
    address_count = 2;
    uint64_t start = clock_now();
    int fd = dial("guest", 7220, start + SECONDS(2), &e);
    assert_true(fd >= 0);
    assert_true(clock_now() - start < SECONDS(2));
    close(fd);
    /* Alone it takes all the time there is, and no more. */
    address_count = 1;
    start = clock_now();
    assert_int_equal(dial("guest", 7220, start + SECONDS(1), &e), -ETIMEDOUT);
    assert_true(clock_now() - start >= SECONDS(1) && clock_now() - start < SECONDS(5));
    assert_non_null(strstr(e.text, "guest port 7220"));
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    close(black_hole);
    close(good);
}

static void an_address_that_refuses_costs_nothing(void **state)
{
    (void)state;
    struct error e = {0};
    close(server(&addresses[0]));
    int good = server(&addresses[1]);
    address_count = 2;
    uint64_t start = clock_now();
    int fd = dial("guest", 7220, start + SECONDS(20), &e);
    assert_true(fd >= 0);
    assert_true(clock_now() - start < SECONDS(5));
    close(fd);
    close(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_that_swallows_leaves_time_for_the_next),
        cmocka_unit_test(an_address_that_refuses_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
