/*
 * POST /v1/release over TLS 1.3, HTTP/1.1.
 *   request:  application/json, the evidence (protocol/evidence.h), at most EVIDENCE_JSON_MAX
 *   granted:  200, application/octet-stream, exactly VOLUME_SECRET_SIZE bytes: the volume secret
 *   refused:  403, application/json {"code": "denied", "id": "<correlation id>"}; nothing else,
 *             whatever the reason (400, 404, 413, 503 have the same form). The code "pending" says
 *             that an operator has yet to approve: asking again later may help, as with 503
 *
 * release_handle is the whole of the broker's answer: it knows nothing of sockets, of TLS or of
 * who opened the connection. `encroot unlock` runs it for one outgoing connection, a broker for
 * many incoming ones.
 */
#ifndef ENCROOT_PROTOCOL_RELEASE_H
#define ENCROOT_PROTOCOL_RELEASE_H

#define RELEASE_PATH "/v1/release"

#endif
