/* `encroot evidence appraise FILE`: what `encroot unlock` decided, or would decide, offline. */
#include "cli/command.h"
#include "cli/evidence_file.h"
#include "cli/findings_print.h"
#include "cli/policy_load.h"

struct arguments {
    struct policy_options policy;
    bool json;
};

static void print_result(const struct findings *f, bool json)
{
    if (!json) {
        findings_print(stdout, f, FINDINGS_ALL);
        return;
    }
    _json_ json_t *j = findings_json(f);
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

static int run(const char *file, const struct arguments *a, struct error *err, bool *pass)
{
    _policy_ struct policy *policy = NULL;
    _evidence_ struct evidence evidence = {0};
    _findings_ struct findings findings = {0};
    int r = policy_load(&policy, &a->policy, err);
    if (r == 0)
        r = evidence_file_load(&evidence, file, err);
    if (r < 0)
        return r;
    /* When it breaks off, a finding says why, and rejects. */
    struct error ignored = {0};
    r = appraise(&evidence, evidence.challenge, &policy->appraisal, &findings, &ignored);
    print_result(&findings, a->json);
    *pass = r == 0 && findings_pass(&findings);
    return 0;
}

int cmd_evidence_appraise(int argc, char **argv)
{
    struct arguments a = {.policy = {.folder = "."}};
    const struct option_spec options[] = {
        POLICY_OPTION_SPECS(a.policy),
        {'d', "dir", OPTION_STRING, "DIR",
         "folder that `encroot init` made, with the trust anchors\n(default: the current one)",
         &a.policy.folder, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "print the findings as JSON", &a.json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot evidence appraise FILE {--policy FILE | -m RIM -f hash.json [-d DIR]} "
                    "[--json]",
        .about =
            "Appraise saved evidence, as `encroot unlock` does before it releases a key: each\n"
            "check is printed with what was expected, what was found and, for a refusal, what\n"
            "to do if the change was intended. The challenge is the one in the file. Nothing\n"
            "is sent anywhere. Exit status 0: the evidence passes; 3: it is refused.",
        .options = options,
        .example = "  encroot unlock -i 10.0.0.7 -m RIM -f disk.hash.json --save-evidence ev.json\n"
                   "  encroot evidence appraise ev.json -m RIM -f disk.hash.json -d keys",
    };
    int first;
    int code = options_parse(&u, argc, argv, &first);
    if (code != OPTIONS_DONE)
        return code;
    if (argc - first != 1)
        return usage_error(&u, "expected one file of evidence, found %d", argc - first);
    const char *problem = policy_options_problem(&a.policy);
    if (problem)
        return usage_error(&u, "%s", problem);
    struct error err = {0};
    bool pass = false;
    int r = run(argv[first], &a, &err, &pass);
    if (r < 0)
        return report_error(&err, exit_code_for(r), a.json);
    return pass ? EXIT_OK : EXIT_REFUSED;
}
