/*
 * Books for tests: fresh ones for each, in a file or, where the program's argument is
 * "postgres", in the server that test/pg_server.sh started.
 */
#ifndef TEST_UNIT_BOOKS_BOOKS_H
#define TEST_UNIT_BOOKS_BOOKS_H

#include <stdbool.h>

#include "host/registry_batch.h"

#define BOOKS_NOW ((time_t)1774000000)

extern bool books_in_postgres;
extern char books_dir[32];    /* a scratch directory */
extern char books_where[256]; /* for stamp_registry_open() */
extern struct stamp_registry *books;

/** First in main(): which database is it? */
void books_init(int argc, char **argv);

/** Setup and teardown of a test. */
int books_open(void **state);
int books_close(void **state);

/** Close them and open them again. */
void books_reopen(void);

/** SQL of the test's own, in a connection of its own. */
void books_sql(const char *sql);
/** A number from it. */
long long books_number(const char *sql);

/** A serial pattern; stops the test where it is none. */
struct stamp_serial_pattern books_pattern(const char *text);

/** A key that nobody else has, by number. */
void books_key(uint8_t fingerprint[32], uint64_t n);

#endif
