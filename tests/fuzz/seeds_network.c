/* What comes over the network, and from the machine beside the guest. */
#include "../unit/dhcp_answer.h"
#include "../unit/tpm_message.h"
#include "corpus.h"
#include "daemon/messages.h"
#include "protocol/http.h"
#include "protocol/release.h"
#include "protocol/tmm_port.h"

#include <err.h>
#include <string.h>

/* ---- DHCP: the first byte says whether headers are to be added ---- */

#define OPTIONS_AT (28 + 240)

void seeds_dhcp(struct corpus *c)
{
    static const uint8_t whole = 0, options = 1;
    static const uint8_t types[] = {DHCP_OFFER, DHCP_ACK, DHCP_NAK, DHCP_DISCOVER};
    for (size_t i = 0; i < sizeof(types); i++) {
        char name[32];
        static const uint8_t dns[] = {10, 0, 2, 3, 127, 0, 0, 1, 9, 9, 9, 9};
        struct answer a = full_answer(0, types[i], ADDRESS, 3600);
        add_option(&a, 6, dns, sizeof(dns));
        struct bytes packet = end_answer(&a);
        snprintf(name, sizeof(name), "packet-%u", types[i]);
        c->prefix = BYTES(&whole, 1);
        corpus_bytes(c, name, packet);
        snprintf(name, sizeof(name), "options-%u", types[i]);
        c->prefix = BYTES(&options, 1);
        corpus_bytes(c, name, BYTES(packet.data + OPTIONS_AT, packet.size - OPTIONS_AT));
    }
}

/* ---- HTTP ---- */

static int append(void *arg, const void *p, size_t n, struct error *e)
{
    (void)e;
    return buffer_append(arg, p, n);
}

void seeds_http(struct corpus *c)
{
    static const int statuses[] = {200, 400, 403, 404, 413, 503};
    _buffer_ struct buffer out = {0};
    struct http_stream s = {.write = append, .arg = &out};
    if (http_write_request(&s, "POST", RELEASE_PATH, "application/json", BYTES("{}", 2), NULL) < 0)
        errx(1, "writing a request failed");
    corpus_lines(c, "request", buffer_bytes(&out));
    corpus_bytes(c, "request-bytes", buffer_bytes(&out));
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        char name[32];
        out.size = 0;
        snprintf(name, sizeof(name), "response-%d", statuses[i]);
        if (http_write_response(&s, statuses[i], "application/octet-stream", BYTES("secret", 6),
                                NULL) < 0)
            errx(1, "writing a response failed");
        corpus_lines(c, name, buffer_bytes(&out));
    }
}

/* ---- encrootd's front: the first byte says in which portions ---- */

void seeds_front_request(struct corpus *c)
{
    static const uint8_t portion = 7;
    _buffer_ struct buffer out = {0};
    struct http_stream s = {.write = append, .arg = &out};
    if (http_write_request(&s, "POST", RELEASE_PATH, "application/json", BYTES("{\"a\":1}", 7),
                           NULL) < 0)
        errx(1, "writing a request failed");
    c->prefix = BYTES(&portion, 1);
    corpus_lines(c, "request", buffer_bytes(&out));
    corpus_bytes(c, "request-bytes", buffer_bytes(&out));
}

/* ---- encrootd's gate: the first byte says whether a front or the keeper speaks ---- */

struct gate_frame {
    uint32_t type, size;
    uint64_t connection;
    union {
        struct message_sign sign;
        struct message_checkpoint checkpoint;
    };
};

static size_t put_gate_frame(uint8_t *to, uint32_t type, uint32_t size, uint64_t connection)
{
    struct gate_frame f = {.type = type, .size = size, .connection = connection};
    f.sign.size = 32; /* a checkpoint's sequence, too */
    memcpy(to, &f, 16 + size);
    return 16 + size;
}

void seeds_gate(struct corpus *c)
{
    static const uint8_t front = 0, keeper = 1;
    static const uint64_t own = 4, others = 9; /* of a table of four */
    uint8_t frames[1024];
    size_t n = put_gate_frame(frames, MESSAGE_SIGN, sizeof(struct message_sign), own);
    n += put_gate_frame(frames + n, MESSAGE_SIGN, sizeof(struct message_sign), own);
    n += put_gate_frame(frames + n, MESSAGE_ENDED, 0, own);
    n += put_gate_frame(frames + n, MESSAGE_SIGN, sizeof(struct message_sign), others);
    n += put_gate_frame(frames + n, MESSAGE_ENDED, 0, others);
    c->prefix = BYTES(&front, 1);
    corpus_bytes(c, "front", BYTES(frames, n));
    n = put_gate_frame(frames, MESSAGE_SIGN_CHECKPOINT, sizeof(struct message_checkpoint), 0);
    c->prefix = BYTES(&keeper, 1);
    corpus_bytes(c, "keeper", BYTES(frames, n));
}

/* ---- the software TMM: the first byte is the part of it that the rest is for ---- */

enum { PART_WATCH, PART_CONTROL, PART_PORT, PART_OPTIONS };

static void put_tpm(struct corpus *c)
{
    static const uint8_t part = PART_WATCH;
    uint8_t message[2 + 128 + sizeof(success)];
    size_t n = make_extend(message + 2, 4, 0x000b, 32, 0xaa);
    put_le16(message, (uint16_t)n);
    memcpy(message + 2 + n, success, sizeof(success));
    c->prefix = BYTES(&part, 1);
    corpus_bytes(c, "extend", BYTES(message, 2 + n + sizeof(success)));
    memcpy(message + 2 + n, failure, sizeof(failure));
    corpus_put(c, "extend-failed", BYTES(message, 2 + n + sizeof(failure)));
}

static void put_port(struct corpus *c)
{
    static const uint8_t part = PART_PORT;
    uint8_t request[8 + 64] = TMM_REQUEST_MAGIC;
    put_le32(request + 4, 64);
    c->prefix = BYTES(&part, 1);
    corpus_bytes(c, "request", BYTES_OF(request));
}

void seeds_tmm(struct corpus *c)
{
    static const uint8_t control = PART_CONTROL, options = PART_OPTIONS;
    static const uint8_t requests[] = {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 16};
    static const char list[] = "id=a,file=/x,,y,format=raw";
    put_tpm(c);
    put_port(c);
    c->prefix = BYTES(&control, 1);
    corpus_bytes(c, "control", BYTES_OF(requests));
    c->prefix = BYTES(&options, 1);
    corpus_bytes(c, "options", BYTES_STR(list));
}
