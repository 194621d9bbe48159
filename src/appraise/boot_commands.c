/*
 * What GRUB was told to do. Every command that it runs is measured, whoever gave it: the measured
 * configuration, or somebody at the host's console, in GRUB's menu, editor or shell (E16). The
 * reference values tell which commands the configuration holds.
 */
#include "appraise/boot.h"
#include "appraise/cmdline.h"
#include "measure/grub_pattern.h"

#include <string.h>

#define COMMAND_SHOWN 1024

static const char *known_command(const struct boot_walk *w, struct bytes command)
{
    for (char *const *c = w->ref->grub_commands; *c; c++)
        if (grub_pattern_matches(*c, command))
            return *c;
    return NULL;
}

/* As much of a command as is compared and shown: a guest may have written a long one. */
static struct bytes beginning(struct bytes command)
{
    return BYTES(command.data, command.size < COMMAND_SHOWN ? command.size : COMMAND_SHOWN);
}

static const char *nearest_command(const struct boot_walk *w, struct bytes command, size_t *count)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    *count = 0;
    for (char *const *c = w->ref->grub_commands; *c; c++, ++*count) {
        size_t distance = cmdline_distance(beginning(BYTES_STR(*c)), beginning(command));
        if (distance >= best_distance)
            continue;
        best = *c;
        best_distance = distance;
    }
    return best;
}

static void reject(struct boot_walk *w, struct bytes command, const char *expected)
{
    _free_ char *shown = text_escape(command, COMMAND_SHOWN);
    finding_addf(w->f, "boot.grub.command", VERDICT_REJECT, expected, "record %zu: %s", w->number,
                 shown ? shown : "");
    finding_remedy(w->f,
                   "boot again, and let nobody use GRUB's menu or command line; " REMEDY_IMAGE);
}

static void reject_unknown(struct boot_walk *w, struct bytes command)
{
    size_t count;
    const char *nearest = nearest_command(w, command, &count);
    _free_ char *shown = nearest ? text_escape(BYTES_STR(nearest), COMMAND_SHOWN) : NULL;
    _buffer_ struct buffer expected = {0};
    int r = buffer_printf(&expected, "one of the %zu commands of the measured configuration%s%s",
                          count, shown ? "; the nearest: " : "", shown ? shown : "");
    if (r == 0)
        r = buffer_append(&expected, "", 1);
    reject(w, command, r == 0 ? (const char *)expected.data : "a command of the configuration");
}

void boot_command(struct boot_walk *w, const struct event *e)
{
    struct bytes command;
    w->grub_ran = true;
    if (!record_command(e, &command) || !record_measures(e, command)) /* E13 */
        reject(w, record_text(e), "a command whose digest was measured");
    else if (!form_grub_command(e))
        reject(w, command, "a command that loads nothing but what is measured again");
    else if (known_command(w, command))
        w->command_count++;
    else if (!w->configuration_rejected) /* whose commands these are: no more than its echo */
        reject_unknown(w, command);
}

void boot_commands_end(struct boot_walk *w)
{
    if (w->command_count > 0)
        finding_addf(w->f, "boot.grub.command", VERDICT_PASS,
                     "commands of the measured configuration", "%zu record%s", w->command_count,
                     w->command_count == 1 ? "" : "s");
}
