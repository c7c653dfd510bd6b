/* The service's API for commands that have `--server URL --api-key-file F [--trust PEM]`.
 */
#ifndef CLI_ONLINE_H
#define CLI_ONLINE_H

#include "cli/cli.h"
#include "host/service_client.h"

#define CLI_ONLINE_PATIENCE_S 30u /* for a service that is away */

/** As the options have it; the rest is filled by cli_online_open(). */
struct cli_online {
    const char *url, *key_file, *trust; /* trust NULL = the workspace's root */
    char root[PATH_MAX];
    struct stamp_secret *key;
    struct stamp_https *https;
};

/** Do the options go together? Else it is said, and CLI_USAGE returned; 0 = they do. */
int cli_online_check(const struct cli_online *o, const char *verb);

/** @param workspace  -C; NULL = look for it. End with cli_online_close(), also after a
 * failure */
STAMP_MUST_USE enum stamp_err cli_online_open(struct cli_online *o, const char *workspace,
                                              struct stamp_error *err);
void cli_online_close(struct cli_online *o);

/**
 * POST to a device.
 *
 * @param after   "/state", "/revoke"
 * @param body    taken; NULL where something in it is no text in UTF-8
 * @param answer  free with json_decref()
 */
STAMP_MUST_USE enum stamp_err cli_online_post(struct cli_online *o, const char *serial,
                                              const char *after, json_t *body,
                                              json_t **answer, struct stamp_error *err);

#endif
