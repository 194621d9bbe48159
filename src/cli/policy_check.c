/* `encroot policy check FILE`: can it be read, can anything pass it, and what does it give up? */
#include "cli/policy_check.h"
#include "appraise/policy_problems.h"
#include "cli/policy_load.h"
#include "cli/command.h"
#include "cli/options.h"

#include <string.h>

json_t *policy_problems(const struct appraisal_policy *p)
{
    bool fatal = false;
    json_t *texts = json_array();
    json_t *unseen = json_array();
    struct policy_problem problem;
    for (size_t at = 0; policy_next_problem(p, &at, &problem);) {
        fatal |= problem.fatal;
        json_array_append_new(texts, json_string(problem.text));
    }
    for (int w = 0; w < WAIVER_COUNT; w++)
        if (waiver_rules[w].loses && waives(p->records.waivers, (enum waiver)w))
            json_array_append_new(unseen, json_string(waiver_name((enum waiver)w)));
    return json_pack("{s:b, s:o, s:o}", "unusable", fatal, "problems", texts, "accepted_unseen",
                     unseen);
}

static void print(const char *path, const json_t *report)
{
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(report, "problems"), i, text)
        printf("note: %s\n", json_string_value(text));
    json_array_foreach(json_object_get(report, "accepted_unseen"), i, text)
        printf("note: accepts unseen: %s (%s)\n", json_string_value(text),
               waiver_rules[waiver_by_name(json_string_value(text))].reason);
    printf("%s: %s\n", path,
           json_is_true(json_object_get(report, "unusable"))
               ? "a policy that must not be used, or that nothing can pass"
               : "a valid policy");
}

int cmd_policy_check(int argc, char **argv)
{
    bool json = false;
    const struct option_spec options[] = {
        {0, "json", OPTION_FLAG, NULL, "print the result as JSON", &json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot policy check FILE [--json]",
        .about = "Read an appraisal policy and everything that it names, and say what is wrong\n"
                 "with it, what it can never accept, and what it accepts unseen. Exit status 0: a\n"
                 "valid policy; 4: one that cannot be read, that nothing can pass, or whose boot "
                 "is that\n"
                 "of an image that is not encrypted.",
        .options = options,
        .example = "  encroot policy check disk.policy.json",
    };
    _policy_ struct policy *policy = NULL;
    int code = policy_operand(&u, argc, argv, &json, &policy);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *report = policy_problems(&policy->appraisal);
    bool fatal = json_is_true(json_object_get(report, "unusable"));
    if (json) {
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        putchar('\n');
    } else {
        print(argv[argc - 1], report);
    }
    return fatal ? EXIT_BAD_INPUT : EXIT_OK;
}
