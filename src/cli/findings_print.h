/* What an appraisal checked, for people and for programs. `encroot unlock` and `encroot evidence
 * appraise` print the same. */
#ifndef ENCROOT_CLI_FINDINGS_PRINT_H
#define ENCROOT_CLI_FINDINGS_PRINT_H

#include "base/findings.h"
#include "base/json.h"

enum findings_detail {
    FINDINGS_REJECTED, /* rejections in full, and how many checks passed */
    FINDINGS_ALL,      /* each check */
};

/* Ends with a line that holds the verdict. Text from evidence is escaped: it may come from a
 * forger and goes to a terminal. */
void findings_print(FILE *out, const struct findings *f, enum findings_detail detail);

/* {"verdict": "pass"|"reject", "findings": [{"check", "verdict", "expected", "found", "remedy"}]}
 * A new reference; NULL without memory. */
json_t *findings_json(const struct findings *f);

#endif
