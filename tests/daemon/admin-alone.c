/*
 * The administration process alone, for tests: a real store in a folder, real wrapping, and
 * everything that other processes would say to it.
 *
 *   admin-alone serve FOLDER [tls]   makes FOLDER/broker.db and listens on FOLDER/admin.sock, with
 *                                    `tls` on a free port of 127.0.0.1, too, with FOLDER/admin.key,
 *                                    admin.pem and the lines of FOLDER/clients ("admin|reader PIN
 *                                    NAME"). Prints {"port": N} when it serves. A line "drain" on
 *                                    standard input drains it; the end of input is the
 * supervisor's. admin-alone seed FOLDER          stores what standard input has, one object a line:
 *                                    {"record": TEXT, "sequence", "id", "granted", "volume",
 * "time", "evidence"} or {"request": ID, "volume", "attester", "peer", "expires"}
 *
 * Groups "games" and "users" are the socket's admins and readers.
 */
#include "base/hex.h"
#include "base/json.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "daemon/process.h"
#include "daemon/seals.h"
#include "store/store.h"
#include "vault/seal.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static void check(int r, const struct error *err)
{
    if (r >= 0)
        return;
    fprintf(stderr, "admin-alone: %s\n", err->text);
    exit(1);
}

static void check_errno(int r, const char *what)
{
    struct error err = {0};
    if (r < 0)
        check(error_errno(&err, errno, "%s", what), &err);
}

static char *text_of(const char *before, const char *folder, const char *after)
{
    char *text;
    check_errno(asprintf(&text, "%s%s%s", before, folder, after), "asprintf");
    return text;
}

/* ---- the keeper ---- */
struct answer {
    struct message_result result;
    struct buffer body;
};

static void give_seal_keys(const struct kek_ring *ring, struct bytes in, struct answer *a)
{
    _secret_ struct secret *keys = seal_keys(ring);
    check(buffer_append(&a->body, secret_data(keys), secret_size(keys)), &(struct error){0});
}

static void wrap(const struct kek_ring *ring, struct bytes in, struct answer *a)
{
    struct error err = {0};
    _secret_ struct secret *s = secret_new(VOLUME_SECRET_SIZE);
    memcpy(secret_data(s), in.data + 16, VOLUME_SECRET_SIZE);
    a->result.code = kek_wrap(ring, in.data, s, &a->body, &err);
}

static void unwrap(const struct kek_ring *ring, struct bytes in, struct answer *a)
{
    struct error err = {0};
    _secret_ struct secret *s = NULL;
    in = BYTES(in.data + sizeof(struct message_user), in.size - sizeof(struct message_user));
    a->result.code = kek_unwrap(ring, in.data, BYTES(in.data + 16, in.size - 16), &s, &err);
    if (a->result.code == 0)
        check(buffer_append(&a->body, secret_data(s), secret_size(s)), &err);
    snprintf(a->result.text, sizeof(a->result.text), "%.500s", err.text);
}

/* The first finishes at the second look, another stops. */
static struct message_rewrap task;

static void rewrap(const struct kek_ring *ring, struct bytes in, struct answer *a)
{
    static unsigned times;
    if (task.state == REWRAP_RUNNING) {
        a->result = (struct message_result){-EALREADY, "it runs", "watch it"};
        return;
    }
    task = (struct message_rewrap){.state = REWRAP_RUNNING, .total = 3, .begun = 1767225600};
    memset(task.id, times++ ? 'b' : 'a', 32);
    memcpy(&task.user, in.data, sizeof(task.user));
    check(buffer_append(&a->body, &task, sizeof(task)), &(struct error){0});
}

static void rewrap_state(const struct kek_ring *ring, struct bytes in, struct answer *a)
{
    check(buffer_append(&a->body, &task, sizeof(task)), &(struct error){0});
    if (task.state != REWRAP_RUNNING)
        return;
    bool first = task.id[0] == 'a';
    task.state = first ? REWRAP_FINISHED : REWRAP_STOPPED;
    task.ended = 1767225601;
    task.counts = (struct message_rewrapped){.done = 2, .already = first};
    if (!first)
        task.why = (struct message_result){-EIO, "the disk is tired", "let it sleep"};
}

static void checkpoint(const struct kek_ring *ring, struct bytes in, struct answer *a)
{
    const struct message_checkpoint m = {.sequence = 7, .hash = {0xab}, .time = 1767225600};
    check(buffer_append(&a->body, &m, sizeof(m)), &(struct error){0});
    check(buffer_append(&a->body, "signature", 9), &(struct error){0});
}

static const struct {
    enum message type;
    void (*answer)(const struct kek_ring *ring, struct bytes in, struct answer *a);
} answers[] = {
    {MESSAGE_SEAL_KEYS, give_seal_keys},
    {MESSAGE_WRAP, wrap},
    {MESSAGE_UNWRAP, unwrap},
    {MESSAGE_REWRAP, rewrap},
    {MESSAGE_REWRAP_STATE, rewrap_state},
    {MESSAGE_CHECKPOINT, checkpoint},
};

static void open_ring(struct kek_ring *ring, const char *folder)
{
    _free_ char *path = text_of("", folder, "/vault.kek");
    _free_ char *url = text_of("file:", folder, "/vault.kek");
    struct error err = {0};
    int r = kek_create_file(path, &err);
    check(r == -EEXIST ? 0 : r, &err);
    check(kek_open(&ring->keys[0], url, &err), &err);
    ring->count = 1;
}

static void keep(int fd, const char *folder)
{
    struct kek_ring ring = {0};
    struct error err = {0};
    struct channel c;
    struct frame f;
    open_ring(&ring, folder);
    channel_init(&c, fd);
    while (channel_wait(&c, &f, 0, &err) == 0)
        for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
            struct answer a = {0};
            if (answers[i].type != f.type)
                continue;
            answers[i].answer(&ring, f.body, &a);
            const struct bytes parts[] = {BYTES(&a.result, sizeof(a.result)),
                                          buffer_bytes(&a.body)};
            check(channel_send(&c, MESSAGE_RESULT, 0, parts, 2, &err), &err);
            check(channel_drain(&c, 0, &err), &err);
            buffer_free(&a.body);
        }
    channel_free(&c);
    kek_ring_close(&ring);
}

/* ---- the supervisor ---- */
static int listen_unix(const char *folder)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check_errno(fd, "socket");
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/admin.sock", folder);
    unlink(a.sun_path);
    check_errno(bind(fd, (struct sockaddr *)&a, sizeof(a)), a.sun_path);
    check_errno(chmod(a.sun_path, 0666), a.sun_path);
    check_errno(listen(fd, 128), a.sun_path);
    return fd;
}

static int listen_tls(int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check_errno(fd, "socket");
    check_errno(bind(fd, (struct sockaddr *)&a, size), "127.0.0.1");
    check_errno(listen(fd, 128), "127.0.0.1");
    check_errno(getsockname(fd, (struct sockaddr *)&a, &size), "127.0.0.1");
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static void read_clients(struct daemon_config *c, const char *folder)
{
    char role[8], pin[65], name[64];
    _free_ char *path = text_of("", folder, "/clients");
    _fclose_ FILE *f = fopen(path, "re");
    while (f && fscanf(f, "%7s %64s %63s", role, pin, name) == 3) {
        struct config_client *to = &c->clients[c->client_count++];
        to->role = strcmp(role, "admin") == 0 ? ADMIN_ADMIN : ADMIN_READER;
        snprintf(to->name, sizeof(to->name), "%s", name);
        check_errno(hex_decode(pin, to->pin, 32), "clients");
    }
}

static void pair(int fds[2])
{
    check_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
}

static struct daemon_config configure(const char *folder)
{
    struct daemon_config c = {
        .name = strdup("broker-1"),
        .store = text_of("sqlite:", folder, "/broker.db"),
        .request_seconds = 5,
        .handshake_seconds = 5,
        .approval_seconds = 600,
        .admin_key = text_of("", folder, "/admin.key"),
        .admin_certificate = text_of("", folder, "/admin.pem"),
        .admin_group = strdup("games"),
        .reader_group = strdup("users"),
    };
    read_clients(&c, folder);
    return c;
}

static pid_t start_admin(const struct daemon_config *c, const int control[2], int vault, int plain,
                         int tls)
{
    struct process p = {.role = ROLE_ADMIN, .config = c};
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct error err = {0};
    close(control[0]); /* whose end is the supervisor's */
    p.fds[WIRE_CONTROL][0] = control[1];
    p.fds[WIRE_VAULT][0] = vault;
    p.fds[WIRE_ADMIN_UNIX][0] = plain;
    p.fds[WIRE_ADMIN_TLS][0] = tls;
    p.count[WIRE_CONTROL] = p.count[WIRE_VAULT] = p.count[WIRE_ADMIN_UNIX] = 1;
    p.count[WIRE_ADMIN_TLS] = tls >= 0;
    log_open("admin", true, LOG_INFO);
    int r = admin_run(&p, &err);
    if (r < 0)
        log_error(LOG_ERR, &err, "administration");
    exit(r < 0);
}

static void make_store(const char *url)
{
    const struct store_options options = {.migrate = true};
    struct error err = {0};
    _store_ struct store *s = NULL;
    check(store_open(&s, url, &options, &err), &err);
    check(store_ping(s, &err), &err);
}

/* Until input ends, or the process does. */
static void supervise(struct channel *control)
{
    struct error err = {0};
    struct pollfd p[] = {{.fd = 0, .events = POLLIN}, {.fd = control->fd, .events = POLLIN}};
    char line[64];
    while (poll(p, 2, -1) > 0) {
        if (p[0].revents && !fgets(line, sizeof(line), stdin))
            return;
        if (p[0].revents)
            check(channel_send(control, MESSAGE_DRAIN, 0, NULL, 0, &err), &err);
        if (p[1].revents && (channel_fill(control, &err) < 0 || control->ended))
            return;
    }
}

static int serve(const char *folder, bool with_tls)
{
    struct daemon_config c = configure(folder);
    int control[2], vault[2], port = 0, status;
    struct error err = {0};
    struct channel to;
    struct frame f;
    setvbuf(stdin, NULL, _IONBF, 0);
    make_store(c.store);
    pair(control);
    pair(vault);
    if (fork() == 0) {
        close(control[0]);
        close(control[1]);
        close(vault[0]);
        keep(vault[1], folder);
        exit(0);
    }
    close(vault[1]);
    int plain = listen_unix(folder), tls = with_tls ? listen_tls(&port) : -1;
    pid_t admin = start_admin(&c, control, vault[0], plain, tls);
    close(control[1]);
    close(vault[0]);
    close(plain);
    if (tls >= 0)
        close(tls);
    channel_init(&to, control[0]);
    check(channel_wait(&to, &f, 0, &err), &err);
    printf("{\"port\": %d, \"pid\": %d}\n", port, (int)admin);
    fflush(stdout);
    supervise(&to);
    channel_free(&to);
    check_errno(waitpid(admin, &status, 0), "waitpid");
    config_free(&c);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- what other processes would have stored ---- */
static const char *string_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    return text ? text : "";
}

static void seed_record(struct store *s, const json_t *j)
{
    struct error err = {0};
    struct store_record r = {
        .sequence = (uint64_t)json_integer_value(json_object_get(j, "sequence")),
        .time = json_integer_value(json_object_get(j, "time")),
        .granted = json_is_true(json_object_get(j, "granted")),
    };
    memset(r.hash, (int)r.sequence, sizeof(r.hash));
    snprintf(r.id, sizeof(r.id), "%s", string_of(j, "id"));
    r.has_volume = uuid_parse(string_of(j, "volume"), r.volume) == 0;
    const char *text = string_of(j, "record"), *evidence = string_of(j, "evidence");
    check(buffer_append(&r.text, text, strlen(text)), &err);
    if (*evidence)
        check(buffer_append(&r.evidence, evidence, strlen(evidence)), &err);
    check(store_audit_append(s, &r, &err), &err);
    buffer_free(&r.text);
    buffer_free(&r.evidence);
}

static void seed_request(struct store *s, const json_t *j, const struct secret *seals)
{
    struct error err = {0};
    struct store_request q = {.state = STORE_REQUEST_PENDING, .count = 3};
    q.created = q.seen = time(NULL);
    q.expires = q.seen + json_integer_value(json_object_get(j, "expires"));
    snprintf(q.id, sizeof(q.id), "%s", string_of(j, "request"));
    snprintf(q.peer, sizeof(q.peer), "%s", string_of(j, "peer"));
    memset(q.attester, 0xa7, sizeof(q.attester));
    check_errno(uuid_parse(string_of(j, "volume"), q.volume), "volume");
    check(request_seal(&q, seals, &err), &err);
    check(store_request_put(s, &q, &err), &err);
}

static int seed(const char *folder)
{
    _free_ char *url = text_of("sqlite:", folder, "/broker.db");
    _free_ char *line = NULL;
    _store_ struct store *s = NULL;
    const struct store_options options = {0};
    struct error err = {0};
    struct kek_ring ring = {0};
    size_t size = 0;
    open_ring(&ring, folder);
    _secret_ struct secret *seals = seal_keys(&ring);
    kek_ring_close(&ring);
    check(store_open(&s, url, &options, &err), &err);
    check(store_begin(s, &err), &err);
    for (ssize_t n; (n = getline(&line, &size, stdin)) > 0;) {
        _json_ json_t *j = NULL;
        check(json_parse(&j, BYTES(line, n), "standard input", &err), &err);
        if (json_object_get(j, "record"))
            seed_record(s, j);
        else
            seed_request(s, j, seals);
    }
    check(store_commit(s, &err), &err);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2], argc > 3);
    if (argc == 3 && strcmp(argv[1], "seed") == 0)
        return seed(argv[2]);
    fprintf(stderr, "admin-alone serve FOLDER [tls] | seed FOLDER\n");
    return 2;
}
