#include "cli/evidence_file.h"
#include "base/io.h"

int evidence_file_load(struct evidence *ret, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = read_file(path, EVIDENCE_JSON_MAX, &text, err);
    if (r == 0)
        r = evidence_parse(ret, buffer_bytes(&text), path, err);
    if (r == 0 && !ret->has_challenge) {
        evidence_free(ret);
        return error_hint(err,
                          error_set(err, EINVAL,
                                    "%s: holds no challenge, so nothing shows that it "
                                    "is fresh",
                                    path),
                          "files that `encroot unlock --save-evidence` writes hold one");
    }
    return r;
}
