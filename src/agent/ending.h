/*
 * How a boot ends that must not go on: power off or reboot, never a shell (ATTACKS, B1). Until the
 * configuration is read the action is to power off.
 */
#ifndef ENCROOT_AGENT_ENDING_H
#define ENCROOT_AGENT_ENDING_H

#include "protocol/agent_config.h"

#include <stdint.h>

void ending_set_action(enum agent_failure_action action);
/*
 * A thread that ends the boot at `deadline` (CLOCK_BOOTTIME nanoseconds), or a few seconds later,
 * whatever else hangs: disk, console, or an end_boot that has begun.
 */
int ending_start_deadline(uint64_t deadline) _must_use_;
/* Say why, and end the boot. From any thread; the first one counts. */
_Noreturn void end_boot(const char *fmt, ...) _printf_(1, 2);

#endif
