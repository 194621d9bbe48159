/* One event-log record as the rules see it: what covers it, and what its data says. */
#ifndef ENCROOT_APPRAISE_RECORD_H
#define ENCROOT_APPRAISE_RECORD_H

#include "appraise/appraise.h"
#include "eventlog/eventlog.h"

/*
 * The register that a replay extends with this record; 0 when none does. Only the register is
 * vouched for: of two PCRs that share one, a forger may write either into the log, and the type
 * and the data of a record are his to choose as well (E9, E13).
 */
size_t record_register(const struct event *e, enum event_log_format format,
                       const struct platform_claims *claims);
/* The PCRs that this record may belong to, as bits: one in a TCG2 log, all PCRs of the register
 * in a CCEL. */
uint32_t record_pcrs(const struct event *e, enum event_log_format format,
                     const struct platform_claims *claims);

/* The digest is that of `text` (E13). */
bool record_measures(const struct event *e, struct bytes text);

/* The data without the one NUL that ends it, if it has one. */
struct bytes record_text(const struct event *e);
bool bytes_start_with(struct bytes b, const char *prefix);
struct bytes bytes_from(struct bytes b, size_t at);

/* True for a command of GRUB ("grub_cmd: "), and what it says. */
bool record_command(const struct event *e, struct bytes *ret);

/* The file that GRUB names, without a leading "(hd0,gpt2)". */
struct bytes record_path(const struct event *e);

/* Hostile text for people: printable ASCII as it is, the rest as \xNN, at most `max` bytes of it.
 * Returns an allocated string, NULL without memory. */
char *text_escape(struct bytes text, size_t max);

/* ---- forms of data that some records must have, so that no other content can hide in them ---- */
bool form_separator(const struct event *e);     /* PFP 10.4.5: four zero bytes */
bool form_variable(const struct event *e);      /* a variable of a known namespace, all measured */
bool form_boot_variable(const struct event *e); /* BootOrder or Boot####, or its value alone */
bool form_partitions(const struct event *e);    /* UEFI_GPT_DATA */
bool form_byte(const struct event *e);          /* a single byte, which is not in the data */
bool form_action(const struct event *e);        /* one of the texts that firmware measures */
bool form_grub_command(const struct event *e);  /* "grub_cmd: " and a command that changes nothing
                                                   that is not measured again */

#endif
