/*
 * The registry's tables and statements, for both databases.
 *
 * What every value of the books is claimed in is a table keyed by that value (claim_*),
 * and no unique key of another table holds it: so the tables can be spread over several
 * databases by their own keys. A device's number is batch << 32 | index in the batch, so
 * the devices of a batch lie together, and so do those of a product, batch by batch.
 *
 * A batch's devices have no history of their own until something happens to one of them:
 * that they were issued is one row of `run` for all that were booked together, and
 * device.changed_at is NULL. `tally` counts devices: `what` is a state, or
 * STAMPI_LEFT + the state that an issued device went to first.
 *
 * Parameters are $1, $2, ... in the order in which a statement first names them: both
 * databases number them the same way then.
 */
#ifndef HOST_REGISTRY_SQL_H
#define HOST_REGISTRY_SQL_H

#define STAMPI_LEFT 16
#define STAMPI_PG_SCHEMA "devstamp"

enum stampi_sql {
    STAMPI_WORKSPACE,
    STAMPI_WORKSPACE_ADD,
    STAMPI_COUNTER_ADD,
    STAMPI_COUNTER_SET,
    STAMPI_DESK_FIND,
    STAMPI_DESK_ADD,
    STAMPI_DESK_NAME,
    STAMPI_DESK_GROW,
    STAMPI_BLOCK_ADD,
    STAMPI_BLOCK_OF,
    STAMPI_SERIAL_CLAIM,
    STAMPI_SERIAL_IN_BATCH,
    STAMPI_SERIAL_RANGE,
    STAMPI_BATCH_RANGE,
    STAMPI_KEY_CLAIM,
    STAMPI_CHIP_CLAIM,
    STAMPI_DEVICE_ADD,
    STAMPI_DEVICE_ISSUE,
    STAMPI_DEVICE_SCRAP,
    STAMPI_DEVICE_LOCK,
    STAMPI_DEVICE_CHANGE,
    STAMPI_WAS_STRUCK,
    STAMPI_EVENT_ADD,
    STAMPI_EVENTS,
    STAMPI_TALLY_ADD,
    STAMPI_TALLY_TAKE,
    STAMPI_TALLY_OF,
    STAMPI_COUNT,
    STAMPI_DEVICES,
    STAMPI_FIND_SERIAL,
    STAMPI_FIND_KEY,
    STAMPI_FIND_CHIP,
    STAMPI_LIST_ALL,
    STAMPI_LIST_STATE,
    STAMPI_LIST_CHANGED,
    STAMPI_LIST_UNCHANGED,
    STAMPI_RUN_ADD,
    STAMPI_RUN_OF,
    STAMPI_RUN_NEXT,
    STAMPI_PRODUCT_NEXT,
    STAMPI_PRODUCT_STATE_NEXT,
    STAMPI_BATCH_ADD,
    STAMPI_BATCH_LOCK,
    STAMPI_BATCH_GET,
    STAMPI_BATCH_FIND,
    STAMPI_BATCH_FIND_UID,
    STAMPI_BATCH_FIND_OWNER,
    STAMPI_BATCH_LIST,
    STAMPI_BATCH_STEP,
    STAMPI_BATCH_PRODUCT,
    STAMPI_VOLUME_FIND,
    STAMPI_VOLUME_ADD,
    STAMPI_VOLUME_LIST,
    STAMPI_SHARE_ADD,
    STAMPI_SHARE_OWN,
    STAMPI_SHARE_TAKE,
    STAMPI_SHARE_LIST,
    STAMPI_SHARE_MOVE,
    STAMPI_SHARE_FREE,
    STAMPI_SHARE_CUT,
    STAMPI_SHARES_LEFT,
    STAMPI_RESULTS_FIND,
    STAMPI_RESULTS_LAST,
    STAMPI_RESULTS_LIST,
    STAMPI_RESULTS_ADD,
    STAMPI_BULK_LOOPS,
    STAMPI_BULK_MAKE_SERIAL,
    STAMPI_BULK_MAKE_CHIP,
    STAMPI_BULK_MAKE_DEVICE,
    STAMPI_BULK_CLEAR_SERIAL,
    STAMPI_BULK_CLEAR_CHIP,
    STAMPI_BULK_CLEAR_DEVICE,
    STAMPI_BULK_LOCK,
    STAMPI_BULK_EVENTS,
    STAMPI_BULK_CLAIM,
    STAMPI_BULK_CONFLICT,
    STAMPI_BULK_CHANGE,
    STAMPI_ESCROW_KEY_ADD,
    STAMPI_ESCROW_ADD,
    STAMPI_ESCROW_FIND,
    STAMPI_STATION_ADD,
    STAMPI_STATION_FIND,
    STAMPI_STATION_FIND_KEY,
    STAMPI_STATION_LIST,
    STAMPI_ORDER_ADD,
    STAMPI_ORDER_FIND,
    STAMPI_ORDER_FIND_FILE,
    STAMPI_ORDER_FILE,
    STAMPI_ORDER_OF,
    STAMPI_ORDER_LIST,
    STAMPI_ORDER_LOCK,
    STAMPI_ORDER_CLOSE,
    STAMPI_UNIT_ADD,
    STAMPI_UNIT_FIND,
    STAMPI_UNIT_BEGIN,
    STAMPI_UNIT_CERTIFY,
    STAMPI_ORDER_LOCKS,
    STAMPI_UNIT_CHIP,
    STAMPI_SERIAL_OWNER,
    STAMPI_KEY_OWNER,
    STAMPI_CHIP_OWNER,
    STAMPI_CHIP_FREE,
    STAMPI_CHIP_MOVE,
    STAMPI_UNLOCKED_ADD,
    STAMPI_UNLOCKED_REMOVE,
    STAMPI_UNLOCKED_FIND,
    STAMPI_POP_ADD,
    STAMPI_POP_FIND,
    STAMPI_QUARANTINE_ADD,
    STAMPI_QUARANTINE_COUNT,
    STAMPI_QUARANTINE_LIST,
    STAMPI_DEVICE_SERIAL,
    STAMPI_LDEVID_ADD,
    STAMPI_LDEVID_OF,
    STAMPI_LDEVID_LIST,
    STAMPI_LDEVID_LAST,
    STAMPI_LDEVID_RETIRED,
    STAMPI_LDEVID_CERTIFY,
    STAMPI_LDEVID_STATE,
    STAMPI_PRUNE_KEYS,
    STAMPI_PRUNE_KEY,
    STAMPI_PRUNE_CERTIFICATE,
    STAMPI_PRUNE_LEAF,
    STAMPI_PRUNE_TOKENS,
    STAMPI_PRUNE_REQUESTS,
    STAMPI_PRUNE_API_KEYS,
    STAMPI_CERTIFICATE_CLAIM,
    STAMPI_CERTIFICATE_OWNER,
    STAMPI_TOKEN_ADD,
    STAMPI_TOKEN_FIND,
    STAMPI_TOKEN_USE,
    STAMPI_TOKEN_LIST,
    STAMPI_TOKEN_DROP,
    STAMPI_API_KEY_ADD,
    STAMPI_API_KEY_FIND,
    STAMPI_API_KEY_LIST,
    STAMPI_API_KEY_REMOVE,
    STAMPI_REQUEST_ADD,
    STAMPI_RUN_NODES_ADD,
    STAMPI_RUN_NODES,
    STAMPI_REQUEST_FIND,
    STAMPI_REQUEST_OF,
    STAMPI_JOURNAL_AT,
    STAMPI_JOURNAL_ADD,
    STAMPI_JOURNAL_HEAD,
    STAMPI_JOURNAL_LIST,
    STAMPI_JOURNAL_GAP,
    STAMPI_JOURNAL_PAGE,
    STAMPI_JOURNAL_DEVICE_PUT,
    STAMPI_JOURNAL_DEVICES,
    STAMPI_ISSUED_ADD,
    STAMPI_ISSUED_CERTIFY,
    STAMPI_ISSUED_FIND_KEY,
    STAMPI_COUNTER_GET,
    STAMPI_REVOCATION_ADD,
    STAMPI_REVOCATION_LIST,
    STAMPI_REVOCATION_FIND,
    STAMPI_REVOKED_BEFORE,
    STAMPI_BLOCK_HAS,
    STAMPI_LOG_WAITING,
    STAMPI_LOG_TAKE,
    STAMPI_LOG_LEAVES,
    STAMPI_LOG_OF,
    STAMPI_LOG_TILE,
    STAMPI_LOG_TILE_SET,
    STAMPI_LOG_HEAD_ADD,
    STAMPI_LOG_HEAD_LAST,
    STAMPI_LOG_HEADS,
    STAMPI_PRODUCTS,
    STAMPI_ALL_BATCHES,
    STAMPI_ALL_RUNS,
    STAMPI_ALL_DEVICES,
    STAMPI_ALL_EVENTS,
    STAMPI_ALL_OPERATIONAL,
    STAMPI_ALL_REVOCATIONS,
    STAMPI_ALL_OWN,
    STAMPI_ALL_RESULTS,
    STAMPI_ALL_TALLY,
    STAMPI_SQL_COUNT
};

/** Where the two differ: a lock on rows, which SQLite does not know, or an order that
 * PostgreSQL's planner must be told. */
struct stampi_statement {
    const char *text;
    const char *pg; /* NULL = the same */
};

extern const struct stampi_statement stampi_statements[STAMPI_SQL_COUNT];

/** Tables that rows are copied into by the thousand. */
enum stampi_copy {
    STAMPI_COPY_DEVICE,      /* id, serial, state, fingerprint, certificate */
    STAMPI_COPY_SERIAL,      /* serial, device */
    STAMPI_COPY_KEY,         /* fingerprint, device */
    STAMPI_COPY_EVENT,       /* device, n, state, at, who, place, why */
    STAMPI_COPY_BULK_SERIAL, /* n, serial */
    STAMPI_COPY_BULK_CHIP,   /* n, chip, device */
    STAMPI_COPY_BULK_DEVICE, /* id, state, changed_at, chip */
    STAMPI_COPY_ESCROW,      /* device, escrow_key, sealed */
    STAMPI_COPY_LOG_QUEUE,   /* device, leaf */
    STAMPI_COPY_LOG_LEAF,    /* n, device, leaf */
    STAMPI_COPY_COUNT
};

/** "table (columns)" */
extern const char *const stampi_copy_columns[STAMPI_COPY_COUNT];

/** Append-only: what has run on somebody's books is never changed. */
#define STAMPI_MIGRATIONS 11
#define STAMPI_LOG_VERSION 9 /* books before it have no log */
#define STAMPI_SCRIPTS 2     /* of one migration; NULL = none */
typedef const char *const stampi_migrations[STAMPI_MIGRATIONS][STAMPI_SCRIPTS];
extern stampi_migrations stampi_sqlite_migrations;
extern stampi_migrations stampi_pg_migrations;

#endif
