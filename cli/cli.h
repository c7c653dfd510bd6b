/*
 * What the verbs of `stamp` share. A verb is cli/VERB.c with cmd_VERB(), which gets its
 * own argv (argv[0] is the verb) and returns the exit status.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "host/imagefile.h"
#include "host/trust.h"
#include "host/workspace.h"

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_AUTHENTIC = 3,
    CLI_RETRY = 4,
    CLI_NOTHING_LEFT = 5,
};

int cmd_apikey(int argc, char **argv);
int cmd_claim(int argc, char **argv);
int cmd_crl(int argc, char **argv);
int cmd_flash(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_label(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_make(int argc, char **argv);
int cmd_ocsp(int argc, char **argv);
int cmd_prove(int argc, char **argv);
int cmd_registrar(int argc, char **argv);
int cmd_registry(int argc, char **argv);
int cmd_revoke(int argc, char **argv);
int cmd_rotate(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_verify(int argc, char **argv);

/** Print the error and give the exit status that its code means. */
int cli_fail(const struct stamp_error *err);

/** The command line is wrong: print why and where to read, return CLI_USAGE. */
int cli_usage(const char *verb, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** getopt_long() met something: it was printed already; point to --help. */
int cli_bad_option(const char *verb);

/** Print text that comes from a stamp: what a terminal would obey (C0, DEL, C1) is shown
 * as \xNN. */
void cli_print_text(const void *text, size_t len);

/** Print help to stdout, return CLI_DONE (or CLI_FAILED where stdout is full). */
int cli_help(const char *text);

/** Flush stdout: `status`, or CLI_FAILED with a message where that fails. */
int cli_flush(int status);

/** A number of `min`..`max`: decimal or 0x..., with K or M (1024) behind it. */
bool cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/** "2027-01-31T12:00:00Z", or "2027-01-31": that day's first second or its last. */
bool cli_date(const char *text, bool end_of_day, time_t *out);

/** The first line of a file that is its owner's alone: a passphrase, a PIN, an API key.
 */
STAMP_MUST_USE enum stamp_err cli_secret_line(const char *path, struct stamp_secret **out,
                                              struct stamp_error *err);

/** Where a stamp comes from. */
struct cli_source {
    const char *what;      /* FILE or SERIAL */
    const char *workspace; /* -C; NULL = look for it */
    int64_t offset;        /* of the partition in the file; -1 = it is the file */
    const char *root_key;  /* file; NULL = none */
};

/** A FILE that is there, else the file of a SERIAL on the workspace's books. */
STAMP_MUST_USE enum stamp_err cli_open_stamp(const struct cli_source *src,
                                             struct stamp_image **out,
                                             struct stamp_error *err);

/**
 * Whom to believe: --trust, else the workspace's root.
 *
 * @param pem  NULL = the workspace
 * @retval STAMP_E_MISSING  neither: a usage error
 */
STAMP_MUST_USE enum stamp_err cli_trust(const char *pem, const char *workspace,
                                        struct stamp_trust **out,
                                        struct stamp_error *err);

/** Where the root certificate of a workspace is. @param workspace  -C; NULL = look for it
 */
STAMP_MUST_USE enum stamp_err cli_root_file(const char *workspace, char out[PATH_MAX],
                                            struct stamp_error *err);

/** Where the books are that cli_books() opens. */
STAMP_MUST_USE enum stamp_err cli_books_place(const char *workspace, char where[PATH_MAX],
                                              struct stamp_error *err);

/** Open the books: $DEVSTAMP_REGISTRY, else those of a workspace. @param workspace  -C;
 * NULL = look for it */
STAMP_MUST_USE enum stamp_err
cli_books(const char *workspace, struct stamp_registry **out, struct stamp_error *err);

/** The passphrase of a production workspace; NULL in a development one.
 * @param fd  from --passphrase-fd; -1 = ask on the terminal */
STAMP_MUST_USE enum stamp_err cli_passphrase(const struct stamp_workspace *ws, int fd,
                                             struct stamp_secret **out,
                                             struct stamp_error *err);

#endif
