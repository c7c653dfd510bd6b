/*
 * Private keys in files: PKCS#8 PEM, mode 0600; with a passphrase encrypted by PBES2 with
 * scrypt and AES-256-CBC, as every other PKCS#8 tool reads it.
 */
#ifndef HOST_KEYFILE_H
#define HOST_KEYFILE_H

#include <stdbool.h>

#include "host/openssl.h"
#include "host/secret.h"

/**
 * Write a new key file.
 *
 * @param passphrase  NULL = not encrypted
 * @retval STAMP_E_EXISTS  there is a file of that name; it is left alone
 */
STAMP_MUST_USE enum stamp_err stamp_keyfile_write(const char *path, EVP_PKEY *key,
                                                  const struct stamp_secret *passphrase,
                                                  struct stamp_error *err);

/**
 * Read a P-256 pair.
 *
 * @param passphrase  NULL = none at hand
 * @retval STAMP_E_AUTH    the passphrase is wrong, or none was given and one is needed
 * @retval STAMP_E_FORMAT  no such key in the file
 * @retval STAMP_E_IO      cannot be read, or others may read it
 */
STAMP_MUST_USE enum stamp_err stamp_keyfile_read(const char *path,
                                                 const struct stamp_secret *passphrase,
                                                 EVP_PKEY **out, struct stamp_error *err);

#endif
