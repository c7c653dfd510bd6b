/*
 * Bytes that must not leak: allocated apart, kept out of core dumps and swap where the
 * system allows, wiped when freed. Only the functions here reach them.
 */
#ifndef HOST_SECRET_H
#define HOST_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/error.h"

struct stamp_secret;

/** Copy `len` bytes (0..1 MiB) into a new secret. The caller wipes its own copy. */
STAMP_MUST_USE enum stamp_err stamp_secret_new(struct stamp_secret **out,
                                               const void *bytes, size_t len,
                                               struct stamp_error *err);

/** A new secret of `len` random bytes from the system's CSPRNG. */
STAMP_MUST_USE enum stamp_err stamp_secret_random(struct stamp_secret **out, size_t len,
                                                  struct stamp_error *err);

/** Borrow the bytes until the secret is freed; a NUL follows them (not counted in
 * `*len`). */
const uint8_t *stamp_secret_use(const struct stamp_secret *s, size_t *len);

/** Constant time in the content. */
bool stamp_secret_equal(const struct stamp_secret *a, const struct stamp_secret *b);

/** Wipe, free and null. NULL and a pointer to NULL are accepted. */
void stamp_secret_free(struct stamp_secret **p);

/**
 * Read a passphrase: from `fd` (first line) when fd >= 0, else from the terminal with
 * `prompt`, echo off. Fails with STAMP_E_USAGE-like STAMP_E_IO where there is no
 * terminal.
 */
STAMP_MUST_USE enum stamp_err stamp_secret_ask(struct stamp_secret **out, int fd,
                                               const char *prompt,
                                               struct stamp_error *err);

/** No core dumps, memory locked where allowed. Called once by programs that hold keys. */
void stamp_secret_harden(void);

#define STAMP_SECRET_AUTO __attribute__((cleanup(stamp_secret_free)))

#endif
