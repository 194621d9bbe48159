#include "store/statements.h"

#define VOLUME                                                                                     \
    "uuid, name, enabled, approval, rate_count, rate_seconds, not_before, not_after, revision, "   \
    "created, changed, wrapped, effective_sha256, sources_sha256, seal"
#define VOLUME_COLUMNS "btiiiiiiiiibbbb"
#define REQUEST "id, volume, attester, state, peer, created, seen, expires, count, decided_by, seal"
#define REQUEST_COLUMNS "tbbitiiiitb"
#define RECORD "audit.sequence, hash, audit.time, id, granted, volume, text"
#define RECORD_COLUMNS "ibitibb"

const struct statement_text statements[STATEMENT_COUNT] = {
    [STATEMENT_PING] = {"SELECT count(*) FROM volume WHERE uuid = $1", "b", "i"},

    /* ---- volumes ---- */
    [STATEMENT_VOLUME_ADD] = {"INSERT INTO volume (" VOLUME ", values_version) VALUES "
                              "($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11, $12, $13, $14, "
                              "0) ON CONFLICT DO NOTHING",
                              "btiiiiiiiibbbb", ""},
    [STATEMENT_VOLUME_GET] = {"SELECT " VOLUME " FROM volume WHERE uuid = $1", "b", VOLUME_COLUMNS},
    [STATEMENT_VOLUME_FIND] = {"SELECT " VOLUME " FROM volume WHERE name = $1", "t",
                               VOLUME_COLUMNS},
    [STATEMENT_VOLUME_LIST] = {"SELECT " VOLUME " FROM volume WHERE name > $1 "
                               "ORDER BY name LIMIT $2",
                               "ti", VOLUME_COLUMNS},
    [STATEMENT_VOLUME_LIST_BY_UUID] = {"SELECT " VOLUME " FROM volume WHERE uuid > $1 "
                                       "ORDER BY uuid LIMIT $2",
                                       "bi", VOLUME_COLUMNS},
    [STATEMENT_VOLUME_COUNT] = {"SELECT count(*) FROM volume", "", "i"},
    [STATEMENT_VOLUME_UPDATE] =
        {"UPDATE volume SET name = $2, enabled = $3, approval = $4, "
         "rate_count = $5, rate_seconds = $6, not_before = $7, "
         "not_after = $8, changed = $9, seal = $10 WHERE uuid = $1 AND NOT EXISTS "
         "(SELECT 1 FROM volume WHERE name = $2 AND uuid <> $1)",
         "btiiiiiiib", ""},
    [STATEMENT_VOLUME_REWRAP] = {"UPDATE volume SET wrapped = $3, seal = $4 "
                                 "WHERE uuid = $1 AND wrapped = $2",
                                 "bbbb", ""},
    [STATEMENT_VOLUME_REMOVE] = {"DELETE FROM volume WHERE uuid = $1", "b", ""},

    /* ---- policies and reference values ---- */
    [STATEMENT_POLICY_ADD] = {"INSERT INTO policy (volume, policy, effective) VALUES ($1, $2, $3)",
                              "bbb", ""},
    [STATEMENT_POLICY_SET] = {"UPDATE policy SET policy = $2, effective = $3 WHERE volume = $1",
                              "bbb", ""},
    [STATEMENT_POLICY_REVISE] = {"UPDATE volume SET revision = revision + 1, changed = $2, "
                                 "effective_sha256 = $3, sources_sha256 = $4, seal = $5 "
                                 "WHERE uuid = $1",
                                 "bibbb", ""},
    [STATEMENT_POLICY_GET] = {"SELECT revision, policy, effective FROM volume "
                              "JOIN policy ON policy.volume = volume.uuid WHERE uuid = $1",
                              "b", "ibb"},
    [STATEMENT_VALUES_NUMBER] = {"UPDATE volume SET values_version = values_version + 1 "
                                 "WHERE uuid = $1 RETURNING values_version",
                                 "b", "i"},
    [STATEMENT_VALUES_ADD] = {"INSERT INTO reference_values (volume, version, valid, created, "
                              "label, text) VALUES ($1, $2, $3, $4, $5, $6)",
                              "biiitb", ""},
    [STATEMENT_VALUES_SET_VALID] = {"UPDATE reference_values SET valid = $3 "
                                    "WHERE volume = $1 AND version = $2",
                                    "bii", ""},
    [STATEMENT_VALUES_LIST] = {"SELECT version, valid, created, label, text FROM reference_values "
                               "WHERE volume = $1 AND version > $2 ORDER BY version LIMIT $3",
                               "bii", "iiitb"},
    [STATEMENT_VALUES_HEADS] = {"SELECT version, valid, created, label FROM reference_values "
                                "WHERE volume = $1 AND version > $2 ORDER BY version LIMIT $3",
                                "bii", "iiit"},

    /* ---- requests ---- */
    [STATEMENT_REQUEST_FIND] = {"SELECT " REQUEST " FROM request WHERE volume = $1 "
                                "AND attester = $2 AND expires > $3 AND state <> $4 "
                                "ORDER BY created DESC, id DESC LIMIT 1",
                                "bbii", REQUEST_COLUMNS},
    [STATEMENT_REQUEST_GET] = {"SELECT " REQUEST " FROM request WHERE id = $1", "t",
                               REQUEST_COLUMNS},
    [STATEMENT_REQUEST_PUT] =
        {"INSERT INTO request (" REQUEST ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
         "$11 "
         "WHERE EXISTS (SELECT 1 FROM volume WHERE uuid = $2) "
         "ON CONFLICT (id) DO UPDATE SET state = excluded.state, peer = excluded.peer, "
         "seen = excluded.seen, expires = excluded.expires, count = excluded.count, "
         "decided_by = excluded.decided_by, seal = excluded.seal "
         "WHERE request.volume = excluded.volume AND request.attester = excluded.attester",
         REQUEST_COLUMNS, ""},
    [STATEMENT_REQUEST_LIST] = {"SELECT " REQUEST " FROM request WHERE expires > $1 "
                                "ORDER BY created DESC, id DESC LIMIT $2",
                                "ii", REQUEST_COLUMNS},
    [STATEMENT_REQUEST_COUNT] = {"SELECT count(*) FROM request WHERE expires > $1 AND state = $2",
                                 "ii", "i"},

    /* ---- the audit ---- */
    [STATEMENT_AUDIT_LAST] = {"SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1", "",
                              "ib"},
    [STATEMENT_AUDIT_APPEND] = {"INSERT INTO audit (sequence, hash, time, id, granted, volume, "
                                "text) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                                RECORD_COLUMNS, ""},
    [STATEMENT_EVIDENCE_ADD] = {"INSERT INTO evidence (sequence, time, evidence) "
                                "VALUES ($1, $2, $3)",
                                "iib", ""},
    [STATEMENT_AUDIT_LIST] = {"SELECT " RECORD " FROM audit WHERE sequence > $1 "
                              "ORDER BY sequence LIMIT $2",
                              "ii", RECORD_COLUMNS},
    [STATEMENT_AUDIT_LIST_VOLUME] = {"SELECT " RECORD " FROM audit WHERE sequence > $1 "
                                     "AND volume = $3 ORDER BY sequence LIMIT $2",
                                     "iib", RECORD_COLUMNS},
    [STATEMENT_AUDIT_NEWEST] = {"SELECT " RECORD " FROM audit WHERE sequence < $1 "
                                "ORDER BY sequence DESC LIMIT $2",
                                "ii", RECORD_COLUMNS},
    [STATEMENT_AUDIT_NEWEST_VOLUME] = {"SELECT " RECORD " FROM audit WHERE sequence < $1 "
                                       "AND volume = $3 ORDER BY sequence DESC LIMIT $2",
                                       "iib", RECORD_COLUMNS},
    [STATEMENT_AUDIT_FIND] = {"SELECT " RECORD ", evidence FROM audit "
                              "LEFT JOIN evidence ON evidence.sequence = audit.sequence "
                              "WHERE id = $1 ORDER BY audit.sequence DESC LIMIT 1",
                              "t", RECORD_COLUMNS "b"},
    [STATEMENT_AUDIT_COUNT_GRANTED] = {"SELECT count(*) FROM audit WHERE volume = $1 "
                                       "AND granted = 1 AND time >= $2",
                                       "bi", "i"},
    [STATEMENT_PURGE_EVIDENCE] = {"DELETE FROM evidence WHERE sequence IN (SELECT sequence "
                                  "FROM evidence WHERE time < $1 ORDER BY time LIMIT $2)",
                                  "ii", ""},
    [STATEMENT_PURGE_REQUESTS] = {"DELETE FROM request WHERE id IN (SELECT id "
                                  "FROM request WHERE expires < $1 ORDER BY expires LIMIT $2)",
                                  "ii", ""},
};
