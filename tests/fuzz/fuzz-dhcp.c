#include "../unit/dhcp_answer.h"

#define BOOTP_AT 28
#define OPTIONS_AT (BOOTP_AT + 240)

/*
 * The first byte chooses: the rest is a packet as it is, or a BOOTP message that gets proper
 * headers and the client's marks, so that the fuzzer gets to the options.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t packet[4096 + OPTIONS_AT];
    struct dhcp_reply reply;
    if (size < 1 || size > 4096)
        return 0;
    size_t n = size - 1;
    if (data[0] & 1) {
        memset(packet, 0, OPTIONS_AT);
        packet[0] = 0x45;
        packet[9] = 17;
        put_be16(packet + 2, (uint16_t)(OPTIONS_AT + n));
        put_be16(packet + 20, DHCP_SERVER_PORT);
        put_be16(packet + 22, DHCP_CLIENT_PORT);
        put_be16(packet + 24, (uint16_t)(OPTIONS_AT - 20 + n));
        memcpy(packet + BOOTP_AT, "\2\1\6", 3);
        put_be32(packet + BOOTP_AT + 16, 0x0a00020f);
        memcpy(packet + BOOTP_AT + 28, mac, sizeof(mac));
        put_be32(packet + BOOTP_AT + 236, 0x63825363);
        memcpy(packet + OPTIONS_AT, data + 1, n);
        n += OPTIONS_AT;
    } else {
        memcpy(packet, data + 1, n);
    }
    int r = dhcp_parse(BYTES(packet, n), 0, mac, &reply);
    (void)r;
    return 0;
}
