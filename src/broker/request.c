#include "broker/request.h"
#include "protocol/evidence.h"
#include "protocol/release.h"

#include <string.h>

int request_refuse(const struct http_request *q, const char **ret_code)
{
    static const struct {
        int status;
        const char *code;
    } answers[] = {{404, "not-found"}, {405, "bad-method"}, {415, "bad-type"}, {413, "too-large"}};
    bool wrong[] = {
        strcmp(q->path, RELEASE_PATH) != 0,
        strcmp(q->method, "POST") != 0,
        strcmp(q->content_type, "application/json") != 0,
        q->content_length > EVIDENCE_JSON_MAX,
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        if (wrong[i]) {
            *ret_code = answers[i].code;
            return answers[i].status;
        }
    return 0;
}
