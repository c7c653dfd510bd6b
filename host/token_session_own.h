/* What the files of a session share. */
#ifndef HOST_TOKEN_SESSION_OWN_H
#define HOST_TOKEN_SESSION_OWN_H

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include "host/secret.h"
#include "host/token_session.h"

#define STAMPI_SESSION_KEYS 4

struct stampi_session_key {
    char label[48];
    CK_OBJECT_HANDLE handle;
    bool always; /* asks for the PIN before each use */
};

struct stamp_session {
    P11KitUri *uri;
    CK_FUNCTION_LIST **modules; /* up to a NULL */
    CK_FUNCTION_LIST *one[2];   /* these, where the URI names a module */
    CK_FUNCTION_LIST *f;        /* of the one */
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    char serial[17];
    char name[64];
    struct stamp_secret *pin; /* NULL: the token wants none */
    bool refused;             /* it was, and is not tried again */
    struct stampi_session_key key[STAMPI_SESSION_KEYS];
    int n_keys;
    uint8_t count_id[16]; /* whose object the next is */
    CK_OBJECT_HANDLE count_object;
    uint32_t count;
};

/** What a return value means, for a person. */
enum stamp_err stampi_session_failed(struct stamp_session *s, CK_RV rv, const char *what,
                                     struct stamp_error *err);

/** Did the token refuse the PIN, so that trying it again would cost a try? */
bool stampi_session_pin_is_bad(CK_RV rv);

/** Up to `max` objects that a template describes. */
CK_RV stampi_session_find(struct stamp_session *s, CK_ATTRIBUTE *template, CK_ULONG n,
                          CK_OBJECT_HANDLE *out, CK_ULONG max, CK_ULONG *found);

/** The PIN from where it is to come. */
enum stamp_err stampi_token_pin(P11KitUri *uri, const char *name,
                                const struct stamp_pin *from, struct stamp_secret **pin,
                                struct stamp_error *err);

#endif
