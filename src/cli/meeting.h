/* How guest and broker come together: --broker, --listen, --no-listen, --port. */
#ifndef ENCROOT_CLI_MEETING_H
#define ENCROOT_CLI_MEETING_H

#include "base/json.h"
#include "cli/options.h"
#include "protocol/agent_config.h"

struct meeting_options {
    struct option_list brokers; /* --broker */
    uint64_t port;              /* --port; 0: not given */
    bool listen, no_listen;
};

struct meeting {
    struct broker_address brokers[AGENT_BROKERS_MAX];
    size_t broker_count;
    uint16_t listen_port; /* 0: the agent does not listen */
};

/* -EINVAL names the option that is wrong or contradicts another. */
int meeting_choose(const struct meeting_options *o, struct meeting *ret,
                   struct error *err) _must_use_;
/* Add "brokers" and "listen_port" to a report. */
void meeting_report(const struct meeting *m, json_t *report);

#endif
