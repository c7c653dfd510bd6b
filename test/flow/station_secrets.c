/*
 * usage: station_secrets IMAGE ROOT-KEY-FILE [FILE...]
 *
 * Opens a unit's flash with its root key and takes out what nobody outside the unit may
 * ever have seen: the device key, the provisioning key, the proof of possession. Then
 * looks for any 8 bytes in a row of them in the files, in the raw flash, too: as they
 * are, in hexadecimal, and in base64. Prints what was found where; exit status 1 then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "host/file.h"
#include "host/image.h"

enum { RUN = 8, FILE_MAX = 1 << 28 };

static int found;

static void look(const char *file, const uint8_t *hay, size_t len, const char *what,
                 const uint8_t *needle, size_t n)
{
    if (n > 0 && len >= n && memmem(hay, len, needle, n) != NULL) {
        (void)printf("%s: a part of %s\n", file, what);
        found = 1;
    }
}

/* Base64 of a run depends on where it begins: the characters that all its bits decide. */
static void look_base64(const char *file, const uint8_t *hay, size_t len,
                        const char *what, const uint8_t *run)
{
    for (size_t shift = 0; shift < 3; shift++) {
        uint8_t in[RUN + 2] = {0};
        uint8_t out[24];

        memcpy(in + shift, run, RUN);
        (void)EVP_EncodeBlock(out, in, (int)(shift + RUN));
        look(file, hay, len, what, out + (shift * 8 + 5) / 6,
             (shift + RUN) * 8 / 6 - (shift * 8 + 5) / 6);
    }
}

static void search(const char *file, const char *what, struct stamp_slice secret)
{
    uint8_t *hay = NULL;
    size_t len = 0;

    if (stamp_file_read(file, FILE_MAX, &hay, &len, NULL) != STAMP_OK) {
        return; /* a socket, say */
    }
    for (size_t at = 0; at + RUN <= secret.len; at++) {
        char hex[2 * RUN + 1];

        for (size_t i = 0; i < RUN; i++) {
            (void)snprintf(hex + 2 * i, 3, "%02x", secret.p[at + i]);
        }
        look(file, hay, len, what, secret.p + at, RUN);
        look(file, hay, len, what, (const uint8_t *)hex, sizeof hex - 1);
        look_base64(file, hay, len, what, secret.p + at);
    }
    free(hay);
}

int main(int argc, char **argv)
{
    STAMP_IMAGE_AUTO *img = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *root = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    const struct stamp *s;
    uint8_t *bytes = NULL;
    size_t len = 0;

    if (argc < 3 || stamp_file_read_secret(argv[2], 32, &root, &err) != STAMP_OK ||
        stamp_file_read(argv[1], FILE_MAX, &bytes, &len, &err) != STAMP_OK ||
        stamp_image_open(bytes, len, false, root, &img, &err) != STAMP_OK) {
        (void)fprintf(stderr, "station_secrets: %s\n", err.what);
        return 2;
    }
    s = stamp_image_birth(img);
    if (s->key_private.len != 32 || s->provisioning_private.len != 32 ||
        s->pop.len < RUN) {
        (void)fprintf(stderr, "station_secrets: the unit has no secrets\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        if (i != 2) {
            search(argv[i], "the device key", s->key_private);
            search(argv[i], "the provisioning key", s->provisioning_private);
            search(argv[i], "the proof of possession", s->pop);
        }
    }
    free(bytes);
    return found;
}
