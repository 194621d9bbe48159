/*
 * Kernel modules: those without aliases always, the others when /sys shows a device whose
 * modalias they match. Loading a bus driver makes further devices appear, so passes repeat.
 */
#ifndef ENCROOT_AGENT_MODULES_H
#define ENCROOT_AGENT_MODULES_H

#include "protocol/agent_config.h"

struct module_loader;

/* `config` must outlive the loader. NULL without memory. */
struct module_loader *module_loader_new(const struct agent_config *config);
/* Look at the devices once and load; returns how many modules were loaded. */
size_t module_loader_pass(struct module_loader *l);
/* Passes until nothing new comes. */
void module_loader_settle(struct module_loader *l);
void module_loader_free(struct module_loader *l);

/* Does one of the module's patterns match? False for a module without patterns. */
bool module_matches(const struct agent_module *m, const char *modalias);

#endif
