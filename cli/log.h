/*
 * The verbs of `stamp log`: each gets its own argv (argv[0] is the verb) and returns the
 * exit status.
 */
#ifndef CLI_LOG_H
#define CLI_LOG_H

#include "cli/station.h"
#include "host/log_receipt.h"
#include "host/workspace.h"

int log_head(int argc, char **argv);
int log_list(int argc, char **argv);
int log_prove(int argc, char **argv);
int log_verify(int argc, char **argv);

/** A head, or a receipt, as a file for others: written, or an error.
 * @param receipt  what it proves; NULL = nothing but the head */
STAMP_MUST_USE enum stamp_err log_write(const struct stamp_workspace *ws,
                                        const struct stamp_log_receipt *receipt,
                                        const struct stamp_log_head *head,
                                        const char *path, struct stamp_error *err);

/** "2 leaves, root 1f03..., of 2026-03-20T10:00:00Z" */
void log_print_head(const struct stamp_log_head *head);

/** One line of what a leaf says. */
void log_print_entry(uint64_t index, const struct stamp_log_entry *e);

#endif
