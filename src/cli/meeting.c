#include "cli/meeting.h"

#include <strings.h>

static int add_broker(struct meeting *m, const char *text, struct error *err)
{
    struct broker_address b;
    if (m->broker_count == AGENT_BROKERS_MAX)
        return error_set(err, EINVAL, "--broker: given more than %d times", AGENT_BROKERS_MAX);
    int r = broker_address_parse(text, AGENT_BROKER_PORT, &b, err);
    if (r < 0)
        return error_hint(err, error_prefix(err, r, "--broker"),
                          "for example: --broker keys.example.org, --broker 192.0.2.7:7221, "
                          "--broker '[2001:db8::7]:7221'");
    for (size_t i = 0; i < m->broker_count; i++)
        if (m->brokers[i].port == b.port && strcasecmp(m->brokers[i].host, b.host) == 0)
            return error_set(err, EINVAL, "--broker: %s port %u is given twice", b.host, b.port);
    m->brokers[m->broker_count++] = b;
    return 0;
}

static int choose_listening(const struct meeting_options *o, struct meeting *m, struct error *err)
{
    bool asked = o->listen || o->port;
    if (o->no_listen && asked)
        return error_set(err, EINVAL, "--no-listen contradicts %s",
                         o->listen ? "--listen" : "--port");
    if (o->no_listen && m->broker_count == 0)
        return error_hint(err,
                          error_set(err, EINVAL, "--no-listen: no broker could reach the agent"),
                          "say which one the agent dials: --broker HOST");
    bool listen = !o->no_listen && (asked || m->broker_count == 0);
    m->listen_port = !listen ? 0 : o->port ? (uint16_t)o->port : AGENT_LISTEN_PORT;
    return 0;
}

int meeting_choose(const struct meeting_options *o, struct meeting *ret, struct error *err)
{
    struct meeting m = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < o->brokers.count; i++)
        r = add_broker(&m, o->brokers.items[i], err);
    if (r == 0)
        r = choose_listening(o, &m, err);
    if (r == 0)
        *ret = m;
    return r;
}

void meeting_report(const struct meeting *m, json_t *report)
{
    json_t *brokers = json_array();
    for (size_t i = 0; i < m->broker_count; i++)
        json_array_append_new(brokers, json_pack("{s:s, s:i}", "host", m->brokers[i].host, "port",
                                                 (int)m->brokers[i].port));
    json_object_set_new(report, "brokers", brokers);
    json_object_set_new(report, "listen_port", json_integer(m->listen_port));
}
