/* Which requests reach the release handler at all: by their heads. */
#ifndef ENCROOT_BROKER_REQUEST_H
#define ENCROOT_BROKER_REQUEST_H

#include "protocol/http.h"

/* 0: none of this is wrong. Else the status and its *code, which the answer has in it. */
int request_refuse(const struct http_request *q, const char **ret_code);

#endif
