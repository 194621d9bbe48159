/* The words of a guest's command line: none that opens a way in may be left (ATTACKS, E7, B2). */
#include "image/cmdline.h"
#include "image/text.h"

#include <stdlib.h>

static const struct cmdline_options no_options;

/* Apart from the words that close other ways in, which every line gets. */
static void check(const struct cmdline *c)
{
    _cmdline_ struct cmdline empty = {0};
    const char *why = NULL;
    bool fatal;
    size_t roots = 0;
    if (cmdline_rewrite(&empty, NULL, &no_options, &why, NULL) < 0)
        return;
    for (char **w = c->words; *w; w++) {
        if (cmdline_hatch(*w, &fatal) && !strings_contain(empty.words, *w))
            abort();
        roots += starts_with(*w, "root=");
    }
    if (roots != 1 || !strings_contain(c->words, "root=" CMDLINE_ROOT))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _strings_ char **words = NULL;
    _cmdline_ struct cmdline c = {0};
    struct bytes word;
    const char *why = NULL;
    size_t at = 0;
    while (next_word(BYTES(data, size), &at, &word))
        if (strings_add_n(&words, (const char *)word.data, word.size) < 0)
            return 0;
    if (cmdline_rewrite(&c, words, &no_options, &why, NULL) == 0)
        check(&c);
    return 0;
}
