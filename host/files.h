/*
 * Many new files at once, all of them or none, with one wait for the disk instead of one
 * each. As stamp_file_write() otherwise: no part of a file is ever seen under its name,
 * and modes are exact.
 */
#ifndef HOST_FILES_H
#define HOST_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/error.h"

struct stamp_files;

/**
 * Also removes the temporary files of processes that were killed.
 *
 * @param dir  all files go in here; borrowed
 */
STAMP_MUST_USE enum stamp_err stamp_files_new(const char *dir, struct stamp_files **out,
                                              struct stamp_error *err);

/** Write one more, not under its name yet. @param name  no '/' in it */
STAMP_MUST_USE enum stamp_err stamp_files_add(struct stamp_files *f, const char *name,
                                              const void *bytes, size_t len, mode_t mode,
                                              struct stamp_error *err);

/**
 * Force all to the disk and give them their names.
 *
 * @retval STAMP_E_EXISTS  a name is taken
 * On failure none of them is left.
 */
STAMP_MUST_USE enum stamp_err stamp_files_commit(struct stamp_files *f,
                                                 struct stamp_error *err);

/** Frees; what was not committed is removed. */
void stamp_files_free(struct stamp_files **p);

/** Remove files that were committed, again: what came after did not work out. */
void stamp_files_remove(struct stamp_files *f);

#endif
