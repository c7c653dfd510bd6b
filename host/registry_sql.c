#include "host/registry_sql.h"

#include <stddef.h>

/* ---- tables ---- */

/* Types and endings are the databases' own: PLAIN ends a table, KEYED one that is its
 * primary key's index. ID follows the columns of an index: SQLite has the row's number in
 * it anyway. */
#define TABLES(INT, BLOB, TEXT, PLAIN, KEYED, ID)                                        \
    "CREATE TABLE batch ("                                                               \
    "  id " INT " PRIMARY KEY CHECK (id > 0 AND id < 2147483648),"                       \
    "  kind " INT " NOT NULL CHECK (kind IN (0, 1)),"                                    \
    "  uid " BLOB " UNIQUE CHECK (length(uid) = 16),"                                    \
    "  name " TEXT " UNIQUE,"                                                            \
    "  product " TEXT " NOT NULL,"                                                       \
    "  note " TEXT " NOT NULL,"                                                          \
    "  state " INT " NOT NULL CHECK (state IN (0, 1, 2)),"                               \
    "  at " INT " NOT NULL,"                                                             \
    "  count " INT " NOT NULL CHECK (count >= 0 AND count < 4294967296),"                \
    "  first_counter " INT " NOT NULL,"                                                  \
    "  serial_first " TEXT ","                                                           \
    "  serial_last " TEXT ","                                                            \
    "  prefix " BLOB ","                                                                 \
    "  who " TEXT " NOT NULL,"                                                           \
    "  place " TEXT " NOT NULL"                                                          \
    ")" PLAIN ";"                                                                        \
    "CREATE UNIQUE INDEX batch_desk ON batch (product) WHERE kind = 0;"                  \
    "CREATE INDEX batch_product ON batch (product" ID ");"                               \
    "CREATE INDEX batch_open ON batch (serial_first) WHERE kind = 1 AND state = 0;"      \
    "CREATE TABLE batch_volume ("                                                        \
    "  batch " INT " NOT NULL,"                                                          \
    "  volume " INT " NOT NULL,"                                                         \
    "  owner " TEXT " NOT NULL,"                                                         \
    "  at " INT " NOT NULL,"                                                             \
    "  PRIMARY KEY (batch, volume),"                                                     \
    "  UNIQUE (batch, owner)"                                                            \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE batch_share ("                                                         \
    "  batch " INT " NOT NULL,"                                                          \
    "  first " INT " NOT NULL,"                                                          \
    "  n " INT " NOT NULL CHECK (n > 0),"                                                \
    "  done " INT " NOT NULL CHECK (done >= 0 AND done <= n),"                           \
    "  volume " INT ","                                                                  \
    "  mark " BLOB ","                                                                   \
    "  PRIMARY KEY (batch, first)"                                                       \
    ")" KEYED ";"                                                                        \
    "CREATE INDEX batch_share_free ON batch_share (batch, first) WHERE volume IS NULL;"  \
    "CREATE INDEX batch_share_volume ON batch_share (batch, volume, first);"             \
    "CREATE TABLE device ("                                                              \
    "  id " INT " PRIMARY KEY,"                                                          \
    "  serial " TEXT " NOT NULL,"                                                        \
    "  state " INT " NOT NULL CHECK (state BETWEEN 0 AND 9),"                            \
    "  changed_at " INT ","                                                              \
    "  chip " TEXT ","                                                                   \
    "  file " TEXT ","                                                                   \
    "  fingerprint " BLOB " CHECK (length(fingerprint) = 32),"                           \
    "  certificate " BLOB ")" PLAIN ";"                                                  \
    "CREATE INDEX device_state ON device (state" ID ");"                                 \
    "CREATE INDEX device_changed ON device (state, changed_at" ID ")"                    \
    "  WHERE changed_at IS NOT NULL;"                                                    \
    "CREATE TABLE run ("                                                                 \
    "  first " INT " PRIMARY KEY,"                                                       \
    "  n " INT " NOT NULL CHECK (n > 0),"                                                \
    "  at " INT " NOT NULL,"                                                             \
    "  who " TEXT " NOT NULL,"                                                           \
    "  place " TEXT " NOT NULL"                                                          \
    ")" PLAIN ";"                                                                        \
    "CREATE INDEX run_at ON run (at, first);"                                            \
    "CREATE TABLE event ("                                                               \
    "  device " INT " NOT NULL,"                                                         \
    "  n " INT " NOT NULL,"                                                              \
    "  state " INT " NOT NULL CHECK (state BETWEEN 0 AND 9),"                            \
    "  at " INT " NOT NULL,"                                                             \
    "  who " TEXT " NOT NULL,"                                                           \
    "  place " TEXT " NOT NULL,"                                                         \
    "  why " TEXT " NOT NULL,"                                                           \
    "  PRIMARY KEY (device, n)"                                                          \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE tally ("                                                               \
    "  what " INT " NOT NULL,"                                                           \
    "  batch " INT " NOT NULL,"                                                          \
    "  n " INT " NOT NULL CHECK (n >= 0),"                                               \
    "  PRIMARY KEY (what, batch)"                                                        \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE claim_serial ("                                                        \
    "  serial " TEXT " PRIMARY KEY,"                                                     \
    "  device " INT " NOT NULL"                                                          \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE claim_key ("                                                           \
    "  fingerprint " BLOB " PRIMARY KEY CHECK (length(fingerprint) = 32),"               \
    "  device " INT " NOT NULL"                                                          \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE claim_chip ("                                                          \
    "  chip " TEXT " PRIMARY KEY,"                                                       \
    "  device " INT " NOT NULL"                                                          \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE claim_block ("                                                         \
    "  prefix " BLOB " PRIMARY KEY CHECK (length(prefix) = 12),"                         \
    "  first " INT " NOT NULL UNIQUE,"                                                   \
    "  n " INT " NOT NULL CHECK (n > 0)"                                                 \
    ")" KEYED ";"                                                                        \
    "INSERT INTO counter (name, next) VALUES ('batch', 1), ('serial', 1)"                \
    "  ON CONFLICT DO NOTHING;"

/* Version 1 knew no batches, products, certificates and history: its stamps become those
 * of the desk's batch, whose product the first use tells. The blocks of certificate
 * serials were whole, so their order numbers the stamps. */
#define FROM_VERSION_1                                                                   \
    "CREATE TEMP TABLE old AS"                                                           \
    "  SELECT (1 << 32) + row_number() OVER (ORDER BY certificate_serial) - 1 AS id,"    \
    "    stamp.*, fingerprint,"                                                          \
    "    CASE state WHEN 2 THEN 8 ELSE state END AS now"                                 \
    "  FROM stamp LEFT JOIN device_key USING (serial);"                                  \
    "INSERT INTO batch (id, kind, product, note, state, at, count, first_counter, who,"  \
    "    place)"                                                                         \
    "  SELECT 1, 0, '', '', 0, min(reserved_at), count(*), 0, '', '' FROM old"           \
    "  HAVING count(*) > 0;"                                                             \
    "UPDATE counter SET next = 2 WHERE name = 'batch' AND EXISTS (SELECT 1 FROM batch);" \
    "INSERT INTO device (id, serial, state, changed_at, file, fingerprint)"              \
    "  SELECT id, serial, now, reserved_at, file, fingerprint FROM old ORDER BY id;"     \
    "INSERT INTO claim_serial SELECT serial, id FROM old ORDER BY serial;"               \
    "INSERT INTO claim_key SELECT fingerprint, id FROM old"                              \
    "  WHERE fingerprint IS NOT NULL ORDER BY fingerprint;"                              \
    "INSERT INTO claim_block"                                                            \
    "  SELECT substr(certificate_serial, 1, 12), min(id), count(*) FROM old GROUP BY 1;" \
    "INSERT INTO event (device, n, state, at, who, place, why)"                          \
    "  SELECT id, 0, 0, reserved_at, '', '', '' FROM old;"                               \
    "INSERT INTO event (device, n, state, at, who, place, why)"                          \
    "  SELECT id, 1, now, reserved_at, '', '', 'before there was a history' FROM old"    \
    "  WHERE now <> 0;"                                                                  \
    "INSERT INTO tally (what, batch, n) SELECT now, 1, count(*) FROM old GROUP BY now;"  \
    "DROP TABLE old; DROP TABLE device_key; DROP TABLE stamp; DROP TABLE block;"

/* Who goes on with a batch is found by its file, the results that stations sent are kept
 * one by one, and proofs of possession where a profile asks for them: a device without
 * one has no row, and costs nothing. */
#define TABLES_3(INT, BLOB, TEXT, KEYED)                                                 \
    "CREATE INDEX batch_volume_owner ON batch_volume (owner, batch);"                    \
    "CREATE TABLE books_results ("                                                       \
    "  books " BLOB " NOT NULL CHECK (length(books) = 16),"                              \
    "  number " INT " NOT NULL CHECK (number > 0),"                                      \
    "  batch " INT " NOT NULL,"                                                          \
    "  volume " INT " NOT NULL,"                                                         \
    "  digest " BLOB " NOT NULL CHECK (length(digest) = 32),"                            \
    "  previous " BLOB " NOT NULL CHECK (length(previous) = 32),"                        \
    "  events " INT " NOT NULL CHECK (events >= 0),"                                     \
    "  made_at " INT " NOT NULL,"                                                        \
    "  imported_at " INT " NOT NULL,"                                                    \
    "  who " TEXT " NOT NULL,"                                                           \
    "  place " TEXT " NOT NULL,"                                                         \
    "  PRIMARY KEY (books, number)"                                                      \
    ")" KEYED ";"                                                                        \
    "CREATE INDEX books_results_batch ON books_results (batch, books, number);"          \
    "CREATE TABLE escrow_key ("                                                          \
    "  id " INT " PRIMARY KEY,"                                                          \
    "  batch " INT " NOT NULL,"                                                          \
    "  envelope " BLOB " NOT NULL"                                                       \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE escrow ("                                                              \
    "  device " INT " PRIMARY KEY,"                                                      \
    "  escrow_key " INT " NOT NULL,"                                                     \
    "  sealed " BLOB " NOT NULL CHECK (length(sealed) BETWEEN 1 AND 128)"                \
    ")" KEYED ";"                                                                        \
    "INSERT INTO counter (name, next) VALUES ('escrow', 1);"

/* Stations and their work orders, and the units that were made under those: which of them
 * may not be shipped yet, what they sealed themselves, and what was refused. */
#define TABLES_4(INT, BLOB, TEXT, KEYED)                                                 \
    "CREATE TABLE station ("                                                             \
    "  id " BLOB " PRIMARY KEY CHECK (length(id) = 32),"                                 \
    "  ca_key " BLOB " NOT NULL UNIQUE CHECK (length(ca_key) = 32),"                     \
    "  name " TEXT " NOT NULL,"                                                          \
    "  ca " BLOB " NOT NULL,"                                                            \
    "  box " BLOB " NOT NULL,"                                                           \
    "  journal " BLOB " NOT NULL,"                                                       \
    "  at " INT " NOT NULL,"                                                             \
    "  who " TEXT " NOT NULL,"                                                           \
    "  place " TEXT " NOT NULL"                                                          \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE work_order ("                                                          \
    "  id " BLOB " PRIMARY KEY CHECK (length(id) = 16),"                                 \
    "  batch " INT " NOT NULL UNIQUE,"                                                   \
    "  station " BLOB " NOT NULL CHECK (length(station) = 32),"                          \
    "  pattern " TEXT " NOT NULL,"                                                       \
    "  lock_later " INT " NOT NULL CHECK (lock_later IN (0, 1)),"                        \
    "  pop " INT " NOT NULL CHECK (pop IN (0, 1, 2)),"                                   \
    "  not_after " INT " NOT NULL,"                                                      \
    "  state " INT " NOT NULL CHECK (state IN (0, 1)),"                                  \
    "  closed_at " INT " NOT NULL,"                                                      \
    "  file " BLOB " CHECK (length(file) = 32)"                                          \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE device_unlocked (device " INT " PRIMARY KEY)" KEYED ";"                \
    "CREATE TABLE device_pop ("                                                          \
    "  device " INT " PRIMARY KEY,"                                                      \
    "  sealed " BLOB " NOT NULL CHECK (length(sealed) BETWEEN 1 AND 160)"                \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE quarantine ("                                                          \
    "  work_order " BLOB " NOT NULL CHECK (length(work_order) = 16),"                    \
    "  n " INT " NOT NULL,"                                                              \
    "  digest " BLOB " NOT NULL CHECK (length(digest) = 32),"                            \
    "  fingerprint " BLOB " NOT NULL CHECK (length(fingerprint) = 32),"                  \
    "  serial " TEXT " NOT NULL,"                                                        \
    "  why " TEXT " NOT NULL,"                                                           \
    "  at " INT " NOT NULL,"                                                             \
    "  certificate " BLOB " NOT NULL,"                                                   \
    "  PRIMARY KEY (work_order, n, digest)"                                              \
    ")" KEYED ";"

/* What devices get through the service: their operational keys and certificates, each on
 * the books before it is signed; tokens for a first contact, as digests; and what the
 * service's certificate authority signs that is no device's (server, registrars). Keys of
 * devices are claimed in claim_key, whatever they are for. */
#define TABLES_5(INT, BLOB, TEXT, KEYED)                                                 \
    "CREATE TABLE operational ("                                                         \
    "  device " INT " NOT NULL,"                                                         \
    "  n " INT " NOT NULL CHECK (n > 0),"                                                \
    "  state " INT " NOT NULL CHECK (state IN (0, 1, 2, 3)),"                            \
    "  fingerprint " BLOB " NOT NULL CHECK (length(fingerprint) = 32),"                  \
    "  serial " BLOB " NOT NULL CHECK (length(serial) = 16),"                            \
    "  at " INT " NOT NULL,"                                                             \
    "  changed_at " INT " NOT NULL,"                                                     \
    "  not_before " INT " NOT NULL,"                                                     \
    "  not_after " INT " NOT NULL,"                                                      \
    "  who " TEXT " NOT NULL,"                                                           \
    "  certificate " BLOB ","                                                            \
    "  PRIMARY KEY (device, n)"                                                          \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE claim_certificate ("                                                   \
    "  serial " BLOB " PRIMARY KEY CHECK (length(serial) = 16),"                         \
    "  device " INT " NOT NULL,"                                                         \
    "  n " INT " NOT NULL"                                                               \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE enrol_token ("                                                         \
    "  digest " BLOB " PRIMARY KEY CHECK (length(digest) = 32),"                         \
    "  device " INT " NOT NULL,"                                                         \
    "  at " INT " NOT NULL,"                                                             \
    "  not_after " INT " NOT NULL,"                                                      \
    "  used_at " INT ","                                                                 \
    "  fingerprint " BLOB " CHECK (length(fingerprint) = 32),"                           \
    "  who " TEXT " NOT NULL"                                                            \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE issued ("                                                              \
    "  serial " BLOB " PRIMARY KEY CHECK (length(serial) = 16),"                         \
    "  kind " INT " NOT NULL CHECK (kind IN (1, 2)),"                                    \
    "  name " TEXT " NOT NULL,"                                                          \
    "  fingerprint " BLOB " NOT NULL CHECK (length(fingerprint) = 32),"                  \
    "  at " INT " NOT NULL,"                                                             \
    "  not_after " INT " NOT NULL,"                                                      \
    "  who " TEXT " NOT NULL,"                                                           \
    "  certificate " BLOB ")" KEYED ";"                                                  \
    "CREATE INDEX issued_key ON issued (fingerprint);"                                   \
    "INSERT INTO counter (name, next) VALUES ('service', 1);"

/* What is revoked: certificates, by the key identifier of their authority and their
 * serial number, so that a list of an authority is a range of the primary key. not_after
 * 0 = never. The counter 'revocation' grows with each; 'revoked-before' is 1 until
 * devices that were revoked before this table was are in it. */
#define TABLES_6(INT, BLOB, TEXT, KEYED)                                                 \
    "CREATE TABLE revocation ("                                                          \
    "  ca " BLOB " NOT NULL CHECK (length(ca) > 0),"                                     \
    "  serial " BLOB " NOT NULL CHECK (length(serial) = 16),"                            \
    "  device " INT " NOT NULL,"                                                         \
    "  reason " INT " NOT NULL CHECK (reason BETWEEN 0 AND 10),"                         \
    "  at " INT " NOT NULL,"                                                             \
    "  not_after " INT " NOT NULL,"                                                      \
    "  PRIMARY KEY (ca, serial)"                                                         \
    ")" KEYED ";"                                                                        \
    "INSERT INTO counter (name, next) VALUES ('revocation', 1), ('crl', 1),"             \
    " ('revoked-before', 1);"                                                            \
    "DROP INDEX issued_key;"                                                             \
    "ALTER TABLE issued RENAME TO issued_5;"                                             \
    "CREATE TABLE issued ("                                                              \
    "  serial " BLOB " PRIMARY KEY CHECK (length(serial) = 16),"                         \
    "  kind " INT " NOT NULL CHECK (kind IN (1, 2, 3)),"                                 \
    "  name " TEXT " NOT NULL,"                                                          \
    "  fingerprint " BLOB " NOT NULL CHECK (length(fingerprint) = 32),"                  \
    "  at " INT " NOT NULL,"                                                             \
    "  not_after " INT " NOT NULL,"                                                      \
    "  who " TEXT " NOT NULL,"                                                           \
    "  certificate " BLOB ")" KEYED ";"                                                  \
    "INSERT INTO issued SELECT serial, kind, name, fingerprint, at, not_after, who,"     \
    " certificate FROM issued_5;"                                                        \
    "DROP TABLE issued_5;"                                                               \
    "CREATE INDEX issued_key ON issued (fingerprint);"

/* Certificates of the key maker are `issued`, too; whatever comes next needs no table of
 * its own. */
#define TABLES_7(INT, BLOB, TEXT, KEYED)                                                 \
    "DROP INDEX issued_key;"                                                             \
    "ALTER TABLE issued RENAME TO issued_6;"                                             \
    "CREATE TABLE issued ("                                                              \
    "  serial " BLOB " PRIMARY KEY CHECK (length(serial) = 16),"                         \
    "  kind " INT " NOT NULL CHECK (kind > 0),"                                          \
    "  name " TEXT " NOT NULL,"                                                          \
    "  fingerprint " BLOB " NOT NULL CHECK (length(fingerprint) = 32),"                  \
    "  at " INT " NOT NULL,"                                                             \
    "  not_after " INT " NOT NULL,"                                                      \
    "  who " TEXT " NOT NULL,"                                                           \
    "  certificate " BLOB ")" KEYED ";"                                                  \
    "INSERT INTO issued SELECT serial, kind, name, fingerprint, at, not_after, who,"     \
    " certificate FROM issued_6;"                                                        \
    "DROP TABLE issued_6;"                                                               \
    "CREATE INDEX issued_key ON issued (fingerprint);"

/* Keys of the service's API, as digests: who may do what, until when. And the check of an
 * operational key's state as a range: of a list of four SQLite makes a table each time.
 */
#define TABLES_8(INT, BLOB, TEXT, KEYED)                                                 \
    "CREATE TABLE api_key ("                                                             \
    "  name " TEXT " PRIMARY KEY,"                                                       \
    "  digest " BLOB " NOT NULL UNIQUE CHECK (length(digest) = 32),"                     \
    "  role " INT " NOT NULL CHECK (role > 0),"                                          \
    "  at " INT " NOT NULL,"                                                             \
    "  not_after " INT " NOT NULL,"                                                      \
    "  who " TEXT " NOT NULL"                                                            \
    ")" KEYED ";"                                                                        \
    "ALTER TABLE operational RENAME TO operational_7;"                                   \
    "CREATE TABLE operational ("                                                         \
    "  device " INT " NOT NULL,"                                                         \
    "  n " INT " NOT NULL CHECK (n > 0),"                                                \
    "  state " INT " NOT NULL CHECK (state BETWEEN 0 AND 3),"                            \
    "  fingerprint " BLOB " NOT NULL CHECK (length(fingerprint) = 32),"                  \
    "  serial " BLOB " NOT NULL CHECK (length(serial) = 16),"                            \
    "  at " INT " NOT NULL,"                                                             \
    "  changed_at " INT " NOT NULL,"                                                     \
    "  not_before " INT " NOT NULL,"                                                     \
    "  not_after " INT " NOT NULL,"                                                      \
    "  who " TEXT " NOT NULL,"                                                           \
    "  certificate " BLOB ","                                                            \
    "  PRIMARY KEY (device, n)"                                                          \
    ")" KEYED ";"                                                                        \
    "INSERT INTO operational SELECT device, n, state, fingerprint, serial, at,"          \
    " changed_at, not_before, not_after, who, certificate FROM operational_7;"           \
    "DROP TABLE operational_7;"

/* The transparency log: leaves that wait, in the order in which they came, then the
 * leaves of the tree, its tiles, and the heads that were signed. The counter 'log' is one
 * more than the leaves of the tree. */
#define TABLES_9(INT, BLOB, PLAIN, NUMBERED)                                             \
    "CREATE TABLE log_queue ("                                                           \
    "  id " NUMBERED ","                                                                 \
    "  device " INT ","                                                                  \
    "  leaf " BLOB " NOT NULL"                                                           \
    ")" PLAIN ";"                                                                        \
    "CREATE TABLE log_leaf ("                                                            \
    "  n " INT " PRIMARY KEY,"                                                           \
    "  device " INT ","                                                                  \
    "  leaf " BLOB " NOT NULL"                                                           \
    ")" PLAIN ";"                                                                        \
    "CREATE INDEX log_leaf_device ON log_leaf (device, n)"                               \
    "  WHERE device IS NOT NULL;"                                                        \
    "CREATE TABLE log_tile ("                                                            \
    "  level " INT " NOT NULL,"                                                          \
    "  n " INT " NOT NULL,"                                                              \
    "  hashes " BLOB " NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192),"             \
    "  PRIMARY KEY (level, n)"                                                           \
    ")" PLAIN ";"                                                                        \
    "CREATE TABLE log_head ("                                                            \
    "  size " INT " PRIMARY KEY,"                                                        \
    "  head " BLOB " NOT NULL"                                                           \
    ")" PLAIN ";"                                                                        \
    "INSERT INTO counter (name, next) VALUES ('log', 1);"

/* What programs asked for over the network, by the names that they gave their requests:
 * the same again, at whatever node, gets the same batch or order. Of runs, what a device
 * is proven with (host/registry_run_tree.h). And what stations exported of their
 * journals, with devices that came back: once a file beside the books.
 */
#define TABLES_10(INT, BLOB, TEXT, KEYED)                                                \
    "CREATE TABLE request ("                                                             \
    "  who " TEXT " NOT NULL,"                                                           \
    "  name " TEXT " NOT NULL,"                                                          \
    "  digest " BLOB " NOT NULL CHECK (length(digest) = 32),"                            \
    "  batch " INT " NOT NULL,"                                                          \
    "  at " INT " NOT NULL,"                                                             \
    "  PRIMARY KEY (who, name)"                                                          \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE run_node ("                                                            \
    "  first " INT " PRIMARY KEY,"                                                       \
    "  hashes " BLOB " NOT NULL"                                                         \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE journal_entry ("                                                       \
    "  station " BLOB " NOT NULL CHECK (length(station) = 32),"                          \
    "  seq " INT " NOT NULL CHECK (seq > 0),"                                            \
    "  hash " BLOB " NOT NULL CHECK (length(hash) = 32),"                                \
    "  body " BLOB " NOT NULL,"                                                          \
    "  PRIMARY KEY (station, seq, hash)"                                                 \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE journal_head ("                                                        \
    "  station " BLOB " PRIMARY KEY,"                                                    \
    "  seq " INT " NOT NULL,"                                                            \
    "  hash " BLOB " NOT NULL CHECK (length(hash) = 32)"                                 \
    ")" KEYED ";"                                                                        \
    "CREATE TABLE journal_device ("                                                      \
    "  digest " BLOB " PRIMARY KEY CHECK (length(digest) = 32),"                         \
    "  certificate " BLOB " NOT NULL,"                                                   \
    "  chip " BLOB " NOT NULL,"                                                          \
    "  locked " INT " NOT NULL,"                                                         \
    "  at " INT " NOT NULL"                                                              \
    ")" KEYED ";"

/* Of a device's operational keys that which is used is found however many it gave up. */
#define INDEX_11                                                                         \
    "CREATE INDEX operational_confirmed ON operational (device, state, n)"               \
    "  WHERE state = 2;"

stampi_migrations stampi_sqlite_migrations = {
    {"CREATE TABLE workspace ("
     "  one INTEGER PRIMARY KEY CHECK (one = 1),"
     "  purpose INTEGER NOT NULL CHECK (purpose IN (0, 1)),"
     "  made_at INTEGER NOT NULL"
     ") STRICT;"
     "CREATE TABLE counter ("
     "  name TEXT PRIMARY KEY,"
     "  next INTEGER NOT NULL"
     ") STRICT, WITHOUT ROWID;"
     "CREATE TABLE block ("
     "  prefix BLOB PRIMARY KEY CHECK (length(prefix) = 12),"
     "  size INTEGER NOT NULL"
     ") STRICT, WITHOUT ROWID;"
     "CREATE TABLE stamp ("
     "  serial TEXT PRIMARY KEY,"
     "  state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),"
     "  reserved_at INTEGER NOT NULL,"
     "  certificate_serial BLOB NOT NULL UNIQUE,"
     "  file TEXT"
     ") STRICT, WITHOUT ROWID;"
     "CREATE TABLE device_key ("
     "  fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),"
     "  serial TEXT NOT NULL UNIQUE REFERENCES stamp (serial)"
     ") STRICT, WITHOUT ROWID;"},

    {TABLES("INTEGER", "BLOB", "TEXT", " STRICT", " STRICT, WITHOUT ROWID", ""),
     FROM_VERSION_1},

    {TABLES_3("INTEGER", "BLOB", "TEXT", " STRICT, WITHOUT ROWID")},

    {TABLES_4("INTEGER", "BLOB", "TEXT", " STRICT, WITHOUT ROWID")},

    {TABLES_5("INTEGER", "BLOB", "TEXT", " STRICT, WITHOUT ROWID")},

    {TABLES_6("INTEGER", "BLOB", "TEXT", " STRICT, WITHOUT ROWID")},

    {TABLES_7("INTEGER", "BLOB", "TEXT", " STRICT, WITHOUT ROWID")},

    {TABLES_8("INTEGER", "BLOB", "TEXT", " STRICT, WITHOUT ROWID")},

    {TABLES_9("INTEGER", "BLOB", " STRICT", "INTEGER PRIMARY KEY")},

    {TABLES_10("INTEGER", "BLOB", "TEXT", " STRICT, WITHOUT ROWID")},

    {INDEX_11},
};

/* Text is compared byte by byte, whatever the language of the database. */
#define PG_TEXT "text COLLATE \"C\""

stampi_migrations stampi_pg_migrations = {
    {"CREATE TABLE workspace ("
     "  one bigint PRIMARY KEY CHECK (one = 1),"
     "  purpose bigint NOT NULL CHECK (purpose IN (0, 1)),"
     "  made_at bigint NOT NULL"
     ");"
     "CREATE TABLE counter ("
     "  name " PG_TEXT " PRIMARY KEY,"
     "  next bigint NOT NULL"
     ");"},

    {TABLES("bigint", "bytea", PG_TEXT, "", "", ", id")},

    {TABLES_3("bigint", "bytea", PG_TEXT, "")},

    {TABLES_4("bigint", "bytea", PG_TEXT, "")},

    {TABLES_5("bigint", "bytea", PG_TEXT, "")},

    {TABLES_6("bigint", "bytea", PG_TEXT, "")},

    {TABLES_7("bigint", "bytea", PG_TEXT, "")},

    {TABLES_8("bigint", "bytea", PG_TEXT, "")},

    {TABLES_9("bigint", "bytea", "",
              "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")},

    {TABLES_10("bigint", "bytea", PG_TEXT, "")},

    {INDEX_11},
};

/* ---- statements ---- */

#define DEVICE_COLUMNS                                                                   \
    "id, serial, state, changed_at, chip, file, fingerprint, certificate"
#define BATCH_COLUMNS                                                                    \
    "id, uid, name, product, note, state, at, count, first_counter, prefix, who, place"
#define RESULTS_COLUMNS                                                                  \
    "books, number, batch, volume, digest, previous, events, made_at, imported_at, who," \
    " place"

#define STATION_COLUMNS "id, ca_key, name, ca, box, journal, at, who, place"
#define ORDER_COLUMNS                                                                    \
    "id, batch, station, pattern, lock_later, pop, not_after, state, closed_at"
#define LDEVID_COLUMNS                                                                   \
    "n, state, fingerprint, serial, at, changed_at, not_before, not_after, who,"         \
    " certificate"
#define QUARANTINE_COLUMNS                                                               \
    "work_order, n, digest, fingerprint, serial, why, at, certificate"

#define BULK_SERIAL(TEXT)                                                                \
    "CREATE TEMP TABLE IF NOT EXISTS bulk_serial (n bigint, serial " TEXT ")"
#define BULK_CHIP(TEXT)                                                                  \
    "CREATE TEMP TABLE IF NOT EXISTS bulk_chip (n bigint, chip " TEXT ", device bigint)"
#define BULK_DEVICE(TEXT)                                                                \
    "CREATE TEMP TABLE IF NOT EXISTS bulk_device (id bigint, state bigint,"              \
    " changed_at bigint, chip " TEXT ")"
#define BULK_EVENTS(JOIN)                                                                \
    "SELECT b.n, (SELECT max(e.n) + 1 FROM event e WHERE e.device = s.device),"          \
    " (SELECT count(*) FROM event e WHERE e.device = s.device AND e.state = 2)"          \
    " FROM bulk_serial b" JOIN "claim_serial s WHERE s.serial = b.serial"

const struct stampi_statement stampi_statements[STAMPI_SQL_COUNT] = {
    [STAMPI_WORKSPACE] = {"SELECT purpose FROM workspace WHERE one = 1", NULL},
    [STAMPI_WORKSPACE_ADD] = {"INSERT INTO workspace (one, purpose, made_at)"
                              " VALUES (1, $1, $2)",
                              NULL},
    [STAMPI_COUNTER_ADD] = {"UPDATE counter SET next = next + $1 WHERE name = $2"
                            " RETURNING next - $1",
                            NULL},
    [STAMPI_COUNTER_SET] = {"UPDATE counter SET next = $1 WHERE name = $2", NULL},

    /* '' is the product of those who knew none */
    [STAMPI_DESK_FIND] = {"SELECT id, product FROM batch"
                          " WHERE kind = 0 AND product IN ($1, '')"
                          " ORDER BY product DESC LIMIT 1",
                          NULL},
    [STAMPI_DESK_ADD] = {"INSERT INTO batch (id, kind, product, note, state, at, count,"
                         " first_counter, who, place)"
                         " VALUES ($1, 0, $2, '', 0, $3, 0, 0, $4, $5)",
                         NULL},
    [STAMPI_DESK_NAME] = {"UPDATE batch SET product = $1 WHERE id = $2", NULL},
    [STAMPI_DESK_GROW] = {"UPDATE batch SET count = count + $1 WHERE id = $2"
                          " RETURNING count - $1",
                          NULL},

    [STAMPI_BLOCK_ADD] = {"INSERT INTO claim_block (prefix, first, n)"
                          " VALUES ($1, $2, $3)",
                          NULL},
    [STAMPI_BLOCK_OF] = {"SELECT prefix, first, n FROM claim_block WHERE first <= $1"
                         " ORDER BY first DESC LIMIT 1",
                         NULL},
    [STAMPI_SERIAL_CLAIM] = {"INSERT INTO claim_serial (serial, device) VALUES ($1, $2)"
                             " ON CONFLICT DO NOTHING",
                             NULL},
    /* Serials of an open batch are not all claimed yet; those of a made one are. */
    [STAMPI_SERIAL_IN_BATCH] = {"SELECT name FROM batch WHERE kind = 1 AND state = 0"
                                " AND serial_first <= $1 AND serial_last >= $1"
                                " AND length(serial_first) = length($1) LIMIT 1",
                                NULL},
    [STAMPI_SERIAL_RANGE] = {"SELECT serial FROM claim_serial"
                             " WHERE serial >= $1 AND serial <= $2"
                             " AND length(serial) = length($1) LIMIT 1",
                             NULL},
    [STAMPI_BATCH_RANGE] = {"SELECT name FROM batch WHERE kind = 1 AND state = 0"
                            " AND serial_first <= $1 AND serial_last >= $2"
                            " AND length(serial_first) = length($1) LIMIT 1",
                            NULL},
    [STAMPI_KEY_CLAIM] = {"INSERT INTO claim_key (fingerprint, device) VALUES ($1, $2)"
                          " ON CONFLICT DO NOTHING",
                          NULL},
    [STAMPI_CHIP_CLAIM] = {"INSERT INTO claim_chip (chip, device) VALUES ($1, $2)"
                           " ON CONFLICT DO NOTHING",
                           NULL},

    [STAMPI_DEVICE_ADD] = {"INSERT INTO device (id, serial, state, changed_at)"
                           " VALUES ($1, $2, 0, $3)",
                           NULL},
    [STAMPI_DEVICE_ISSUE] = {"UPDATE device SET state = 1, changed_at = $1, file = $2,"
                             " fingerprint = $3, certificate = $4"
                             " WHERE id = $5 AND state = 0",
                             NULL},
    [STAMPI_DEVICE_SCRAP] = {"UPDATE device SET state = 8, changed_at = $1"
                             " WHERE id = $2 AND state = 0",
                             NULL},
    [STAMPI_DEVICE_LOCK] = {"SELECT id, state, changed_at, chip FROM device WHERE id ="
                            " (SELECT device FROM claim_serial WHERE serial = $1)",
                            "SELECT id, state, changed_at, chip FROM device WHERE id ="
                            " (SELECT device FROM claim_serial WHERE serial = $1)"
                            " FOR UPDATE"},
    [STAMPI_DEVICE_CHANGE] = {"UPDATE device SET state = $1, changed_at = $2, chip = $3"
                              " WHERE id = $4",
                              NULL},
    [STAMPI_WAS_STRUCK] = {"SELECT 1 FROM event WHERE device = $1 AND state = 2 LIMIT 1",
                           NULL},
    [STAMPI_EVENT_ADD] = {"INSERT INTO event (device, n, state, at, who, place, why)"
                          " SELECT CAST($1 AS bigint), coalesce(max(n) + 1, 0),"
                          " CAST($2 AS bigint), CAST($3 AS bigint), CAST($4 AS text),"
                          " CAST($5 AS text), CAST($6 AS text)"
                          " FROM event WHERE device = $1",
                          NULL},
    [STAMPI_EVENTS] = {"SELECT state, at, who, place, why FROM event WHERE device = $1"
                       " ORDER BY n",
                       NULL},

    [STAMPI_TALLY_ADD] = {"INSERT INTO tally (what, batch, n) VALUES ($1, $2, $3)"
                          " ON CONFLICT (what, batch)"
                          " DO UPDATE SET n = tally.n + excluded.n",
                          NULL},
    [STAMPI_TALLY_TAKE] = {"UPDATE tally SET n = n - $1 WHERE what = $2 AND batch = $3",
                           NULL},
    [STAMPI_TALLY_OF] = {"SELECT what, n FROM tally WHERE what IN (0, 1, 2, 3, 4, 5, 6,"
                         " 7, 8, 9, 18, 22, 24, 25) AND batch = $1",
                         NULL},
    [STAMPI_COUNT] = {"SELECT CAST(coalesce(sum(n), 0) AS bigint) FROM tally"
                      " WHERE what = $1",
                      NULL},
    [STAMPI_DEVICES] = {"SELECT CAST(coalesce(sum(n), 0) AS bigint) FROM tally"
                        " WHERE what BETWEEN 1 AND 9",
                        NULL},

    [STAMPI_FIND_SERIAL] = {"SELECT " DEVICE_COLUMNS " FROM device WHERE id ="
                            " (SELECT device FROM claim_serial WHERE serial = $1)",
                            NULL},
    [STAMPI_FIND_KEY] = {"SELECT " DEVICE_COLUMNS " FROM device WHERE id ="
                         " (SELECT device FROM claim_key WHERE fingerprint = $1)",
                         NULL},
    [STAMPI_FIND_CHIP] = {"SELECT " DEVICE_COLUMNS " FROM device WHERE id ="
                          " (SELECT device FROM claim_chip WHERE chip = $1)",
                          NULL},

    /* Pages, by the key of the last row of the page before. PostgreSQL guesses how many
     * devices are in a state, and walks the wrong index where it guesses wrong: an order
     * that only the right one has leaves it no choice. */
    [STAMPI_LIST_ALL] = {"SELECT " DEVICE_COLUMNS " FROM device"
                         " WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3",
                         NULL},
    [STAMPI_LIST_STATE] = {"SELECT " DEVICE_COLUMNS " FROM device"
                           " WHERE state = $1 AND id > $2 AND id < $3"
                           " ORDER BY id LIMIT $4",
                           "SELECT " DEVICE_COLUMNS " FROM device"
                           " WHERE (state, id) > ($1, $2) AND (state, id) < ($1, $3)"
                           " ORDER BY state, id LIMIT $4"},
    [STAMPI_LIST_CHANGED] = {"SELECT " DEVICE_COLUMNS " FROM device"
                             " WHERE state = $1 AND changed_at >= $2"
                             " AND (changed_at > $2 OR id > $3)"
                             " AND id > $4 AND id < $5"
                             " ORDER BY changed_at, id LIMIT $6",
                             "SELECT " DEVICE_COLUMNS " FROM device"
                             " WHERE (state, changed_at, id) > ($1, $2, $3)"
                             " AND (state, changed_at) <= ($1, 9223372036854775807)"
                             " AND changed_at IS NOT NULL"
                             " AND id > $4 AND id < $5"
                             " ORDER BY state, changed_at, id LIMIT $6"},
    [STAMPI_LIST_UNCHANGED] = {"SELECT " DEVICE_COLUMNS " FROM device"
                               " WHERE state = 1 AND id > $1 AND id < $2"
                               " AND changed_at IS NULL ORDER BY id LIMIT $3",
                               "SELECT " DEVICE_COLUMNS " FROM device"
                               " WHERE (state, id) > (1, $1) AND (state, id) < (1, $2)"
                               " AND changed_at IS NULL ORDER BY state, id LIMIT $3"},

    [STAMPI_RUN_ADD] = {"INSERT INTO run (first, n, at, who, place)"
                        " VALUES ($1, $2, $3, $4, $5)",
                        NULL},
    [STAMPI_RUN_OF] = {"SELECT first, n, at, who, place FROM run WHERE first <= $1"
                       " ORDER BY first DESC LIMIT 1",
                       NULL},
    [STAMPI_RUN_NEXT] = {"SELECT first, n, at FROM run"
                         " WHERE at >= $1 AND (at > $1 OR first > $2)"
                         " AND first >= $3 AND first < $4 ORDER BY at, first LIMIT 1",
                         NULL},
    [STAMPI_PRODUCT_NEXT] = {"SELECT id FROM batch WHERE product = $1 AND id >= $2"
                             " ORDER BY id LIMIT 1",
                             NULL},
    [STAMPI_PRODUCT_STATE_NEXT] = {"SELECT b.id FROM batch b JOIN tally t"
                                   " ON t.what = $1 AND t.batch = b.id"
                                   " WHERE b.product = $2 AND b.id >= $3 AND t.n > 0"
                                   " ORDER BY b.id LIMIT 1",
                                   NULL},

    [STAMPI_BATCH_ADD] = {"INSERT INTO batch (id, kind, uid, name, product, note, state,"
                          " at, count, first_counter, serial_first, serial_last, prefix,"
                          " who, place) VALUES ($1, 1, $2, $3, $4, $5, 0, $6, $7, $8,"
                          " $9, $10, $11, $12, $13)",
                          NULL},
    [STAMPI_BATCH_LOCK] = {"UPDATE batch SET count = count WHERE id = $1 AND kind = 1",
                           NULL},
    [STAMPI_BATCH_GET] = {"SELECT " BATCH_COLUMNS " FROM batch"
                          " WHERE id = $1 AND kind = 1",
                          NULL},
    [STAMPI_BATCH_FIND] = {"SELECT " BATCH_COLUMNS " FROM batch WHERE name = $1", NULL},
    [STAMPI_BATCH_FIND_UID] = {"SELECT " BATCH_COLUMNS " FROM batch WHERE uid = $1",
                               NULL},
    [STAMPI_BATCH_FIND_OWNER] = {"SELECT " BATCH_COLUMNS " FROM batch WHERE id ="
                                 " (SELECT max(v.batch) FROM batch_volume v"
                                 " JOIN batch b ON b.id = v.batch"
                                 " WHERE v.owner = $1 AND b.state <> 2)",
                                 NULL},
    [STAMPI_BATCH_LIST] = {"SELECT " BATCH_COLUMNS " FROM batch"
                           " WHERE kind = 1 AND id > $1 ORDER BY id LIMIT $2",
                           NULL},
    [STAMPI_BATCH_STEP] = {"UPDATE batch SET state = $1 WHERE id = $2 AND state = $3",
                           NULL},

    [STAMPI_BATCH_PRODUCT] = {"SELECT product FROM batch WHERE id = $1", NULL},

    [STAMPI_VOLUME_FIND] = {"SELECT volume FROM batch_volume"
                            " WHERE batch = $1 AND owner = $2",
                            NULL},
    [STAMPI_VOLUME_ADD] = {"INSERT INTO batch_volume (batch, volume, owner, at)"
                           " SELECT CAST($1 AS bigint), coalesce(max(volume) + 1, 0),"
                           " CAST($2 AS text), CAST($3 AS bigint)"
                           " FROM batch_volume WHERE batch = $1 RETURNING volume",
                           NULL},
    [STAMPI_VOLUME_LIST] =
        {"SELECT v.volume, v.owner,"
         " CAST((SELECT coalesce(sum(s.n), 0) FROM batch_share s"
         " WHERE s.batch = v.batch AND s.volume = v.volume) AS bigint),"
         " CAST((SELECT coalesce(sum(s.done), 0) FROM batch_share s"
         " WHERE s.batch = v.batch AND s.volume = v.volume) AS bigint)"
         " FROM batch_volume v WHERE v.batch = $1 AND v.volume >= $2"
         " ORDER BY v.volume LIMIT $3",
         NULL},

    [STAMPI_SHARE_ADD] = {"INSERT INTO batch_share (batch, first, n, done)"
                          " VALUES ($1, $2, $3, 0)",
                          NULL},
    [STAMPI_SHARE_OWN] = {"SELECT first, n, done, mark FROM batch_share"
                          " WHERE batch = $1 AND volume = $2 AND done < n"
                          " ORDER BY first LIMIT 1",
                          NULL},
    [STAMPI_SHARE_TAKE] = {"UPDATE batch_share SET volume = $1"
                           " WHERE batch = $2 AND first = (SELECT first"
                           " FROM batch_share WHERE batch = $2 AND volume IS NULL"
                           " ORDER BY first LIMIT 1)"
                           " RETURNING first, n, done, mark",
                           "UPDATE batch_share SET volume = $1"
                           " WHERE batch = $2 AND first = (SELECT first"
                           " FROM batch_share WHERE batch = $2 AND volume IS NULL"
                           " ORDER BY first LIMIT 1 FOR UPDATE SKIP LOCKED)"
                           " RETURNING first, n, done, mark"},
    [STAMPI_SHARE_LIST] = {"SELECT first, n, done, mark FROM batch_share"
                           " WHERE batch = $1 AND volume = $2 ORDER BY first LIMIT $3",
                           NULL},
    [STAMPI_SHARE_MOVE] = {"UPDATE batch_share SET done = done + $1, mark = $2"
                           " WHERE batch = $3 AND first = $4 AND done = $5"
                           " AND volume = $6 AND n - done >= $1",
                           NULL},
    [STAMPI_SHARE_FREE] = {"UPDATE batch_share SET volume = NULL"
                           " WHERE batch = $1 AND volume = $2 AND done = 0",
                           NULL},
    [STAMPI_SHARE_CUT] = {"UPDATE batch_share SET n = done"
                          " WHERE batch = $1 AND first = $2 AND volume = $3"
                          " AND done = $4",
                          NULL},
    [STAMPI_SHARES_LEFT] = {"SELECT count(*) FROM batch_share"
                            " WHERE batch = $1 AND done < n",
                            NULL},

    [STAMPI_ESCROW_KEY_ADD] = {"INSERT INTO escrow_key (id, batch, envelope)"
                               " VALUES ($1, $2, $3)",
                               NULL},
    [STAMPI_ESCROW_ADD] = {"INSERT INTO escrow (device, escrow_key, sealed)"
                           " VALUES ($1, $2, $3)",
                           NULL},
    [STAMPI_ESCROW_FIND] = {"SELECT k.envelope, e.sealed FROM claim_serial s"
                            " JOIN escrow e ON e.device = s.device"
                            " JOIN escrow_key k ON k.id = e.escrow_key"
                            " WHERE s.serial = $1",
                            NULL},
    [STAMPI_RESULTS_FIND] = {"SELECT " RESULTS_COLUMNS " FROM books_results"
                             " WHERE books = $1 AND number = $2",
                             NULL},
    [STAMPI_RESULTS_LAST] = {"SELECT " RESULTS_COLUMNS " FROM books_results"
                             " WHERE books = $1 ORDER BY number DESC LIMIT 1",
                             NULL},
    [STAMPI_RESULTS_LIST] = {"SELECT " RESULTS_COLUMNS " FROM books_results"
                             " WHERE batch = $1 AND (books, number) > ($2, $3)"
                             " ORDER BY books, number LIMIT $4",
                             NULL},
    [STAMPI_RESULTS_ADD] = {"INSERT INTO books_results (" RESULTS_COLUMNS ")"
                            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
                            " ON CONFLICT DO NOTHING",
                            NULL},

    /* Changes by the thousand, through tables of this connection alone. PostgreSQL does
     * not know how small they are: a plan that reads all devices is out of the question.
     */
    [STAMPI_BULK_LOOPS] = {"SELECT 1",
                           "SELECT set_config('enable_hashjoin', 'off', true),"
                           " set_config('enable_mergejoin', 'off', true)"},
    [STAMPI_BULK_MAKE_SERIAL] = {BULK_SERIAL("text"), BULK_SERIAL(PG_TEXT)},
    [STAMPI_BULK_MAKE_CHIP] = {BULK_CHIP("text"), BULK_CHIP(PG_TEXT)},
    [STAMPI_BULK_MAKE_DEVICE] = {BULK_DEVICE("text"), BULK_DEVICE(PG_TEXT)},
    [STAMPI_BULK_CLEAR_SERIAL] = {"DELETE FROM bulk_serial", "TRUNCATE bulk_serial"},
    [STAMPI_BULK_CLEAR_CHIP] = {"DELETE FROM bulk_chip", "TRUNCATE bulk_chip"},
    [STAMPI_BULK_CLEAR_DEVICE] = {"DELETE FROM bulk_device", "TRUNCATE bulk_device"},
    [STAMPI_BULK_LOCK] = {"SELECT b.n, d.id, d.state, d.changed_at, d.chip"
                          " FROM bulk_serial b CROSS JOIN claim_serial s"
                          " CROSS JOIN device d WHERE s.serial = b.serial"
                          " AND d.id = s.device ORDER BY d.id, b.n",
                          "SELECT b.n, d.id, d.state, d.changed_at, d.chip"
                          " FROM bulk_serial b, claim_serial s, device d"
                          " WHERE s.serial = b.serial AND d.id = s.device"
                          " ORDER BY d.id, b.n FOR UPDATE OF d"},
    [STAMPI_BULK_EVENTS] = {BULK_EVENTS(" CROSS JOIN "), BULK_EVENTS(", ")},
    /* The first of two wins. `WHERE true`, or SQLite takes ON for a join's. */
    [STAMPI_BULK_CLAIM] = {"INSERT INTO claim_chip (chip, device)"
                           " SELECT chip, device FROM bulk_chip WHERE true"
                           " ORDER BY chip, n ON CONFLICT DO NOTHING",
                           NULL},
    [STAMPI_BULK_CONFLICT] = {"SELECT b.n FROM bulk_chip b JOIN claim_chip c"
                              " ON c.chip = b.chip WHERE c.device <> b.device"
                              " ORDER BY b.n LIMIT 1",
                              NULL},
    [STAMPI_BULK_CHANGE] = {"UPDATE device SET state = b.state,"
                            " changed_at = b.changed_at, chip = b.chip"
                            " FROM bulk_device b WHERE device.id = b.id",
                            NULL},

    [STAMPI_STATION_ADD] = {"INSERT INTO station (" STATION_COLUMNS ")"
                            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
                            " ON CONFLICT DO NOTHING",
                            NULL},
    [STAMPI_STATION_FIND] = {"SELECT " STATION_COLUMNS " FROM station WHERE id = $1",
                             NULL},
    [STAMPI_STATION_FIND_KEY] = {"SELECT " STATION_COLUMNS " FROM station"
                                 " WHERE ca_key = $1",
                                 NULL},
    [STAMPI_STATION_LIST] = {"SELECT " STATION_COLUMNS " FROM station ORDER BY at, id",
                             NULL},
    [STAMPI_ORDER_ADD] = {"INSERT INTO work_order (" ORDER_COLUMNS ")"
                          " VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)",
                          NULL},
    [STAMPI_ORDER_FIND] = {"SELECT " ORDER_COLUMNS " FROM work_order WHERE id = $1",
                           NULL},
    [STAMPI_ORDER_FIND_FILE] = {"SELECT " ORDER_COLUMNS " FROM work_order"
                                " WHERE file = $1",
                                NULL},
    [STAMPI_ORDER_FILE] = {"UPDATE work_order SET file = $1 WHERE id = $2", NULL},
    [STAMPI_ORDER_OF] = {"SELECT 1 FROM work_order WHERE batch = $1", NULL},
    [STAMPI_ORDER_LIST] = {"SELECT " ORDER_COLUMNS " FROM work_order WHERE batch > $1"
                           " ORDER BY batch LIMIT $2",
                           NULL},
    [STAMPI_ORDER_LOCK] = {"UPDATE work_order SET state = state WHERE id = $1", NULL},
    [STAMPI_ORDER_CLOSE] = {"UPDATE work_order SET state = 1, closed_at = $1"
                            " WHERE id = $2 AND state = 0",
                            NULL},
    [STAMPI_UNIT_ADD] = {"INSERT INTO device (id, serial, state, changed_at, fingerprint,"
                         " certificate) VALUES ($1, $2, 1, $3, $4, $5)",
                         NULL},
    [STAMPI_UNIT_FIND] = {"SELECT state, fingerprint, certificate, chip FROM device"
                          " WHERE id = $1",
                          "SELECT state, fingerprint, certificate, chip FROM device"
                          " WHERE id = $1 FOR UPDATE"},
    [STAMPI_UNIT_BEGIN] = {"INSERT INTO device (id, serial, state, changed_at,"
                           " fingerprint) VALUES ($1, $2, 0, $3, $4)",
                           NULL},
    [STAMPI_UNIT_CERTIFY] = {"UPDATE device SET certificate = $1, state = 1,"
                             " changed_at = $2 WHERE id = $3 AND state = 0"
                             " AND certificate IS NULL",
                             NULL},
    [STAMPI_ORDER_LOCKS] = {"SELECT lock_later FROM work_order WHERE batch = $1", NULL},
    [STAMPI_UNIT_CHIP] = {"UPDATE device SET chip = $1 WHERE id = $2", NULL},
    [STAMPI_SERIAL_OWNER] = {"SELECT device FROM claim_serial WHERE serial = $1", NULL},
    [STAMPI_KEY_OWNER] = {"SELECT device FROM claim_key WHERE fingerprint = $1", NULL},
    [STAMPI_CHIP_OWNER] = {"SELECT d.id, d.state FROM claim_chip c"
                           " JOIN device d ON d.id = c.device WHERE c.chip = $1",
                           NULL},
    [STAMPI_CHIP_MOVE] = {"UPDATE claim_chip SET device = $1 WHERE chip = $2"
                          " AND device = $3",
                          NULL},
    [STAMPI_CHIP_FREE] = {"DELETE FROM claim_chip WHERE chip = $1 AND device IN"
                          " (SELECT id FROM device WHERE state = 9)",
                          NULL},
    [STAMPI_UNLOCKED_ADD] = {"INSERT INTO device_unlocked (device) VALUES ($1)"
                             " ON CONFLICT DO NOTHING",
                             NULL},
    [STAMPI_UNLOCKED_REMOVE] = {"DELETE FROM device_unlocked WHERE device = $1", NULL},
    [STAMPI_UNLOCKED_FIND] = {"SELECT device FROM device_unlocked WHERE device = $1",
                              NULL},
    [STAMPI_POP_ADD] = {"INSERT INTO device_pop (device, sealed) VALUES ($1, $2)"
                        " ON CONFLICT DO NOTHING",
                        NULL},
    [STAMPI_POP_FIND] = {"SELECT sealed FROM device_pop WHERE device ="
                         " (SELECT device FROM claim_serial WHERE serial = $1)",
                         NULL},
    [STAMPI_QUARANTINE_ADD] = {"INSERT INTO quarantine (" QUARANTINE_COLUMNS ")"
                               " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
                               " ON CONFLICT DO NOTHING",
                               NULL},
    [STAMPI_QUARANTINE_COUNT] = {"SELECT count(*) FROM quarantine WHERE work_order = $1",
                                 NULL},
    [STAMPI_QUARANTINE_LIST] = {"SELECT " QUARANTINE_COLUMNS " FROM quarantine"
                                " WHERE work_order = $1 ORDER BY n, digest",
                                NULL},

    [STAMPI_DEVICE_SERIAL] = {"SELECT serial, fingerprint FROM device WHERE id = $1",
                              NULL},
    [STAMPI_LDEVID_ADD] = {"INSERT INTO operational (device, n, state, fingerprint,"
                           " serial, at, changed_at, not_before, not_after, who)"
                           " VALUES ($1, $2, 0, $3, $4, $5, $5, $6, $7, $8)",
                           NULL},
    /* those that count, the newest first: what waits is always the newest of all */
    [STAMPI_LDEVID_OF] = {"SELECT " LDEVID_COLUMNS " FROM operational"
                          " WHERE device = $1 AND state < 2 AND n ="
                          " (SELECT max(n) FROM operational WHERE device = $1)"
                          " UNION ALL SELECT " LDEVID_COLUMNS " FROM operational"
                          " INDEXED BY operational_confirmed"
                          " WHERE device = $1 AND state = 2 LIMIT $2",
                          "SELECT " LDEVID_COLUMNS " FROM operational"
                          " WHERE device = $1 AND state < 3 AND n IN"
                          " (SELECT max(n) FROM operational WHERE device = $1 UNION ALL"
                          "  SELECT n FROM operational WHERE device = $1 AND state = 2)"
                          " ORDER BY n DESC LIMIT $2"},
    [STAMPI_LDEVID_LIST] = {"SELECT " LDEVID_COLUMNS " FROM operational"
                            " WHERE device = $1 AND n < $2 ORDER BY n DESC LIMIT $3",
                            NULL},
    /* the highest number, and if the one so many before it is younger than that */
    [STAMPI_LDEVID_LAST] = {"SELECT n, (SELECT CASE WHEN b.at > $1 THEN 1 ELSE 0 END"
                            " FROM operational b WHERE b.device = o.device"
                            " AND b.n = o.n - $2) FROM operational o WHERE device = $3"
                            " ORDER BY n DESC LIMIT 1",
                            NULL},
    [STAMPI_LDEVID_RETIRED] = {"SELECT n FROM operational"
                               " WHERE device = $1 AND fingerprint = $2 AND state = 3"
                               " ORDER BY n DESC LIMIT 1",
                               NULL},
    [STAMPI_LDEVID_CERTIFY] = {"UPDATE operational SET state = 1, certificate = $1"
                               " WHERE device = $2 AND n = $3 AND state = 0",
                               NULL},
    [STAMPI_LDEVID_STATE] = {"UPDATE operational SET state = $1, changed_at = $2"
                             " WHERE device = $3 AND n = $4",
                             NULL},
    [STAMPI_CERTIFICATE_CLAIM] = {"INSERT INTO claim_certificate (serial, device, n)"
                                  " VALUES ($1, $2, $3)",
                                  NULL},
    [STAMPI_CERTIFICATE_OWNER] = {"SELECT device, n FROM claim_certificate"
                                  " WHERE serial = $1",
                                  NULL},
    /* a device's newest one stays, whatever became of it: the next gets its number */
    [STAMPI_PRUNE_KEYS] = {"SELECT device, n, serial FROM operational o WHERE state = 3"
                           " AND not_after < $1 AND changed_at < $1"
                           " AND (device, n) > ($2, $3) AND n < (SELECT max(n)"
                           " FROM operational WHERE device = o.device)"
                           " ORDER BY device, n LIMIT $4",
                           NULL},
    [STAMPI_PRUNE_KEY] = {"DELETE FROM operational WHERE device = $1 AND n = $2", NULL},
    [STAMPI_PRUNE_CERTIFICATE] = {"DELETE FROM claim_certificate WHERE serial = $1",
                                  NULL},
    [STAMPI_PRUNE_LEAF] = {"UPDATE log_leaf SET device = NULL, leaf = $1 WHERE n = $2",
                           NULL},
    [STAMPI_PRUNE_TOKENS] = {"DELETE FROM enrol_token WHERE not_after < $1", NULL},
    [STAMPI_PRUNE_REQUESTS] = {"DELETE FROM request WHERE at < $1", NULL},
    [STAMPI_PRUNE_API_KEYS] = {"DELETE FROM api_key WHERE not_after < $1", NULL},
    [STAMPI_TOKEN_ADD] = {"INSERT INTO enrol_token (digest, device, at, not_after, who)"
                          " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                          NULL},
    [STAMPI_TOKEN_FIND] = {"SELECT device, not_after, used_at, fingerprint"
                           " FROM enrol_token WHERE digest = $1",
                           NULL},
    [STAMPI_TOKEN_USE] = {"UPDATE enrol_token SET used_at = $1, fingerprint = $2"
                          " WHERE digest = $3 AND used_at IS NULL",
                          NULL},
    [STAMPI_TOKEN_LIST] = {"SELECT t.digest, d.serial, t.at, t.not_after, t.used_at,"
                           " t.who FROM enrol_token t JOIN device d ON d.id = t.device"
                           " WHERE t.digest > $1 ORDER BY t.digest LIMIT $2",
                           NULL},
    [STAMPI_TOKEN_DROP] = {"DELETE FROM enrol_token WHERE digest = $1"
                           " AND used_at IS NULL",
                           NULL},
    [STAMPI_API_KEY_ADD] = {"INSERT INTO api_key (name, digest, role, at, not_after, who)"
                            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                            NULL},
    [STAMPI_API_KEY_FIND] = {"SELECT name, role, at, not_after, who FROM api_key"
                             " WHERE digest = $1",
                             NULL},
    [STAMPI_API_KEY_LIST] = {"SELECT name, role, at, not_after, who FROM api_key"
                             " WHERE name > $1 ORDER BY name LIMIT $2",
                             NULL},
    [STAMPI_API_KEY_REMOVE] = {"DELETE FROM api_key WHERE name = $1", NULL},
    [STAMPI_RUN_NODES_ADD] = {"INSERT INTO run_node (first, hashes) VALUES ($1, $2)",
                              NULL},
    [STAMPI_RUN_NODES] = {"SELECT hashes FROM run_node WHERE first = $1", NULL},
    [STAMPI_REQUEST_ADD] = {"INSERT INTO request (who, name, digest, batch, at)"
                            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                            NULL},
    [STAMPI_REQUEST_FIND] = {"SELECT digest, batch FROM request"
                             " WHERE who = $1 AND name = $2",
                             NULL},
    [STAMPI_REQUEST_OF] = {"SELECT count(*) FROM request WHERE batch = $1", NULL},
    [STAMPI_JOURNAL_AT] = {"SELECT hash FROM journal_entry WHERE station = $1"
                           " AND seq = $2",
                           NULL},
    [STAMPI_JOURNAL_ADD] = {"INSERT INTO journal_entry (station, seq, hash, body)"
                            " VALUES ($1, $2, $3, $4)",
                            NULL},
    [STAMPI_JOURNAL_HEAD] = {"INSERT INTO journal_head (station, seq, hash)"
                             " VALUES ($1, $2, $3) ON CONFLICT (station) DO UPDATE"
                             " SET seq = excluded.seq, hash = excluded.hash"
                             " WHERE excluded.seq > journal_head.seq",
                             NULL},
    [STAMPI_JOURNAL_LIST] = {"SELECT h.station, count(DISTINCT e.seq),"
                             " coalesce(max(e.seq), 0), max(h.seq), count(e.seq)"
                             " FROM journal_head h LEFT JOIN journal_entry e"
                             " ON e.station = h.station GROUP BY h.station"
                             " ORDER BY h.station LIMIT $1",
                             NULL},
    /* the first number behind which there is none; none at all where 1 is not there */
    [STAMPI_JOURNAL_GAP] = {"SELECT e.seq + 1 FROM journal_entry e WHERE e.station = $1"
                            " AND NOT EXISTS (SELECT 1 FROM journal_entry f"
                            " WHERE f.station = e.station AND f.seq = e.seq + 1)"
                            " AND EXISTS (SELECT 1 FROM journal_entry g"
                            " WHERE g.station = e.station AND g.seq = 1)"
                            " ORDER BY e.seq LIMIT 1",
                            NULL},
    [STAMPI_JOURNAL_PAGE] = {"SELECT seq, hash, body FROM journal_entry"
                             " WHERE station = $1 AND (seq, hash) > ($2, $3)"
                             " ORDER BY seq, hash LIMIT $4",
                             NULL},
    [STAMPI_JOURNAL_DEVICE_PUT] = {"INSERT INTO journal_device"
                                   " (digest, certificate, chip, locked, at)"
                                   " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest)"
                                   " DO UPDATE SET chip = excluded.chip,"
                                   " locked = excluded.locked, at = excluded.at",
                                   NULL},
    [STAMPI_JOURNAL_DEVICES] = {"SELECT certificate, chip, locked, at"
                                " FROM journal_device WHERE at >= $1 ORDER BY at",
                                NULL},
    [STAMPI_ISSUED_ADD] = {"INSERT INTO issued (serial, kind, name, fingerprint, at,"
                           " not_after, who) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                           NULL},
    [STAMPI_ISSUED_CERTIFY] = {"UPDATE issued SET certificate = $1"
                               " WHERE serial = $2 AND certificate IS NULL",
                               NULL},
    [STAMPI_ISSUED_FIND_KEY] = {"SELECT serial, kind, name, at, not_after, who,"
                                " certificate FROM issued"
                                " WHERE fingerprint = $1 AND certificate IS NOT NULL"
                                " ORDER BY at DESC, serial LIMIT 1",
                                NULL},

    [STAMPI_COUNTER_GET] = {"SELECT next FROM counter WHERE name = $1", NULL},
    [STAMPI_REVOCATION_ADD] = {"INSERT INTO revocation (ca, serial, device, reason, at,"
                               " not_after) VALUES ($1, $2, $3, $4, $5, $6)"
                               " ON CONFLICT DO NOTHING",
                               NULL},
    [STAMPI_REVOCATION_LIST] = {"SELECT serial, reason, at FROM revocation"
                                " WHERE ca = $1 AND serial > $2"
                                " AND (not_after = 0 OR not_after > $3)"
                                " ORDER BY serial LIMIT $4",
                                NULL},
    [STAMPI_REVOCATION_FIND] = {"SELECT reason, at FROM revocation"
                                " WHERE ca = $1 AND serial = $2",
                                NULL},
    [STAMPI_REVOKED_BEFORE] = {"SELECT id, certificate FROM device"
                               " WHERE state = 9 AND id > $1 ORDER BY id LIMIT $2",
                               NULL},
    [STAMPI_BLOCK_HAS] = {"SELECT 1 FROM claim_block WHERE prefix = $1 AND n > $2"
                          " AND first >= 0",
                          NULL},

    [STAMPI_LOG_WAITING] = {"SELECT count(*) FROM log_queue", NULL},
    /* in whatever order */
    [STAMPI_LOG_TAKE] = {"DELETE FROM log_queue WHERE id IN"
                         " (SELECT id FROM log_queue ORDER BY id LIMIT $1)"
                         " RETURNING id, device, leaf",
                         NULL},
    [STAMPI_LOG_LEAVES] = {"SELECT n, leaf FROM log_leaf WHERE n >= $1"
                           " ORDER BY n LIMIT $2",
                           NULL},
    [STAMPI_LOG_OF] = {"SELECT n, leaf FROM log_leaf WHERE device = $1 AND n >= $2"
                       " ORDER BY n LIMIT $3",
                       NULL},
    [STAMPI_LOG_TILE] = {"SELECT hashes FROM log_tile WHERE level = $1 AND n = $2", NULL},
    [STAMPI_LOG_TILE_SET] = {"INSERT INTO log_tile (level, n, hashes)"
                             " VALUES ($1, $2, $3)"
                             " ON CONFLICT (level, n) DO UPDATE SET"
                             " hashes = excluded.hashes",
                             NULL},
    [STAMPI_LOG_HEAD_ADD] = {"INSERT INTO log_head (size, head) VALUES ($1, $2)"
                             " ON CONFLICT DO NOTHING",
                             NULL},
    [STAMPI_LOG_HEAD_LAST] = {"SELECT head FROM log_head ORDER BY size DESC LIMIT 1",
                              NULL},
    [STAMPI_LOG_HEADS] = {"SELECT size, head FROM log_head WHERE size >= $1"
                          " ORDER BY size LIMIT $2",
                          NULL},

    /* Whole tables, by the last key of the page before: host/registry_walk.h. */
    [STAMPI_PRODUCTS] = {"SELECT product, count(*) FROM batch WHERE product <> ''"
                         " GROUP BY product ORDER BY product",
                         NULL},
    [STAMPI_ALL_BATCHES] = {"SELECT id, name, count, at, state, who, place FROM batch"
                            " WHERE kind = 1 AND id > $1 ORDER BY id LIMIT $2",
                            NULL},
    [STAMPI_ALL_RUNS] = {"SELECT first, n, at, who, place FROM run WHERE first > $1"
                         " ORDER BY first LIMIT $2",
                         NULL},
    [STAMPI_ALL_DEVICES] = {"SELECT id, serial, state, changed_at, chip, fingerprint,"
                            " certificate FROM device WHERE id > $1 AND id < $2"
                            " ORDER BY id LIMIT $3",
                            NULL},
    [STAMPI_ALL_EVENTS] = {"SELECT e.device, e.n, d.serial, e.state, e.at, e.who,"
                           " e.place, e.why, d.chip, d.fingerprint, d.certificate"
                           " FROM event e JOIN device d ON d.id = e.device"
                           " WHERE (e.device, e.n) > ($1, $2)"
                           " ORDER BY e.device, e.n LIMIT $3",
                           NULL},
    [STAMPI_ALL_OPERATIONAL] = {"SELECT device, n, state, certificate, at, changed_at"
                                " FROM operational WHERE (device, n) > ($1, $2)"
                                " ORDER BY device, n LIMIT $3",
                                NULL},
    [STAMPI_ALL_REVOCATIONS] = {"SELECT ca, serial, device, reason, at FROM revocation"
                                " WHERE (ca, serial) > ($1, $2)"
                                " ORDER BY ca, serial LIMIT $3",
                                NULL},
    [STAMPI_ALL_OWN] = {"SELECT serial, certificate, at, who FROM issued"
                        " WHERE serial > $1 ORDER BY serial LIMIT $2",
                        NULL},
    [STAMPI_ALL_RESULTS] = {"SELECT books, number, digest, imported_at, who, place"
                            " FROM books_results WHERE (books, number) > ($1, $2)"
                            " ORDER BY books, number LIMIT $3",
                            NULL},
    [STAMPI_ALL_TALLY] = {"SELECT what, batch, n FROM tally"
                          " WHERE (what, batch) > ($1, $2)"
                          " ORDER BY what, batch LIMIT $3",
                          NULL},
};

const char *const stampi_copy_columns[STAMPI_COPY_COUNT] = {
    [STAMPI_COPY_DEVICE] = "device (id, serial, state, fingerprint, certificate)",
    [STAMPI_COPY_SERIAL] = "claim_serial (serial, device)",
    [STAMPI_COPY_KEY] = "claim_key (fingerprint, device)",
    [STAMPI_COPY_EVENT] = "event (device, n, state, at, who, place, why)",
    [STAMPI_COPY_BULK_SERIAL] = "bulk_serial (n, serial)",
    [STAMPI_COPY_BULK_CHIP] = "bulk_chip (n, chip, device)",
    [STAMPI_COPY_BULK_DEVICE] = "bulk_device (id, state, changed_at, chip)",
    [STAMPI_COPY_ESCROW] = "escrow (device, escrow_key, sealed)",
    [STAMPI_COPY_LOG_QUEUE] = "log_queue (device, leaf)",
    [STAMPI_COPY_LOG_LEAF] = "log_leaf (n, device, leaf)",
};
