#include "cli/station_label.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/offer.h"

static json_t *to_json(const struct stamp_slot_label *label)
{
    static const char *const symbologies[] = {"", "qr", "datamatrix", "code128"};
    json_t *list = json_array();
    char payload[STAMP_MAX_PAYLOAD + 1];
    struct stamp_barcode b;

    for (size_t i = 0; stamp_offer_barcode(label->offer, &label->known, label->pop, i, &b,
                                           payload, NULL) == STAMP_OK;
         i++) {
        (void)json_array_append_new(
            list, json_pack("{s:s%, s:s, s:s%}", "name", b.name.p, b.name.len,
                            "symbology", symbologies[b.symbology & 3], "payload",
                            b.payload.p, b.payload.len));
    }
    OPENSSL_cleanse(payload, sizeof payload);
    return json_pack("{s:s, s:s%, s:o}", "serial", label->serial, "pop", label->pop.p,
                     label->pop.len, "barcodes", list);
}

static bool write_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        p += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

enum stamp_err station_label(void *ctx, const struct stamp_slot_label *label,
                             struct stamp_error *err)
{
    const char *program = ctx;
    json_t *json = to_json(label);
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    int in[2] = {-1, -1};
    int status = -1;
    pid_t child = -1;
    bool ok = text != NULL && pipe2(in, O_CLOEXEC) == 0;

    json_decref(json);
    if (ok && (child = fork()) == 0) {
        (void)dup2(in[0], 0);
        (void)execlp(program, program, label->serial, (char *)NULL);
        _exit(127);
    }
    if (child > 0) {
        (void)close(in[0]);
        ok = write_all(in[1], text, strlen(text)) && write_all(in[1], "\n", 1);
        (void)close(in[1]);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
    }
    if (text != NULL) {
        OPENSSL_cleanse(text, strlen(text));
        free(text);
    }
    return ok && child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_IO, status,
                                 "the label of %s was not printed: '%s' failed",
                                 label->serial, program);
}
