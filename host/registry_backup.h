/*
 * Backups of the books, made while they are in use: of one moment, whatever is written
 * meanwhile. What belongs to a workspace beside them (keys, profile, files) is not in it.
 */
#ifndef HOST_REGISTRY_BACKUP_H
#define HOST_REGISTRY_BACKUP_H

#include "host/registry.h"

/**
 * Write one: a file of SQLite, or what pg_dump makes (custom format), durable before it
 * has its name.
 *
 * @param where  file or URL, as of stamp_registry_open()
 * @retval STAMP_E_EXISTS   `path` is there: nothing was written
 * @retval STAMP_E_MISSING  there is no pg_dump
 */
STAMP_MUST_USE enum stamp_err stamp_registry_backup(const char *where, const char *path,
                                                    struct stamp_error *err);

/**
 * Make books of a backup, all of them or none, and bring them up to this program's
 * version.
 *
 * @param to  a file that is not there, or the URL of a database without books: of the
 * kind that the backup is of
 * @retval STAMP_E_EXISTS   there are books already: untouched
 * @retval STAMP_E_FORMAT   `path` is no backup, or of the other kind of database
 * @retval STAMP_E_MISSING  there is no pg_restore
 */
STAMP_MUST_USE enum stamp_err stamp_registry_restore(const char *path, const char *to,
                                                     struct stamp_error *err);

#endif
