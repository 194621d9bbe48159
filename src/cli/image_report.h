/* What the `image` commands found or did: JSON objects, and the same for people. */
#ifndef ENCROOT_CLI_IMAGE_REPORT_H
#define ENCROOT_CLI_IMAGE_REPORT_H

#include "base/json.h"
#include "image/encrypt_image.h"

/* New references; NULL without memory. */
json_t *image_report_encrypted(const struct image_plan *p, const struct image_target *t,
                               const struct encrypt_stats *s);
/* {"title", "version", "kernel", "cmdline"} each; {"title", "reason"} each. */
json_t *image_report_entries(const struct bootplan *p);
json_t *image_report_removed(const struct bootplan *p);
/* {"number", "name", "type", "uuid", "label", "start", "size", "use"} each. */
json_t *image_report_partitions(const struct layout *l);

void image_report_json(const json_t *report);
/* `folder`: of the keys, for the line that says how to go on. */
void image_report_print_encrypted(const json_t *report, const char *folder);
void image_report_print_removed(const json_t *removed);

#endif
