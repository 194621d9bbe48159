/* What the files of the store share: the store itself, and how an operation runs a statement. */
#ifndef ENCROOT_STORE_OPERATIONS_H
#define ENCROOT_STORE_OPERATIONS_H

#include "store/db.h"

enum store_state {
    STORE_IDLE,
    STORE_IN_TRANSACTION,
    STORE_VOID, /* a transaction of which an error left nothing, and nobody said commit or rollback
                   yet */
};

struct store {
    struct db *db;
    bool migrate;
    enum store_state state;
    bool head_known; /* in this transaction: `head` and `head_hash` are the end of the chain */
    uint64_t head;
    uint8_t head_hash[32];
};

/*
 * Run a reading statement, in the transaction or outside of one, connecting where needed. Returns
 * the number of rows. An error makes the transaction void.
 */
int store_read(struct store *s, enum statement n, const struct db_value *parameters, db_row *row,
               void *arg, struct error *err) _must_use_;
/* Run one that changes something: in a transaction only (-EINVAL, -EHOSTDOWN in a void one).
 * Returns the number of rows that came or were changed. */
int store_write(struct store *s, enum statement n, const struct db_value *parameters, db_row *row,
                void *arg, struct error *err) _must_use_;
/* The same without waiting for what becomes of it: a later call, store_commit at the latest, fails
 * if it did. For statements that change a row in any case. */
int store_post(struct store *s, enum statement n, const struct db_value *parameters,
               struct error *err) _must_use_;
/* With which every function begins that changes something: as store_write. */
int store_check_writing(const struct store *s, struct error *err) _must_use_;

/* ---- columns, and members ---- */
/* -EUCLEAN for what this program does not write. */
int column_int(const struct db_value *v, int64_t *ret, struct error *err) _must_use_;
int column_uint(const struct db_value *v, uint64_t max, uint64_t *ret,
                struct error *err) _must_use_;
int column_text(const struct db_value *v, char *ret, size_t size, struct error *err) _must_use_;
int column_fixed(const struct db_value *v, uint8_t *ret, size_t size, struct error *err) _must_use_;
/* Appended to `ret`; of NULL nothing. */
int column_buffer(const struct db_value *v, struct buffer *ret, struct error *err) _must_use_;

/* For one more row in a list that has `count` of `max`. -EUCLEAN: there is none. That a key has one
 * row, and LIMIT is kept, is the database's word. */
int check_room(size_t count, size_t max, struct error *err) _must_use_;

/* Text that both databases keep as it is: UTF-8, which `what` is called in the error. -EINVAL. */
int check_text(const char *text, const char *what, struct error *err) _must_use_;

#endif
