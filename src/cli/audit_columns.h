/*
 * What a broker's store keeps beside a record: it finds records by these columns, and rate limits
 * count by them, but only the record's text is in the chain. So each must say what the record does.
 */
#ifndef ENCROOT_CLI_AUDIT_COLUMNS_H
#define ENCROOT_CLI_AUDIT_COLUMNS_H

#include "broker/audit.h"

/* `columns`: as the administration gives them (encrootd-admin(7)). -EUCLEAN names the first that
 * is another one. */
int audit_columns_compare(struct bytes columns, const struct audit_record *r, const char *name,
                          struct error *err) _must_use_;

#endif
