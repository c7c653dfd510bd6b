/*
 * Result codes of every devstamp library. Append-only: a code keeps its number for ever.
 */
#ifndef CORE_ERR_H
#define CORE_ERR_H

#if defined(__GNUC__)
#define STAMP_MUST_USE __attribute__((warn_unused_result))
#else
#define STAMP_MUST_USE
#endif

enum stamp_err {
    STAMP_OK = 0,
    STAMP_E_RANGE = -1,     /* an argument or a length is out of range */
    STAMP_E_FLASH = -2,     /* the port's read, program or erase failed */
    STAMP_E_BLANK = -3,     /* the region is erased: there is no stamp */
    STAMP_E_CORRUPT = -4,   /* the region is not whole (torn, flipped, cut short) */
    STAMP_E_VERSION = -5,   /* made by a newer format than this code reads */
    STAMP_E_FORMAT = -6,    /* bytes are not what SPEC says (CBOR, types, limits) */
    STAMP_E_MISSING = -7,   /* the item is not in the stamp */
    STAMP_E_SPACE = -8,     /* buffer, bank or partition too small */
    STAMP_E_EXISTS = -9,    /* already written; it is written once */
    STAMP_E_LOCKED = -10,   /* locked; nothing was changed */
    STAMP_E_CRYPTO = -11,   /* the crypto library refused or failed */
    STAMP_E_AUTH = -12,     /* not authentic: signature, chain, key or digest is wrong */
    STAMP_E_ROLLBACK = -13, /* older than what is already held */
    STAMP_E_BUSY = -14,     /* slowed down: try again later */
    STAMP_E_PURPOSE = -15,  /* development and production do not mix */

    /* host only, from -32 down */
    STAMP_E_IO = -32,          /* file, terminal or serial port; native = errno */
    STAMP_E_NOMEM = -33,       /* out of memory */
    STAMP_E_CONFIG = -34,      /* the profile or another file of the user's is wrong */
    STAMP_E_DUPLICATE = -35,   /* already on the books */
    STAMP_E_TIMEOUT = -36,     /* the device did not answer */
    STAMP_E_UNSUPPORTED = -37, /* asked for something this build or device does not do */
    STAMP_E_DATABASE = -38,    /* the registry failed; native = its own code */
    STAMP_E_DEVICE = -39,      /* the device answered with an error; native = its code */
    STAMP_E_STATE = -40,       /* no step from the state that it is in */
};

#endif
