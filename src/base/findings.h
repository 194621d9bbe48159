/*
 * Findings: what an appraisal checked, one line a check. Verifiers, event-log and reference-value
 * stages append to one list; nothing else decides. The zero value of a verdict is rejection.
 */
#ifndef ENCROOT_BASE_FINDINGS_H
#define ENCROOT_BASE_FINDINGS_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/waivers.h"

enum verdict {
    VERDICT_REJECT = 0,
    VERDICT_PASS,   /* equals a reference value, or a signature that verifies */
    VERDICT_WAIVED, /* explained by a rule with a name, which the finding holds */
};

struct finding {
    const char *check; /* static, dotted: "token.cvm.signature", "boot.kernel", ... */
    enum verdict verdict;
    char *expected;     /* owned; may be NULL */
    char *found;        /* owned; may be NULL */
    enum waiver waiver; /* VERDICT_WAIVED only */
    char *remedy;       /* owned; what to do if the change was intended; may be NULL */
};

struct findings {
    struct finding *list;
    size_t count;
    size_t rejected; /* number of entries with VERDICT_REJECT */
    bool incomplete; /* a finding could not be recorded (no memory): rejects */
};

/*
 * Append one. `expected` and `found` are copied (NULL allowed). Never fails visibly: what cannot
 * be recorded sets `incomplete`.
 */
void finding_add(struct findings *f, const char *check, enum verdict v, const char *expected,
                 const char *found);
/* The same with `found` formatted. */
void finding_addf(struct findings *f, const char *check, enum verdict v, const char *expected,
                  const char *fmt, ...) _printf_(5, 6);
/* Append one with VERDICT_WAIVED, by the rule `w`: name and reason become what was expected. */
void finding_waive(struct findings *f, const char *check, enum waiver w, const char *fmt, ...)
    _printf_(4, 5);
/* Put a remedy on the last finding. */
void finding_remedy(struct findings *f, const char *fmt, ...) _printf_(2, 3);

/* Its texts. */
void finding_free(struct finding *f);
/* Append `one`, whose texts it takes over. */
void findings_take(struct findings *f, struct finding *one);
/* Forget all but the first `count`. */
void findings_cut(struct findings *f, size_t count);
/* Move all of `from` to the end of `to`; `from` is empty then. */
void findings_move(struct findings *to, struct findings *from);

/* True only with at least one finding, none rejected and none lost. */
bool findings_pass(const struct findings *f);
/* The first rejection, or NULL. */
const struct finding *findings_first_reject(const struct findings *f);
void findings_free(struct findings *f);
#define _findings_ _cleanup_(findings_free)

const char *verdict_name(enum verdict v); /* "reject", "pass", "waived" */

#endif
