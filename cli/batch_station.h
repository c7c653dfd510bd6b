/*
 * What the station's verbs share: a batch file, opened and unlocked, and its books.
 * Whom to trust is said once with --trust; the books keep it.
 */
#ifndef CLI_BATCH_STATION_H
#define CLI_BATCH_STATION_H

#include "cli/cli.h"
#include "host/batchbooks.h"
#include "host/token.h"

/** From the command line. */
struct batch_station_args {
    const char *file;      /* the batch file */
    const char *key;       /* PEM file or pkcs11: URI; NULL = not unlocked */
    const char *pin_file;  /* of the PIN or passphrase; NULL = none */
    int fd;                /* the same, from a descriptor; -1 = ask */
    const char *trust;     /* PEM; NULL = the books', else the workspace's */
    const char *workspace; /* -C; NULL = look for it */
};

struct batch_station {
    const struct batch_station_args *args; /* borrowed */
    struct stamp_batch *batch;
    struct stamp_books *books;
    X509 *anchor;
    EVP_PKEY *key; /* NULL = none given */
    struct stamp_token *token;
};

/**
 * Open the batch file and its books. With a key the file is unlocked, and books are made
 * where there are none; without one there must be books.
 *
 * @param s  close it whatever this returns
 */
STAMP_MUST_USE enum stamp_err batch_station_open(const struct batch_station_args *args,
                                                 struct batch_station *s,
                                                 struct stamp_error *err);
/** The same to look only: without a key, and without books where there are none. */
STAMP_MUST_USE enum stamp_err batch_station_look(const struct batch_station_args *args,
                                                 struct batch_station *s,
                                                 struct stamp_error *err);
void batch_station_close(struct batch_station *s);
#define BATCH_STATION_AUTO                                                               \
    __attribute__((cleanup(batch_station_close))) struct batch_station

/** The partition as the manifest says it, else the workspace's profile.
 * @retval STAMP_E_MISSING  neither */
STAMP_MUST_USE enum stamp_err batch_station_partition(const struct batch_station *s,
                                                      struct stamp_profile_partition *out,
                                                      struct stamp_error *err);

/** The same without its place in flash. */
STAMP_MUST_USE enum stamp_err batch_station_geometry(const struct batch_station *s,
                                                     struct stamp_geometry *out,
                                                     struct stamp_error *err);

/** Who trusts what the batch file was checked with. */
STAMP_MUST_USE enum stamp_err batch_station_trust(const struct batch_station *s,
                                                  struct stamp_trust **out,
                                                  struct stamp_error *err);

/** Print the error; the exit status that `rc` means, CLI_NOTHING_LEFT where it is that
 * nothing is left. */
int batch_station_fail(enum stamp_err rc, const struct stamp_error *err);

#endif
