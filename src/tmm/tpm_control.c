#include "tmm/tpm_control.h"

#include <errno.h>
#include <string.h>

static const struct control_command commands[] = {
    {CONTROL_GET_CAPABILITY, 4, 8, "get capability"},
    {CONTROL_INIT, 8, 4, "init"},
    {CONTROL_SHUTDOWN, 4, 4, "shutdown"},
    {CONTROL_GET_ESTABLISHED, 4, 8, "get established"},
    {CONTROL_SET_LOCALITY, 8, 4, "set locality"},
    {CONTROL_CANCEL, 4, 4, "cancel"},
    {CONTROL_RESET_ESTABLISHED, 8, 4, "reset established"},
    {CONTROL_STOP, 4, 4, "stop"},
    {CONTROL_SET_DATAFD, 4, 4, "set data descriptor"},
    {CONTROL_SET_BUFFERSIZE, 8, 16, "set buffer size"},
    {CONTROL_LOCK_STORAGE, 8, 4, "lock storage"},
};

const struct control_command *control_command_find(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (commands[i].code == code)
            return &commands[i];
    return NULL;
}

int control_split(struct bytes stream, const struct control_command **ret)
{
    struct reader r = reader_of(stream);
    uint32_t code = read_be32(&r);

    if (r.error)
        return 0;
    const struct control_command *c = control_command_find(code);
    if (!c)
        return -EPROTO;
    if (stream.size < c->request_size)
        return 0;
    *ret = c;
    return c->request_size;
}

uint32_t control_result(const uint8_t *answer)
{
    struct reader r = reader_of(BYTES(answer, 4));

    return read_be32(&r);
}

bool control_answer_complete(const struct control_command *c, uint8_t *answer, size_t *got)
{
    if (*got >= c->answer_size)
        return true;
    if (c->code == CONTROL_GET_CAPABILITY || *got < 4 || control_result(answer) == 0)
        return false;
    memset(answer + *got, 0, c->answer_size - *got);
    *got = c->answer_size;
    return true;
}

void control_mask_capabilities(uint8_t answer[8])
{
    /* Bits 8 and 9: PTM_CAP_GET_STATEBLOB, PTM_CAP_SET_STATEBLOB. */
    answer[6] &= (uint8_t)~0x03u;
}
