/*
 * Answers to programs (service/api.h) by a process that puts the whole body together:
 * JSON, a refusal as RFC 9457 has it, or bytes. They go to the front in parts. And who
 * may ask at all.
 */
#ifndef SERVICE_ANSWER_H
#define SERVICE_ANSWER_H

#include <jansson.h>
#include <time.h>

#include "host/registry_apikey.h"
#include "service/channel.h"

#define ANSWER_OK 200u
#define ANSWER_CREATED 201u
#define ANSWER_UNAUTHORIZED 401u
#define ANSWER_FORBIDDEN 403u
#define ANSWER_NOT_FOUND 404u
#define ANSWER_CONFLICT 409u
#define ANSWER_UNPROCESSABLE 422u

/** Who waits for it. */
struct service_asker {
    struct service_channel *to;
    uint64_t id;
};

void service_answer(const struct service_asker *who, unsigned code,
                    enum service_body kind, const uint8_t *bytes, size_t len);

/** @param what  taken; NULL where there was no memory */
void service_answer_json(const struct service_asker *who, unsigned code, json_t *what);

/** RFC 9457; its title is HTTP's. */
void service_answer_problem(const struct service_asker *who, unsigned code,
                            const char *detail);

/** Not now: ask again. */
void service_answer_later(const struct service_asker *who);

/** Base64 as a JSON text. NULL where there is no memory. */
json_t *service_base64(const uint8_t *p, size_t len);

/** SHA-256 of a question: of two that say the same it is the same. The caller has taken
 * out of it who asks, and from where. */
STAMP_MUST_USE enum stamp_err service_question_digest(const struct service_message *m,
                                                      uint8_t digest[32],
                                                      struct stamp_error *err);

/**
 * Whose API key is it, or certificate, and may his role do that? A refusal is logged.
 *
 * @param may   a bit for each role, 1 << STAMP_ROLE_...
 * @param from  the address
 * @retval STAMP_E_MISSING  nobody's, or it has ended
 * @retval STAMP_E_AUTH     his role may not
 * @retval others           the registry failed
 */
STAMP_MUST_USE enum stamp_err service_admit(struct stamp_registry *r,
                                            const uint8_t key[STAMP_TOKEN_DIGEST_SIZE],
                                            unsigned may, struct stamp_slice from,
                                            time_t now, struct stamp_apikey *out,
                                            struct stamp_error *err);

/** Log that his role may not; STAMP_E_AUTH. */
STAMP_MUST_USE enum stamp_err service_refuse_role(const struct stamp_apikey *key,
                                                  struct stamp_slice from);

/** Say why service_admit() did not, with STAMP_E_MISSING or STAMP_E_AUTH. */
void service_answer_not_admitted(const struct service_asker *who, enum stamp_err rc);

#endif
