#include "cli/online.h"

#include <stdlib.h>

int cli_online_check(const struct cli_online *o, const char *verb)
{
    if (o->url == NULL && (o->key_file != NULL || o->trust != NULL)) {
        return cli_usage(verb, "--api-key-file and --trust go with --server");
    }
    return o->url != NULL && o->key_file == NULL
               ? cli_usage(verb, "--server wants --api-key-file F")
               : 0;
}

enum stamp_err cli_online_open(struct cli_online *o, const char *workspace,
                               struct stamp_error *err)
{
    struct stamp_https_setup setup = {.url = o->url, .ca = o->trust};
    enum stamp_err rc = STAMP_OK;

    if (o->trust == NULL) {
        rc = cli_root_file(workspace, o->root, err);
        if (rc != STAMP_OK) {
            stamp_error_hint(err, "name whom to believe with --trust PEM");
        }
        setup.ca = o->root;
    }
    if (rc == STAMP_OK) {
        rc = cli_secret_line(o->key_file, &o->key, err);
    }
    setup.bearer = o->key;
    return rc == STAMP_OK ? stamp_https_new(&setup, &o->https, err) : rc;
}

void cli_online_close(struct cli_online *o)
{
    stamp_https_free(&o->https);
    stamp_secret_free(&o->key);
}

enum stamp_err cli_online_post(struct cli_online *o, const char *serial,
                               const char *after, json_t *body, json_t **answer,
                               struct stamp_error *err)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    char *path = NULL;
    enum stamp_err rc =
        text == NULL ? stamp_error_set(err, STAMP_E_RANGE, 0, "a text is none in UTF-8")
                     : stamp_service_device_path(serial, after, &path, err);

    *answer = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_service_ask(o->https, o->url, path, text, CLI_ONLINE_PATIENCE_S,
                               answer, err);
    }
    json_decref(body);
    free(text);
    free(path);
    return rc;
}
