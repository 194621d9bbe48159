/* The connections that the gate handed out and that have not ended: a table of fixed size. */
#ifndef ENCROOT_DAEMON_GATE_TABLE_H
#define ENCROOT_DAEMON_GATE_TABLE_H

#include "base/bytes.h"
#include "base/error.h"

struct gate_connection {
    uint64_t number; /* 0: free */
    uint32_t worker;
    bool was_signed; /* the one signature is spent */
    size_t next;     /* of the free ones */
};

struct gate_table {
    struct gate_connection *slots;
    uint64_t uses; /* numbers given out: none is given twice */
    size_t max, count;
    size_t free; /* `max`: none */
};

int gate_table_init(struct gate_table *t, size_t max, struct error *err) _must_use_;
void gate_table_free(struct gate_table *t);

/* A new number, never 0; 0 when the table is full. */
uint64_t gate_table_add(struct gate_table *t, uint32_t worker);
/* NULL unless it was handed to this worker and has not ended. */
struct gate_connection *gate_table_find(struct gate_table *t, uint64_t number, uint32_t worker);
void gate_table_remove(struct gate_table *t, struct gate_connection *c);

#endif
