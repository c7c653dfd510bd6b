/* The service's API for commands that have `--server URL`, with `--api-key-file F` or
 * `--client PEM`, and `--trust PEM`. */
#ifndef CLI_ONLINE_H
#define CLI_ONLINE_H

#include "cli/cli.h"
#include "host/service_client.h"

#define CLI_ONLINE_PATIENCE_S 30u /* for a service that is away */

/* For a verb's table of options and its help; cli_online_take() takes them. */
#define CLI_ONLINE_OPTIONS                                                               \
    {"server", required_argument, NULL, CLI_ONLINE_SERVER},                              \
        {"api-key-file", required_argument, NULL, CLI_ONLINE_KEY},                       \
        {"client", required_argument, NULL, CLI_ONLINE_CLIENT},                          \
    {                                                                                    \
        "trust", required_argument, NULL, CLI_ONLINE_TRUST                               \
    }
#define CLI_ONLINE_HELP                                                                  \
    "      --api-key-file F    with --server: the first line of F is an API key; or\n"   \
    "      --client PEM        certificate and key, as which it knows you\n"             \
    "      --trust PEM         with --server: who is believed to be it; else the\n"      \
    "                          workspace's root\n"
enum { CLI_ONLINE_SERVER = 0x100, CLI_ONLINE_KEY, CLI_ONLINE_CLIENT, CLI_ONLINE_TRUST };

/** As the options have it; the rest is filled by cli_online_open(). */
struct cli_online {
    const char *url, *key_file, *client;
    const char *trust;     /* NULL = trust_pem, */
    const char *trust_pem; /* and NULL = the workspace's root */
    unsigned patience_s;   /* 0 = CLI_ONLINE_PATIENCE_S */
    char root[PATH_MAX];
    struct stamp_secret *key;
    struct stamp_https *https;
};

/** Is it one of CLI_ONLINE_OPTIONS? Then it is taken. */
bool cli_online_take(struct cli_online *o, int opt, const char *value);

/** Do the options go together? Else it is said, and CLI_USAGE returned; 0 = they do. */
int cli_online_check(const struct cli_online *o, const char *verb);

/** Whom is it believed to be? `trust`, or the workspace's root. */
STAMP_MUST_USE enum stamp_err
cli_online_trust(struct cli_online *o, const char *workspace, struct stamp_error *err);

/** @param workspace  -C; NULL = look for it. End with cli_online_close(), also after a
 * failure */
STAMP_MUST_USE enum stamp_err cli_online_open(struct cli_online *o, const char *workspace,
                                              struct stamp_error *err);
void cli_online_close(struct cli_online *o);

/** Ask, with patience. @param answer  free with json_decref() */
STAMP_MUST_USE enum stamp_err cli_online_ask(struct cli_online *o,
                                             const struct stamp_service_request *request,
                                             unsigned patience_s, json_t **answer,
                                             struct stamp_error *err);

/**
 * POST something that is to be done once, however often it is asked for: under a name
 * that is drawn.
 *
 * @param body    JSON, taken; NULL where something in it is no text in UTF-8
 * @param answer  free with json_decref()
 */
STAMP_MUST_USE enum stamp_err cli_online_once(struct cli_online *o, const char *path,
                                              json_t *body, unsigned patience_s,
                                              json_t **answer, struct stamp_error *err);

/** A name for a request, drawn at random, as its header: the service does what it asks
 * for once. */
#define CLI_ONLINE_NAME_SIZE 64u
STAMP_MUST_USE enum stamp_err cli_online_name(char header[CLI_ONLINE_NAME_SIZE],
                                              struct stamp_error *err);

/**
 * GET what is at `before`, `name` (escaped; NULL = none) and `after`.
 *
 * @param answer  free with json_decref()
 */
STAMP_MUST_USE enum stamp_err cli_online_get(struct cli_online *o, const char *before,
                                             const char *name, const char *after,
                                             json_t **answer, struct stamp_error *err);

/** GET a list in pages: "/api/v1/orders", whose rows are in `rows` of each answer.
 * @param told  called with each row; it says STAMP_OK to go on */
STAMP_MUST_USE enum stamp_err
cli_online_list(struct cli_online *o, const char *path, const char *rows,
                enum stamp_err (*told)(void *ctx, json_t *row, struct stamp_error *err),
                void *ctx, struct stamp_error *err);

/**
 * POST to what is at `before`, `name` and `after`.
 *
 * @param body    taken; NULL where something in it is no text in UTF-8
 * @param answer  free with json_decref()
 */
STAMP_MUST_USE enum stamp_err cli_online_post(struct cli_online *o, const char *before,
                                              const char *name, const char *after,
                                              json_t *body, json_t **answer,
                                              struct stamp_error *err);

#endif
