/*
 * The verbs of `stamp batch`: each gets its own argv (argv[0] is the verb) and returns
 * the exit status.
 */
#ifndef CLI_BATCH_H
#define CLI_BATCH_H

#include "cli/cli.h"

int cmd_batch(int argc, char **argv);
int batch_balance(int argc, char **argv);
int batch_close(int argc, char **argv);
int batch_create(int argc, char **argv);
int batch_import(int argc, char **argv);
int batch_list(int argc, char **argv);
int batch_next(int argc, char **argv);
int batch_report(int argc, char **argv);
int batch_show(int argc, char **argv);

#endif
