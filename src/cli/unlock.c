/*
 * `encroot unlock`: the broker for one connection, dialled by the operator (the sample's client).
 */
#include "base/hex.h"
#include "base/io.h"
#include "base/json.h"
#include "broker/connection.h"
#include "cli/audit_file.h"
#include "cli/command.h"
#include "cli/dial.h"
#include "cli/findings_print.h"
#include "cli/options.h"
#include "cli/paths.h"
#include "cli/plain_text.h"
#include "cli/policy_load.h"
#include "crypto/digest.h"
#include "crypto/volume_key.h"
#include "protocol/agent_config.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define HANDSHAKE_SECONDS 20
#define DIAL_SECONDS_MIN 3
#define EXCHANGE_SECONDS 90 /* an emulated guest takes its time to collect evidence */
#define RETRY_NANOSECONDS 500000000

struct unlock {
    /* options */
    const char *ip;
    uint64_t port;
    struct policy_options options;
    const char *key;
    const char *volume;
    const char *save_evidence;
    uint64_t wait;
    bool json, verbose;
    char peer[320];
    /* what they lead to */
    struct paths paths;
    struct policy *policy;
    struct tls_identity *identity;
    uint8_t volume_uuid[16];
    /* what happened */
    bool granted;
    bool has_volume; /* the guest's evidence named one */
    uint8_t decided_volume[16];
    json_t *findings;
    size_t checks;
    struct audit_state recorded; /* .sequence is 0 if nothing was */
};

/* ---- the release context ---- */
static int give_secret(void *arg, const uint8_t volume[16], struct secret **ret, struct error *err)
{
    (void)volume;
    const struct unlock *u = arg;
    return secret_read_file(ret, u->key, VOLUME_SECRET_SIZE, true, err);
}

/* Evidence as the record has the digest of; nothing when it could not be read. */
static int keep_evidence(struct unlock *u, const struct evidence *e, struct buffer *ret,
                         struct error *err)
{
    if (!e)
        return 0;
    u->has_volume = true;
    memcpy(u->decided_volume, e->volume, 16);
    int r = evidence_format(e, ret, err);
    if (r == 0 && u->save_evidence)
        r = write_file_atomic(u->save_evidence, buffer_bytes(ret), 0644, true, err);
    return r;
}

static int append_record(struct unlock *u, const struct release_record *r, struct bytes evidence,
                         struct error *err)
{
    struct digest request_digest, evidence_digest;
    int n = digest_compute(&request_digest, HASH_SHA256, r->request);
    if (n == 0)
        n = digest_compute(&evidence_digest, HASH_SHA256, evidence);
    if (n < 0)
        return error_set(err, -n, "hashing the request");
    const struct audit_entry entry = {.id = r->id,
                                      .findings = r->findings,
                                      .granted = r->granted,
                                      .request_sha256 = request_digest.bytes,
                                      .volume = r->evidence ? r->evidence->volume : NULL,
                                      .platform = r->evidence ? r->evidence->platform : NULL,
                                      .evidence_sha256 = evidence_digest.bytes,
                                      .broker = "unlock",
                                      .peer = u->peer,
                                      .time = time(NULL)};
    return audit_file_append(u->paths.audit, &entry, &u->recorded, err);
}

/* Before anything leaves: shown, kept, and written to the audit. */
static int record(void *arg, const struct release_record *r, struct error *err)
{
    struct unlock *u = arg;
    u->granted = r->granted;
    u->checks = r->findings->count;
    if (!u->json)
        findings_print(stdout, r->findings, u->verbose ? FINDINGS_ALL : FINDINGS_REJECTED);
    json_decref(u->findings);
    u->findings = findings_json(r->findings);
    _buffer_ struct buffer evidence = {0};
    int n = keep_evidence(u, r->evidence, &evidence, err);
    if (n == 0)
        n = append_record(u, r, buffer_bytes(&evidence), err);
    return n < 0 ? error_prefix(err, n, "recording the decision") : 0;
}

/* ---- reaching the guest ---- */
/* A guest that is still starting: nothing listens, or a port forwarder closes the connection. */
static bool worth_a_retry(int r, const struct connection_result *result)
{
    static const int codes[] = {ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH,
                                ENETUNREACH,  EPIPE,      EHOSTDOWN};
    if (result->request)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        if (r == -codes[i])
            return true;
    return false;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int attempt(struct unlock *u, uint64_t give_up, struct connection_result *result,
                   struct error *err)
{
    u->policy->appraisal.platform.chain.now = time(NULL);
    struct release_context context = {
        .policy = &u->policy->appraisal,
        .volume = u->volume ? u->volume_uuid : NULL,
        .secret = give_secret,
        .record = record,
        .arg = u,
    };
    *result = (struct connection_result){0};
    uint64_t soon = clock_now() + SECONDS(HANDSHAKE_SECONDS);
    /* However little time is left (--wait 0), one real attempt. */
    uint64_t least = clock_now() + SECONDS(DIAL_SECONDS_MIN);
    _close_ int fd = dial(u->ip, u->port, earlier(soon, later(least, give_up)), err);
    if (fd < 0)
        return fd;
    return connection_serve(fd, u->identity, &context, soon,
                            clock_now() + SECONDS(EXCHANGE_SECONDS), result, err);
}

static int reach(struct unlock *u, struct connection_result *result, struct error *err)
{
    uint64_t give_up = clock_now() + SECONDS(u->wait);
    bool told = false;
    for (;;) {
        int r = attempt(u, give_up, result, err);
        if (!worth_a_retry(r, result) || clock_now() >= give_up)
            return r;
        if (!told && !u->json)
            fprintf(stderr, "waiting up to %" PRIu64 " s for the guest (%s)\n", u->wait, err->text);
        told = true;
        nanosleep(&(struct timespec){.tv_nsec = RETRY_NANOSECONDS}, NULL);
    }
}

/* ---- telling the operator ---- */
static json_t *record_json(const struct audit_state *s)
{
    char hash[2 * AUDIT_HASH_SIZE + 1];
    hex_encode(BYTES_OF(s->hash), hash);
    return json_pack("{s:I, s:s}", "sequence", (json_int_t)s->sequence, "hash", hash);
}

/* To be written down elsewhere, if the log's own folder is not enough. */
static void print_record(const struct audit_state *s)
{
    char hash[2 * AUDIT_HASH_SIZE + 1];
    hex_encode(BYTES_OF(s->hash), hash);
    if (s->sequence)
        printf("recorded: %" PRIu64 ", %s\n", s->sequence, hash);
}

static void print_json(const struct unlock *u, const struct connection_result *result, int code,
                       const struct error *err)
{
    char volume[UUID_TEXT_SIZE];
    uuid_format(u->decided_volume, volume);
    _json_ json_t *o = json_pack(
        "{s:b, s:b, s:s*, s:s*, s:O*, s:i}", "released", u->granted && result->status == 200,
        "delivered", result->delivered, "volume", u->has_volume ? volume : NULL, "id",
        result->id[0] ? result->id : NULL, "appraisal", u->findings, "exit", code);
    if (o && err->text[0] && code != EXIT_OK)
        json_object_set_new(o, "error", plain_json(err->text));
    if (o && err->hint[0] && code != EXIT_OK)
        json_object_set_new(o, "hint", plain_json(err->hint));
    if (o && u->recorded.sequence)
        json_object_set_new(o, "record", record_json(&u->recorded));
    if (o)
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

static int conclude(const struct connection_result *result, int r)
{
    if (result->status == 403)
        return EXIT_REFUSED;
    if (result->status == 200)
        return result->delivered ? EXIT_OK : EXIT_UNREACHABLE;
    bool spoken_to = result->request || result->status != 0;
    return r < 0 && !spoken_to ? EXIT_UNREACHABLE : EXIT_FAILED;
}

static void print_text(const struct unlock *u, const struct connection_result *result, int code,
                       const struct error *err)
{
    char volume[UUID_TEXT_SIZE];
    uuid_format(u->decided_volume, volume);
    print_record(&u->recorded);
    if (code == EXIT_OK)
        printf("released the key of volume %s: %zu checks passed (decision %s)\n", volume,
               u->checks, result->id);
    else if (code == EXIT_REFUSED)
        printf("refused: the guest at %s got no key (decision %s)\n", u->ip, result->id);
    else if (result->status == 200)
        fprintf(stderr,
                "encroot: the guest left before it confirmed the key of volume %s\n"
                "hint: its console says whether it got it; unlock again if it is still waiting\n",
                volume);
    else
        report_error(err, code, false);
}

static int finish(const struct unlock *u, const struct connection_result *result, int r,
                  struct error *err)
{
    int code = conclude(result, r);
    if (r == -EKEYREJECTED)
        error_hint(err, r, "its image was encrypted for the broker.crt of another folder than %s",
                   u->options.folder);
    else if (r == -ENODATA && result->handshake)
        error_hint(err, r, "it could not make evidence: its console says why");
    else if (r < 0 && !result->handshake)
        error_hint(err, r, "the guest's console shows the address and port it listens on");
    if (u->json)
        print_json(u, result, code, err);
    else
        print_text(u, result, code, err);
    return code;
}

/* ---- the command ---- */
/* Everything that can be wrong on this side is found before the guest is disturbed. */
static int prepare(struct unlock *u, struct error *err)
{
    _secret_ struct secret *probe = NULL;
    int r = paths_of(&u->paths, u->options.folder, err);
    if (r == 0)
        r = policy_load(&u->policy, &u->options, err);
    if (r == 0)
        r = tls_identity_load(&u->identity, u->paths.broker_key, u->paths.broker_cert, err);
    if (r == 0 && !u->key)
        u->key = u->paths.rootfs_key;
    if (r == 0)
        r = secret_read_file(&probe, u->key, VOLUME_SECRET_SIZE, true, err);
    return r;
}

static void unlock_free(struct unlock *u)
{
    paths_free(&u->paths);
    policy_free(u->policy);
    tls_identity_free(u->identity);
    json_decref(u->findings);
}

int cmd_unlock(int argc, char **argv)
{
    _cleanup_(unlock_free) struct unlock u = {
        .port = AGENT_LISTEN_PORT, .options = {.folder = "."}, .wait = 60};
    const struct option_spec options[] = {
        {'i', "ip", OPTION_STRING, "ADDRESS", "the guest: IPv4, IPv6 or name, as its console says",
         &u.ip, 0, 0},
        {'p', "port", OPTION_UINT, "PORT", "its port (default 7220)", &u.port, 1, 65535},
        POLICY_OPTION_SPECS(u.options),
        {'k', "key-file", OPTION_STRING, "FILE", "the volume secret (default DIR/rootfs_key.bin)",
         &u.key, 0, 0},
        {'d', "dir", OPTION_STRING, "DIR", "the folder that `encroot init` made (default .)",
         &u.options.folder, 0, 0},
        {0, "volume", OPTION_STRING, "UUID", "release for this volume only", &u.volume, 0, 0},
        {0, "save-evidence", OPTION_STRING, "FILE",
         "keep what the guest sent, for `encroot evidence`", &u.save_evidence, 0, 0},
        {'w', "wait", OPTION_UINT, "SECONDS", "how long to try to reach the guest (default 60)",
         &u.wait, 0, 86400},
        {'v', "verbose", OPTION_FLAG, NULL, "print every check, not only what was refused",
         &u.verbose, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "print the result as JSON", &u.json, 0, 0},
        {0},
    };
    const struct usage usage = {
        .synopsis = "encroot unlock -i ADDRESS [-p PORT] {--policy FILE | -m RIM -f hash.json} [-k "
                    "KEY] [-d DIR]",
        .about =
            "Attest a guest that waits for its key, and release the key if every check passes.\n"
            "The guest must hold this broker's key (DIR/broker.crt) in its image; its evidence is\n"
            "bound to this very connection. Each decision is recorded in DIR/audit.log before\n"
            "anything leaves.\n\n"
            "Exit status: 0 released, 1 failed, 2 usage, 3 refused, 4 bad input, 5 unreachable.",
        .options = options,
        .example = "  encroot unlock -i 10.0.2.15 -p 7220 -m $RIM -f debian-enc.hash.json",
    };
    int code = options_parse(&usage, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    if (!u.ip)
        return usage_error(&usage, "-i ADDRESS is required");
    const char *problem = policy_options_problem(&u.options);
    if (problem)
        return usage_error(&usage, "%s", problem);
    if (u.volume && uuid_parse(u.volume, u.volume_uuid) < 0)
        return usage_error(&usage, "--volume: \"%s\" is not a UUID", u.volume);
    snprintf(u.peer, sizeof(u.peer), strchr(u.ip, ':') ? "[%s]:%u" : "%s:%u", u.ip,
             (unsigned)u.port);
    struct error err = {0};
    int r = prepare(&u, &err);
    if (r < 0)
        return report_error(&err, exit_code_for(r), u.json);
    struct connection_result result;
    r = reach(&u, &result, &err);
    return finish(&u, &result, r, &err);
}
