/* `stamp lock`: the stage of its own for orders that do not lock at the strike. */
#include <getopt.h>
#include <stdio.h>

#include "cli/station.h"
#include "host/registry_order.h"
#include "host/tty.h"
#include "station/slot.h"

static const char help[] =
    "usage: stamp lock --port TTY [OPTION]...\n"
    "\n"
    "Locks the unit on a port for good: write protection, flash encryption and debug\n"
    "off, as far as the chip has them. The unit must prove itself before; afterwards it\n"
    "restarts, says that all is in force, and proves itself again.\n"
    "\n"
    "  -p, --port TTY          the serial port\n"
    "      --trust PEM         the root to believe, instead of the workspace's\n"
    "      --book              also note it on the books, so that it may be shipped\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"port", required_argument, NULL, 'p'}, {"trust", required_argument, NULL, 'T'},
    {"book", no_argument, NULL, 'b'},       {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
};

static int run(const char *port, const char *pem, const char *workspace, bool book)
{
    STAMP_TRUST_AUTO *trust = NULL;
    STAMP_REGISTRY_AUTO *books = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_tty *tty = NULL;
    struct stamp_smp_line wire;
    struct stamp_smp_client client;
    char serial[STAMP_SERIAL_SIZE] = "";
    enum stamp_err rc = cli_trust(pem, workspace, &trust, &err);

    if (rc == STAMP_OK && book) {
        rc = cli_books(workspace, &books, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_tty_open(&tty, port, &err);
    }
    if (rc == STAMP_OK) {
        wire = stamp_smp_tty_line(tty);
        stamp_smp_client_init(&client, &wire);
        rc = stamp_slot_lock(&client, trust, serial, &err);
    }
    stamp_tty_free(&tty);
    if (rc == STAMP_OK && book) {
        rc = stamp_registry_locked(books, serial, &err);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, serial[0] == '\0'
                                      ? "nothing was changed"
                                      : "the unit may be locked in part: run it again");
    }
    (void)printf("%s locked\n", serial);
    return cli_flush(CLI_DONE);
}

int cmd_lock(int argc, char **argv)
{
    const char *port = NULL;
    const char *pem = NULL;
    const char *workspace = NULL;
    bool book = false;
    int opt;

    while ((opt = getopt_long(argc, argv, "p:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'p':
            port = optarg;
            break;
        case 'T':
            pem = optarg;
            break;
        case 'b':
            book = true;
            break;
        case 'C':
            workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("lock");
        }
    }
    if (optind != argc || port == NULL) {
        return cli_usage("lock", "give the port: --port TTY, and nothing else");
    }
    return run(port, pem, workspace, book);
}
