/*
 * Mbed TLS 2.28 for bare metal: the PSA Crypto API with P-256 (ECDSA, ECDH), SHA-256,
 * HMAC, HKDF and AES-GCM, and X.509: parse and verify certificates, write a request. No
 * files, no clock, no sockets, no TLS, no heap of the C library (a static buffer
 * instead), no key storage.
 *
 * Without a clock the validity dates of certificates are not checked; the certificates of
 * a stamp carry no expiry.
 */
#ifndef DEVICE_PORT_QEMU_RISCV32_MBEDTLS_CONFIG_H
#define DEVICE_PORT_QEMU_RISCV32_MBEDTLS_CONFIG_H

/* Platform: memory from mbedtls_memory_buffer_alloc_init(), entropy from
 * mbedtls_hardware_poll(). */
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_MEMORY_BUFFER_ALLOC_C
/* Until mbedtls_memory_buffer_alloc_init() there is no memory: a call ends in a fault. */
#define MBEDTLS_PLATFORM_STD_CALLOC NULL
#define MBEDTLS_PLATFORM_STD_FREE NULL
#define MBEDTLS_NO_PLATFORM_ENTROPY
#define MBEDTLS_ENTROPY_HARDWARE_ALT
#define MBEDTLS_ENTROPY_C
#define MBEDTLS_ENTROPY_FORCE_SHA256
#define MBEDTLS_ENTROPY_MAX_SOURCES 2
#define MBEDTLS_CTR_DRBG_C
#define MBEDTLS_CTR_DRBG_ENTROPY_LEN 32

/* PSA: every key of ours is volatile (PSA picks the id); the stamp is the key storage. */
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_USE_PSA_CRYPTO
#define MBEDTLS_PSA_KEY_SLOT_COUNT 8

/* Algorithms. */
#define MBEDTLS_SHA256_C
#define MBEDTLS_MD_C
#define MBEDTLS_HKDF_C
#define MBEDTLS_AES_C
#define MBEDTLS_AES_ROM_TABLES
#define MBEDTLS_AES_FEWER_TABLES
#define MBEDTLS_GCM_C
#define MBEDTLS_CIPHER_C
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECDH_C
#define MBEDTLS_MPI_MAX_SIZE 48

/* Certificates and requests. */
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_OID_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_PK_WRITE_C
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_CREATE_C
#define MBEDTLS_X509_CSR_WRITE_C
#define MBEDTLS_X509_CHECK_KEY_USAGE
#define MBEDTLS_X509_CHECK_EXTENDED_KEY_USAGE
#define MBEDTLS_X509_MAX_INTERMEDIATE_CA 4

#include "mbedtls/check_config.h"

#endif
