#include "tmm/tpm_command.h"

#include <errno.h>
#include <string.h>

#define TPM_ST_NO_SESSIONS 0x8001u
#define TPM_ST_SESSIONS 0x8002u
#define TPM_CC_PCR_ALLOCATE 0x12bu
#define TPM_CC_PCR_EVENT 0x13cu
#define TPM_CC_PCR_RESET 0x13du
#define TPM_CC_STARTUP 0x144u
#define TPM_CC_PCR_EXTEND 0x182u
#define TPM_CC_EVENT_SEQUENCE_COMPLETE 0x185u
#define TPM_RH_NULL 0x40000007u
#define TPM_SU_CLEAR 0u
#define TPM_SU_STATE 1u
#define TPM_ALG_SHA256 0x000bu

uint32_t tpm_message_size(struct bytes message)
{
    struct reader r = reader_of(message);

    (void)read_u8(&r);
    (void)read_u8(&r);
    uint32_t size = read_be32(&r);
    (void)read_be32(&r);
    return r.error ? 0 : size;
}

uint32_t tpm_message_code(struct bytes message)
{
    struct reader r = reader_of(message);

    (void)read_be16(&r);
    (void)read_be32(&r);
    uint32_t code = read_be32(&r);
    return r.error ? 0xffffffffu : code;
}

void tpm_error_response(uint32_t code, uint8_t ret[TPM_HEADER_SIZE])
{
    put_be16(ret, TPM_ST_NO_SESSIONS);
    put_be32(ret + 2, TPM_HEADER_SIZE);
    put_be32(ret + 6, code);
}

/* TPM 2.0 Part 2, table "TPM_ALG_ID": digest sizes; 0 if unknown. */
static size_t bank_digest_size(uint16_t alg)
{
    static const struct {
        uint16_t alg;
        uint8_t size;
    } banks[] = {
        {0x0004, 20}, {0x000b, 32}, {0x000c, 48}, {0x000d, 64},
        {0x0012, 32}, {0x0027, 32}, {0x0028, 48}, {0x0029, 64},
    };

    for (size_t i = 0; i < ARRAY_SIZE(banks); i++)
        if (banks[i].alg == alg)
            return banks[i].size;
    return 0;
}

/* TPML_DIGEST_VALUES (Part 2, 10.9.2), which must end the message. */
static int read_digest_values(struct reader *r, struct tpm_observation *o)
{
    uint32_t count = read_be32(r);

    if (r->error || count > TPM_DIGESTS_MAX)
        return -EBADMSG;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t alg = read_be16(r);
        size_t size = bank_digest_size(alg);
        struct bytes digest = read_bytes(r, size);

        if (r->error || size == 0)
            return -EBADMSG;
        if (alg == TPM_ALG_SHA256)
            memcpy(o->digests[o->digest_count++], digest.data, TPM_SHA256_SIZE);
    }
    return reader_left(r) == 0 ? 0 : -EBADMSG;
}

/* One exchange, its headers taken off. */
struct exchange {
    struct reader command; /* at the handles */
    bool command_sessions;
    struct reader response; /* at the parameters */
};

static void skip_authorisation(struct exchange *x)
{
    if (x->command_sessions)
        (void)read_bytes(&x->command, read_be32(&x->command));
}

/* The first handle. -EBADMSG for what is neither a PCR nor TPM_RH_NULL (which changes nothing). */
static int read_pcr_handle(struct exchange *x, struct tpm_observation *o, enum tpm_effect effect)
{
    uint32_t handle = read_be32(&x->command);

    if (x->command.error)
        return -EBADMSG;
    if (handle == TPM_RH_NULL)
        return 0;
    if (handle >= TPM_PCR_COUNT)
        return -EBADMSG;
    o->effect = effect;
    o->pcr = handle;
    return 0;
}

/* Part 3, 22.2: the digests are the command's. */
static int observe_extend(struct exchange *x, struct tpm_observation *o)
{
    int r = read_pcr_handle(x, o, TPM_EFFECT_EXTEND);

    if (r < 0)
        return r;
    skip_authorisation(x);
    return read_digest_values(&x->command, o);
}

/*
 * PCR_Event and EventSequenceComplete (Part 3, 22.3 and 17.6): the data may be encrypted for the
 * session, so only the response tells the digests.
 */
static int observe_event(struct exchange *x, struct tpm_observation *o)
{
    int r = read_pcr_handle(x, o, TPM_EFFECT_EXTEND);

    return r < 0 ? r : read_digest_values(&x->response, o);
}

static int observe_pcr_reset(struct exchange *x, struct tpm_observation *o)
{
    return read_pcr_handle(x, o, TPM_EFFECT_RESET);
}

/* Part 3, 9.3. */
static int observe_startup(struct exchange *x, struct tpm_observation *o)
{
    uint16_t type = read_be16(&x->command);

    if (x->command.error || (type != TPM_SU_CLEAR && type != TPM_SU_STATE))
        return -EBADMSG;
    o->effect = type == TPM_SU_CLEAR ? TPM_EFFECT_STARTUP_CLEAR : TPM_EFFECT_STARTUP_STATE;
    return 0;
}

static const struct observer {
    uint32_t code;
    int (*observe)(struct exchange *x, struct tpm_observation *o);
} observers[] = {
    {TPM_CC_PCR_EXTEND, observe_extend},
    {TPM_CC_PCR_EVENT, observe_event},
    {TPM_CC_EVENT_SEQUENCE_COMPLETE, observe_event},
    {TPM_CC_PCR_RESET, observe_pcr_reset},
    {TPM_CC_STARTUP, observe_startup},
};

static const struct observer *find_observer(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(observers); i++)
        if (observers[i].code == code)
            return &observers[i];
    return NULL;
}

/* Header and, behind sessions, the parameters alone (Part 1, 18.9: parameterSize). */
static int open_response(struct bytes response, struct reader *ret)
{
    struct reader r = reader_of(response);
    uint16_t tag = read_be16(&r);
    uint32_t size = read_be32(&r);

    (void)read_be32(&r);
    if (r.error || size != response.size)
        return -EBADMSG;
    if (tag == TPM_ST_SESSIONS) {
        struct bytes parameters = read_bytes(&r, read_be32(&r));
        if (r.error)
            return -EBADMSG;
        r = reader_of(parameters);
    }
    *ret = r;
    return 0;
}

int tpm_observe(struct bytes command, struct bytes response, struct tpm_observation *ret)
{
    const struct observer *observer = find_observer(tpm_message_code(command));
    struct tpm_observation o = {.effect = TPM_EFFECT_NONE};
    struct exchange x = {.command = reader_of(command)};

    if (observer && tpm_message_code(response) == TPM_RC_SUCCESS) {
        uint16_t tag = read_be16(&x.command);

        (void)read_be32(&x.command);
        (void)read_be32(&x.command);
        x.command_sessions = tag == TPM_ST_SESSIONS;
        if (tpm_message_size(command) != command.size ||
            (tag != TPM_ST_SESSIONS && tag != TPM_ST_NO_SESSIONS) ||
            open_response(response, &x.response) < 0 || observer->observe(&x, &o) < 0)
            return -EBADMSG;
    }
    *ret = o;
    return 0;
}

/* A TPMS_PCR_SELECTION (Part 2, 10.6.2): is it of SHA-256, and of less than all its PCRs? */
static bool selection_narrows_sha256(struct reader *r)
{
    uint16_t alg = read_be16(r);
    struct bytes selected = read_bytes(r, read_u8(r));
    size_t whole = 0;

    for (size_t i = 0; i < selected.size; i++)
        whole += i < TPM_PCR_COUNT / 8 && selected.data[i] == 0xff;
    return alg == TPM_ALG_SHA256 && whole < TPM_PCR_COUNT / 8;
}

/* Part 3, 22.5. A bank that is not in the list stays as it is. */
static bool allocation_keeps_sha256(struct reader *r, bool sessions)
{
    (void)read_be32(r); /* the platform's handle */
    if (sessions)
        (void)read_bytes(r, read_be32(r));
    uint32_t count = read_be32(r);
    for (uint32_t i = 0; i < count && !r->error; i++)
        if (selection_narrows_sha256(r))
            return false;
    return r->error == 0 && reader_left(r) == 0;
}

bool tpm_command_allowed(struct bytes command)
{
    struct reader r = reader_of(command);
    uint16_t tag = read_be16(&r);

    (void)read_be32(&r);
    return read_be32(&r) != TPM_CC_PCR_ALLOCATE ||
           allocation_keeps_sha256(&r, tag == TPM_ST_SESSIONS);
}
