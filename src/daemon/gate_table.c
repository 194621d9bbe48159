#include "daemon/gate_table.h"

int gate_table_init(struct gate_table *t, size_t max, struct error *err)
{
    *t = (struct gate_table){.max = max};
    t->slots = calloc(max, sizeof(*t->slots));
    if (!t->slots)
        return error_set(err, ENOMEM, "a table of %zu connections: out of memory", max);
    for (size_t i = 0; i < max; i++)
        t->slots[i].next = i + 1;
    return 0;
}

void gate_table_free(struct gate_table *t)
{
    free(t->slots);
    *t = (struct gate_table){0};
}

/* The rest of a number by `max` is its slot. */
uint64_t gate_table_add(struct gate_table *t, uint32_t worker)
{
    if (t->free == t->max)
        return 0;
    struct gate_connection *c = &t->slots[t->free];
    uint64_t number = ++t->uses * t->max + t->free;
    t->free = c->next;
    t->count++;
    *c = (struct gate_connection){.number = number, .worker = worker};
    return number;
}

struct gate_connection *gate_table_find(struct gate_table *t, uint64_t number, uint32_t worker)
{
    struct gate_connection *c = &t->slots[number % t->max];
    return number != 0 && c->number == number && c->worker == worker ? c : NULL;
}

void gate_table_remove(struct gate_table *t, struct gate_connection *c)
{
    *c = (struct gate_connection){.next = t->free};
    t->free = (size_t)(c - t->slots);
    t->count--;
}
