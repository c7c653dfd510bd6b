#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/batch.h"
#include "cli/bundle_online.h"
#include "host/file.h"
#include "host/import_json.h"

static const char help[] =
    "usage: stamp batch import RESULTS... [OPTION]...\n"
    "\n"
    "Books what stations report: signed results as stamp batch close writes them. What\n"
    "was struck or scrapped is booked so; what came back unused is booked as returned\n"
    "and revoked; what is in doubt stays outstanding. Results that contradict the books\n"
    "are named, and nothing of that file is booked.\n"
    "\n"
    "      --quarantine        book what does not contradict, revoke what does\n"
    "      --server URL        a service has the books (stamp serve)\n" CLI_ONLINE_HELP
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"quarantine", no_argument, NULL, 'q'},
    CLI_ONLINE_OPTIONS,
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

#define NAMED_MAX 20u

struct naming {
    const char *path;
    uint32_t n;
};

static void name_conflict(void *ctx, const char *serial, const char *what)
{
    struct naming *naming = ctx;

    if (naming->n++ < NAMED_MAX) {
        (void)fprintf(stderr, "conflict: %s%s%s\n", serial == NULL ? "" : serial,
                      serial == NULL ? "" : ": ", what);
    }
}

static void print_done(const char *path, const struct stamp_imported *m)
{
    if (m->before) {
        (void)printf("%s: on the books already\n", path);
        return;
    }
    if (m->superseded) {
        (void)printf("%s: results %u of batch %u, noted: later ones are on the books\n",
                     path, m->head.number, m->batch.id);
        return;
    }
    (void)printf("%s: batch %u, results %u: %u struck, %u scrapped, %u returned, %u in "
                 "doubt; %u booked now\n",
                 path, m->batch.id, m->head.number, m->struck, m->scrapped, m->returned,
                 m->in_doubt, m->booked);
    if (m->conflicts > 0) {
        (void)printf("%s: %u conflicts, %u serials revoked\n", path, m->conflicts,
                     m->quarantined);
    }
    if (m->passed_over > 0) {
        (void)printf("%s: %u serials passed over: revoked for an earlier conflict\n",
                     path, m->passed_over);
    }
    if (m->closed) {
        (void)printf("%s: batch %u is closed: there are results of all its stamps\n",
                     path, m->batch.id);
    }
}

/* The exit status. @param rc, err  how it went */
static int end_one(const char *path, const struct naming *naming,
                   const struct stamp_imported *m, enum stamp_err rc,
                   struct stamp_error *err)
{
    if (naming->n > NAMED_MAX) {
        (void)fprintf(stderr, "conflict: and %u more\n", naming->n - NAMED_MAX);
    }
    if (rc == STAMP_OK) {
        print_done(path, m);
        return CLI_DONE;
    }
    if (rc == STAMP_E_DUPLICATE && m->conflicts > 0) {
        stamp_error_hint(err, "find out which unit is the real one; --quarantine books "
                              "the rest and revokes these serials");
    }
    stamp_error_state(err, "nothing of '%s' was booked", path);
    return cli_fail(err);
}

static int import_one(struct stamp_workspace *ws, const char *path, bool quarantine)
{
    struct naming naming = {path, 0};
    struct stamp_import_job job = {.path = path,
                                   .quarantine = quarantine,
                                   .conflict = name_conflict,
                                   .ctx = &naming};
    struct stamp_imported m;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_import(ws, &job, &m, &err);

    return end_one(path, &naming, &m, rc, &err);
}

/* ---- by a service ---- */

static enum stamp_err import_there(struct cli_online *o, struct stamp_slice file,
                                   bool quarantine, struct naming *naming,
                                   struct stamp_imported *m, struct stamp_error *err)
{
    char header[CLI_ONLINE_NAME_SIZE];
    const struct stamp_service_request request = {
        .path = quarantine ? "/api/v1/results?quarantine=true" : "/api/v1/results",
        .header = header,
        .type = "application/octet-stream",
        .body = file};
    json_t *answer = NULL;
    bool conflicts = false;
    enum stamp_err rc = cli_online_name(header, err);

    if (rc == STAMP_OK) {
        rc = bundle_online_post(o, &request, &answer, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_imported_read(answer, m, &conflicts, name_conflict, naming, err);
    }
    json_decref(answer);
    return rc == STAMP_OK && conflicts
               ? stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                                 "'%s' contradicts the books in %u places", naming->path,
                                 m->conflicts)
               : rc;
}

static int import_online(struct cli_online *o, const char *path, bool quarantine)
{
    struct naming naming = {path, 0};
    struct stamp_imported m = {.conflicts = 0};
    struct stamp_slice file;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_file_map(path, &file, &err);

    if (rc == STAMP_OK) {
        rc = import_there(o, file, quarantine, &naming, &m, &err);
    }
    stamp_file_unmap(&file);
    return end_one(path, &naming, &m, rc, &err);
}

static int import_all_online(struct cli_online *o, const char *dir, bool quarantine,
                             char **paths, int n)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    int status = CLI_DONE;

    if (cli_online_open(o, dir, &err) != STAMP_OK) {
        cli_online_close(o);
        stamp_error_state(&err, "nothing was booked");
        return cli_fail(&err);
    }
    for (int i = 0; i < n; i++) {
        int one = import_online(o, paths[i], quarantine);

        status = status == CLI_DONE ? one : status;
    }
    cli_online_close(o);
    return cli_flush(status);
}

/* ---- what is asked for ---- */

static int import_all(const char *dir, bool quarantine, char **paths, int n)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    int status = CLI_DONE;

    if (stamp_workspace_open(dir, &ws, &err) != STAMP_OK) {
        stamp_error_state(&err, "nothing was booked");
        (void)cli_fail(&err);
        return CLI_FAILED;
    }
    for (int i = 0; i < n; i++) {
        int one = import_one(ws, paths[i], quarantine);

        status = status == CLI_DONE ? one : status;
    }
    return cli_flush(status);
}

int batch_import(int argc, char **argv)
{
    const char *dir = NULL;
    struct cli_online online = {.url = NULL};
    bool quarantine = false;
    int opt;

    while ((opt = getopt_long(argc, argv, "C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'q':
            quarantine = true;
            break;
        case 'C':
            dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            if (cli_online_take(&online, opt, optarg)) {
                break;
            }
            return cli_bad_option("batch import");
        }
    }
    if (optind == argc) {
        return cli_usage("batch import", "which RESULTS?");
    }
    if (cli_online_check(&online, "batch import") != 0) {
        return CLI_USAGE;
    }
    return online.url != NULL
               ? import_all_online(&online, dir, quarantine, argv + optind, argc - optind)
               : import_all(dir, quarantine, argv + optind, argc - optind);
}
