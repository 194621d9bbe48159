#include "platform/platform.h"
#include "platform/virtcca/verifier.h"

#include <string.h>

const struct platform_verifier *const platform_verifiers[] = {
    &virtcca_verifier,
    NULL,
};

const struct platform_verifier *platform_verifier_by_name(const char *name)
{
    for (size_t i = 0; platform_verifiers[i]; i++)
        if (strcmp(platform_verifiers[i]->name, name) == 0)
            return platform_verifiers[i];
    return NULL;
}
