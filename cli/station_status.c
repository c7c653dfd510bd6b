/* `stamp station status`: what the journal says. */
#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "cli/station.h"
#include "station/control.h"

static const char help[] =
    "usage: stamp station status DIR [--json]\n"
    "\n"
    "How the shift stands: what the line that runs says, and its ports; else what the\n"
    "journal says of the order that was taken in last.\n"
    "\n"
    "  -j, --json              JSON\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static enum stamp_err read_status(const struct stamp_site *site,
                                  struct stamp_journal_status *s,
                                  struct stamp_journal_head *head,
                                  struct stamp_error *err)
{
    STAMP_JOURNAL_AUTO *all = NULL;
    STAMP_JOURNAL_AUTO *journal = NULL;
    uint8_t order[16] = {0};
    uint32_t count = 0;
    char path[PATH_MAX];
    enum stamp_err rc = stamp_site_path(site, STAMP_SITE_JOURNAL, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_journal_open(path, false, order, 0, &all, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_journal_last_order(all, order, &count, err);
    }
    stamp_journal_close(&all);
    if (rc == STAMP_OK) {
        rc = stamp_journal_open(path, false, order, count, &journal, err);
    }
    if (rc == STAMP_OK && site->enrolled) {
        rc = stamp_journal_check(
            journal, X509_get0_pubkey(site->cert.cert[STAMP_STATION_JOURNAL]), err);
    }
    if (rc == STAMP_OK) {
        stamp_journal_status(journal, (uint64_t)time(NULL), s);
        *head = *stamp_journal_head(journal);
    }
    return rc;
}

/* What a line that runs says of itself; NULL: none runs. */
static enum stamp_err ask_line(const struct stamp_site *site, json_t **answer,
                               struct stamp_error *err)
{
    json_t *request = json_pack("{s:s}", "do", "status");
    enum stamp_err rc = stamp_control_ask(site, request, answer, err);

    json_decref(request);
    if (rc == STAMP_OK && *answer != NULL) {
        (void)json_object_del(*answer, "ok");
        (void)json_object_set_new(*answer, "running", json_true());
    }
    return rc;
}

/* The same from the journal. */
static enum stamp_err ask_journal(const struct stamp_site *site, json_t **answer,
                                  struct stamp_error *err)
{
    struct stamp_journal_status s;
    struct stamp_journal_head head;
    enum stamp_err rc = read_status(site, &s, &head, err);

    if (rc == STAMP_OK) {
        *answer = stamp_control_status(&s);
        (void)json_object_set_new(*answer, "running", json_false());
        (void)json_object_set_new(*answer, "entries", json_integer(head.seq));
        (void)json_object_set_new(*answer, "checkpoint", json_integer(head.checkpoint));
    }
    return rc;
}

static int number(const json_t *answer, const char *key)
{
    return (int)json_integer_value(json_object_get(answer, key));
}

static void print_status(const json_t *a)
{
    const json_t *port;
    size_t i;

    (void)printf(
        "order of %d: %d done, %d failed, %d scrapped, %d in doubt, %d remaining\n",
        number(a, "count"), number(a, "done"), number(a, "failed"), number(a, "scrapped"),
        number(a, "in_doubt"), number(a, "remaining"));
    (void)printf("%d in the last hour, %d in the last eight\n", number(a, "last_hour"),
                 number(a, "last_eight_hours"));
    if (!json_is_true(json_object_get(a, "running"))) {
        (void)printf("journal: %d entries, checkpoint %d\n", number(a, "entries"),
                     number(a, "checkpoint"));
        return;
    }
    if (json_is_true(json_object_get(a, "stands"))) {
        (void)printf("the line stands: its token is away, or slow\n");
    }
    json_array_foreach(json_object_get(a, "ports"), i, port)
    {
        (void)printf("%s: %s\n", json_string_value(json_object_get(port, "port")),
                     json_string_value(json_object_get(port, "state")));
    }
}

static int print_all(const char *dir, bool json)
{
    STAMP_SITE_AUTO site;
    struct stamp_error err = STAMP_ERROR_INIT;
    json_t *answer = NULL;
    enum stamp_err rc = stamp_site_open(dir, &site, &err);

    if (rc == STAMP_OK) {
        rc = ask_line(&site, &answer, &err);
    }
    if (rc == STAMP_OK && answer == NULL) {
        rc = ask_journal(&site, &answer, &err);
    }
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    if (json) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2));
        (void)printf("\n");
    } else {
        print_status(answer);
    }
    json_decref(answer);
    return cli_flush(CLI_DONE);
}

int station_status(int argc, char **argv)
{
    const char *dir;
    bool json = false;
    int opt;

    while ((opt = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
        switch (opt) {
        case 'j':
            json = true;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("station status");
        }
    }
    dir = station_operand("station status", "station's directory", argc, argv);
    return dir == NULL ? CLI_USAGE : print_all(dir, json);
}
