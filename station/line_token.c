/* The token of a line, waited for where it is away (station/line_wait.c). */
#include <string.h>

#include "station/line_own.h"

static bool is_loss(enum stamp_err rc)
{
    return rc == STAMP_E_DEVICE || rc == STAMP_E_AUTH;
}

/* It is not back as long as it does not let us in: no PIN is tried that it refused once.
 */
static bool is_back(struct stamp_line *line)
{
    return stamp_session_again(line->session, NULL) == STAMP_OK;
}

static enum stamp_err with_token(struct stamp_line *line, stampi_line_op op, void *arg,
                                 struct stamp_error *err)
{
    const struct stampi_line_need need = {op, is_loss, is_back, "the token"};

    return stampi_line_persist(line, &need, arg, err);
}

struct to_sign {
    const char *label;
    const uint8_t *digest;
    uint8_t *sig;
};

static enum stamp_err sign(struct stamp_line *line, void *arg, struct stamp_error *err)
{
    const struct to_sign *s = arg;

    return stamp_session_sign(line->session, s->label, s->digest, s->sig, err);
}

static enum stamp_err count(struct stamp_line *line, void *arg, struct stamp_error *err)
{
    const uint32_t *n = arg;

    return stamp_session_count_to(line->session, line->order.id, *n, err);
}

enum stamp_err stampi_line_token_sign(struct stamp_line *line, const uint8_t digest[32],
                                      uint8_t sig[64], struct stamp_error *err)
{
    struct to_sign s = {line->site->label[STAMP_STATION_CA], digest, sig};

    return with_token(line, sign, &s, err);
}

enum stamp_err stampi_line_token_vouch(struct stamp_line *line, const uint8_t digest[32],
                                       uint8_t sig[64], struct stamp_error *err)
{
    struct to_sign s = {line->site->label[STAMP_STATION_JOURNAL], digest, sig};

    return with_token(line, sign, &s, err);
}

enum stamp_err stampi_line_token_count(struct stamp_line *line, uint32_t n,
                                       struct stamp_error *err)
{
    return with_token(line, count, &n, err);
}

/* Not waited for: what is said of a pause would come between the head that is signed and
 * its signature. */
enum stamp_err stampi_line_sign_journal(void *ctx, const uint8_t digest[32],
                                        uint8_t sig[64], struct stamp_error *err)
{
    struct stamp_line *line = ctx;

    return stamp_session_sign(line->session, line->site->label[STAMP_STATION_JOURNAL],
                              digest, sig, err);
}
