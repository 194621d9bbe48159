/*
 * A key in a PKCS#11 token: the session that it is used through. Nothing here knows what is
 * encrypted. Results of the token are its own (CK_RV), for they say whether it is worth another
 * session; what it means to find none is an error chain.
 */
#ifndef ENCROOT_VAULT_TOKEN_H
#define ENCROOT_VAULT_TOKEN_H

#include "base/error.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdbool.h>

struct token {
    P11KitUri *uri;
    CK_FUNCTION_LIST **modules; /* all that were loaded, NULL behind the last */
    CK_FUNCTION_LIST *module;   /* the one that has the token */
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    bool pin_refused; /* once is enough: a token locks itself after a few wrong ones */
};

/* Load what `uri` names unless it is loaded, find the token, log in, find its AES key of `key_size`
 * bytes. `uri` stays the caller's. -ENOENT, -EINVAL, -EPERM, -EKEYREJECTED, -EIO. */
int token_open(struct token *t, size_t key_size, struct error *err) _must_use_;
/* End the session, and stop the modules but keep them loaded, for token_open: a process that is
 * confined by then may load no code. */
void token_rest(struct token *t);
void token_close(struct token *t);

/* "CKR_DEVICE_REMOVED", or "CKR_0x80000001". */
const char *token_error_name(CK_RV rv, char buffer[32]);

#endif
