/* `stamp batch VERB`: batches of stamps. One file a verb: cli/batch_VERB.c. */
#include <stdio.h>
#include <string.h>

#include "cli/batch.h"

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} verbs[] = {
    {"create", batch_create, "make a batch, sealed to a station"},
    {"next", batch_next, "open unused stamps of a batch file"},
    {"report", batch_report, "say what became of a stamp"},
    {"close", batch_close, "hand out no more; signed results for headquarters"},
    {"import", batch_import, "book what a station reports"},
    {"list", batch_list, "the batches on the books"},
    {"show", batch_show, "all about a batch, or a batch file"},
    {"balance", batch_balance, "does what was issued add up?"},
    {NULL, NULL, NULL},
};

static int print_help(void)
{
    (void)printf(
        "usage: stamp batch VERB ...\n\n"
        "Batches of stamps: made in bulk, on the books, sealed to a station.\n\n");
    for (const struct verb *v = verbs; v->name != NULL; v++) {
        (void)printf("  %-8s %s\n", v->name, v->what);
    }
    (void)printf("\n  -h, --help  this; `stamp batch VERB --help` for one verb\n");
    return cli_flush(CLI_DONE);
}

int cmd_batch(int argc, char **argv)
{
    if (argc < 2) {
        return cli_usage("batch", "a verb is missing");
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        return print_help();
    }
    for (const struct verb *v = verbs; v->name != NULL; v++) {
        if (strcmp(argv[1], v->name) == 0) {
            return v->run(argc - 1, argv + 1);
        }
    }
    return cli_usage("batch", "there is no verb '%s'", argv[1]);
}
