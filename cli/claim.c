#include "host/claim.h"

#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "host/file.h"
#include "host/tty.h"

static const char help[] =
    "usage: stamp claim [OPTION]... --port TTY --label PAYLOAD...\n"
    "\n"
    "Claims a live device as its owner's phone app does, with what is on its label:\n"
    "the device must show that it holds the label's provisioning key before it is\n"
    "told the proof of possession. No workspace is needed: who has the label may\n"
    "claim.\n"
    "\n"
    "Exit status: 0 claimed; 1 no answer, or not possible; 3 the device is not the\n"
    "label's, or refused the proof; 4 it slows down after wrong tries: try again\n"
    "later.\n"
    "\n"
    "  -p, --port TTY          the device's serial port\n"
    "  -l, --label PAYLOAD     what a scanner reads from the label: a claim label\n"
    "                          (STAMP:...), a DPP URI, or ESP provisioning JSON;\n"
    "                          again for a second code. @FILE reads it from a file,\n"
    "                          - from standard input, where secrets belong: others\n"
    "                          can see a command line\n"
    "      --new-label FILE    where the factory was told the proof (it printed the "
    "label),\n"
    "                          the device gets a new one when it is claimed first: its\n"
    "                          claim label goes into this file, of mode 0600\n"
    "      --timeout MS        wait for an answer, 100 to 60000; else 1000, and 10000\n"
    "                          where the device has to compute\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"port", required_argument, NULL, 'p'},
    {"label", required_argument, NULL, 'l'},
    {"new-label", required_argument, NULL, 'n'},
    {"timeout", required_argument, NULL, 'T'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

enum { LABEL_MAX = 4096 };

/* A scanner ends what it types with a line break. */
static size_t without_newline(const uint8_t *text, size_t len)
{
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }
    return len;
}

static enum stamp_err add_stdin(struct stamp_scan *label, struct stamp_error *err)
{
    uint8_t buf[LABEL_MAX + 1];
    size_t len = 0;
    ssize_t n;
    enum stamp_err rc;

    while (len < sizeof buf &&
           (n = read(STDIN_FILENO, buf + len, sizeof buf - len)) > 0) {
        len += (size_t)n;
    }
    if (len == sizeof buf) {
        rc =
            stamp_error_set(err, STAMP_E_SPACE, 0,
                            "what standard input has is longer than %d bytes", LABEL_MAX);
    } else {
        rc = stamp_claim_label_add(label, (const char *)buf, without_newline(buf, len),
                                   err);
    }
    OPENSSL_cleanse(buf, sizeof buf);
    return rc;
}

static enum stamp_err add_file(struct stamp_scan *label, const char *path,
                               struct stamp_error *err)
{
    uint8_t *text;
    size_t len;
    enum stamp_err rc = stamp_file_read(path, LABEL_MAX, &text, &len, err);

    if (rc == STAMP_OK) {
        rc = stamp_claim_label_add(label, (const char *)text, without_newline(text, len),
                                   err);
        OPENSSL_cleanse(text, len);
        free(text);
    }
    return rc;
}

static enum stamp_err add(struct stamp_scan *label, const char *what,
                          struct stamp_error *err)
{
    if (strcmp(what, "-") == 0) {
        return add_stdin(label, err);
    }
    if (what[0] == '@') {
        return add_file(label, what + 1, err);
    }
    return stamp_claim_label_add(label, what, strlen(what), err);
}

/* Nothing is overwritten; after a claim that was cut short it is the same one again. */
static enum stamp_err keep_label(void *path, struct stamp_slice text,
                                 struct stamp_error *err)
{
    uint8_t *is = NULL;
    size_t len;
    bool same = access(path, F_OK) == 0 &&
                stamp_file_read(path, LABEL_MAX, &is, &len, NULL) == STAMP_OK &&
                len == text.len + 1 && CRYPTO_memcmp(is, text.p, text.len) == 0;
    char line[LABEL_MAX];
    enum stamp_err rc = STAMP_OK;

    if (is != NULL) {
        OPENSSL_cleanse(is, len);
        free(is);
    }
    if (!same) {
        (void)snprintf(line, sizeof line, "%.*s\n", (int)text.len, text.p);
        rc = stamp_file_write(path, line, text.len + 1, STAMP_FILE_SECRET, false, err);
        OPENSSL_cleanse(line, sizeof line);
    }
    return rc;
}

static enum stamp_err claim(const char *port, const struct stamp_scan *label,
                            char *new_label, uint64_t timeout_ms, struct stamp_error *err)
{
    STAMP_TTY_AUTO struct stamp_tty *tty = NULL;
    struct stamp_claim_result result;
    struct stamp_smp_client client;
    struct stamp_smp_line line;
    enum stamp_err rc = stamp_claim_label_check(label, err);

    if (rc == STAMP_OK) {
        rc = stamp_tty_open(&tty, port, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    line = stamp_smp_tty_line(tty);
    stamp_smp_client_init(&client, &line);
    if (timeout_ms != 0) {
        client.read_ms = (int)timeout_ms;
        client.write_ms = (int)timeout_ms;
    }
    rc = stamp_claim_run(&client, label, new_label == NULL ? NULL : keep_label, new_label,
                         &result, err);
    if (rc == STAMP_OK) {
        (void)printf("%s\tclaimed: %s\n", result.serial, result.product);
    }
    if (rc == STAMP_OK && result.renewed) {
        (void)printf("  the old label is void; the new one is in '%s'\n", new_label);
    }
    return rc;
}

int cmd_claim(int argc, char **argv)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_scan label;
    enum stamp_err rc = STAMP_OK;
    const char *port = NULL;
    char *new_label = NULL;
    uint64_t timeout_ms = 0;
    bool labelled = false;
    int status = CLI_DONE;
    int opt;

    memset(&label, 0, sizeof label);
    while (status == CLI_DONE &&
           (opt = getopt_long(argc, argv, "p:l:h", options, NULL)) != -1) {
        switch (opt) {
        case 'p':
            port = optarg;
            break;
        case 'l':
            labelled = true;
            rc = rc != STAMP_OK ? rc : add(&label, optarg, &err);
            break;
        case 'n':
            new_label = optarg;
            break;
        case 'T':
            if (!cli_number(optarg, 100, 60000, &timeout_ms)) {
                status = cli_usage("claim", "'%s' is no time of 100 to 60000 ms", optarg);
            }
            break;
        case 'h':
            stamp_scan_fini(&label);
            return cli_help(help);
        default:
            status = cli_bad_option("claim");
        }
    }
    if (status == CLI_DONE && (port == NULL || !labelled)) {
        status = cli_usage("claim", "%s is missing",
                           port == NULL ? "--port TTY" : "--label PAYLOAD");
    } else if (status == CLI_DONE && optind != argc) {
        status = cli_usage("claim", "there is one argument too many");
    }
    if (status == CLI_DONE) {
        rc = rc != STAMP_OK ? rc : claim(port, &label, new_label, timeout_ms, &err);
        status = rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
    }
    stamp_scan_fini(&label);
    return status;
}
