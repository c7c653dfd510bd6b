/*
 * stamp-agent: a device as a program. Its flash is a file, its serial line a
 * pseudo-terminal; everything between is the code that firmware runs.
 *
 * Prints the terminal's path, then answers until it gets SIGTERM or SIGINT.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "device/agent.h"
#include "device/port/posix/geometry.h"
#include "device/port/posix/posix.h"
#include "device/rotate.h"
#include "device/strike.h"

#ifndef STAMP_AGENT_VERSION
#error "the build says which version this is"
#endif

static const char usage_text[] =
    "usage: stamp-agent --flash-file FILE [options]\n"
    "\n"
    "Plays a device: answers on a pseudo-terminal, whose path it prints, about the "
    "stamp\n"
    "in FILE. Without a stamp there it says so and waits.\n"
    "\n"
    "  --flash-file FILE   the flash; made, erased, where it is missing\n"
    "  --flash-offset N    where the stamp partition begins in FILE (0)\n"
    "  --root-key FILE     32 bytes: items rest encrypted under this key; made at "
    "random\n"
    "                      where it is missing\n"
    "  --birth-size N, --bank-size N, --erase-size N, --program-size N\n"
    "                      the partition's geometry (as the stamp in FILE says, or "
    "8192,\n"
    "                      8192; 4096, 8)\n"
    "  --chip-id HEX       the number in the chip (made from the name of the flash "
    "file)\n"
    "  --owner-hash HEX    SHA-256 of the owner's key, as pinned in a firmware\n"
    "  --fuses FILE        one byte of fuses that the lock burns; made where it is "
    "missing\n"
    "  --key-ms MS         what it takes to make a key, at least\n"
    "  --link PATH         also make PATH a symbolic link to the terminal\n"
    "  --firmware TEXT     what to tell as firmware version\n";

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

struct options {
    struct stamp_posix_config port;
    const char *link;
    const char *firmware;
    uint8_t owner_hash[32];
    uint32_t key_ms;
};

enum option_id {
    OPT_FLASH_FILE = 256,
    OPT_FLASH_OFFSET,
    OPT_ROOT_KEY,
    OPT_BIRTH_SIZE,
    OPT_BANK_SIZE,
    OPT_ERASE_SIZE,
    OPT_PROGRAM_SIZE,
    OPT_CHIP_ID,
    OPT_OWNER_HASH,
    OPT_FUSES,
    OPT_KEY_MS,
    OPT_LINK,
    OPT_FIRMWARE,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"flash-file", required_argument, NULL, OPT_FLASH_FILE},
    {"flash-offset", required_argument, NULL, OPT_FLASH_OFFSET},
    {"root-key", required_argument, NULL, OPT_ROOT_KEY},
    {"birth-size", required_argument, NULL, OPT_BIRTH_SIZE},
    {"bank-size", required_argument, NULL, OPT_BANK_SIZE},
    {"erase-size", required_argument, NULL, OPT_ERASE_SIZE},
    {"program-size", required_argument, NULL, OPT_PROGRAM_SIZE},
    {"chip-id", required_argument, NULL, OPT_CHIP_ID},
    {"owner-hash", required_argument, NULL, OPT_OWNER_HASH},
    {"fuses", required_argument, NULL, OPT_FUSES},
    {"key-ms", required_argument, NULL, OPT_KEY_MS},
    {"link", required_argument, NULL, OPT_LINK},
    {"firmware", required_argument, NULL, OPT_FIRMWARE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static uint32_t number(const char *text, uint32_t max)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v > max) {
        (void)fprintf(stderr, "stamp-agent: '%s' is no number from 0 to %lu\n", text,
                      (unsigned long)max);
        exit(2);
    }
    return (uint32_t)v;
}

/* Bytes of a hexadecimal number. */
static size_t hex(const char *text, uint8_t *out, size_t size)
{
    size_t n = strlen(text) / 2;

    if (strlen(text) % 2 != 0 || n == 0 || n > size ||
        text[strspn(text, "0123456789abcdefABCDEF")] != '\0') {
        (void)fprintf(stderr,
                      "stamp-agent: '%s' is no hexadecimal number of 1 to %zu bytes\n",
                      text, size);
        exit(2);
    }
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n;
}

/* The same board has the same number each time. */
static void number_chip(struct stamp_posix_config *port)
{
    char here[PATH_MAX] = "";
    char name[2 * PATH_MAX];
    uint8_t hash[32];
    size_t len;

    if (port->flash_file[0] != '/' && getcwd(here, sizeof here) == NULL) {
        here[0] = '\0';
    }
    (void)snprintf(name, sizeof name, "%s/%s", here, port->flash_file);
    if (port->chip_id_len == 0 &&
        psa_hash_compute(PSA_ALG_SHA_256, (const uint8_t *)name, strlen(name), hash,
                         sizeof hash, &len) == PSA_SUCCESS) {
        memcpy(port->chip_id, hash, 8);
        port->chip_id_len = 8;
    }
}

static void take_option(int id, struct options *o)
{
    switch (id) {
    case OPT_FLASH_FILE:
        o->port.flash_file = optarg;
        break;
    case OPT_FLASH_OFFSET:
        o->port.flash_off = number(optarg, UINT32_MAX);
        break;
    case OPT_ROOT_KEY:
        o->port.root_key_file = optarg;
        break;
    case OPT_BIRTH_SIZE:
        o->port.birth_size = number(optarg, UINT32_MAX);
        break;
    case OPT_BANK_SIZE:
        o->port.bank_size = number(optarg, UINT32_MAX);
        break;
    case OPT_ERASE_SIZE:
        o->port.erase_size = number(optarg, UINT32_MAX);
        break;
    case OPT_PROGRAM_SIZE:
        o->port.program_size = (uint16_t)number(optarg, 64);
        break;
    case OPT_CHIP_ID:
        o->port.chip_id_len = hex(optarg, o->port.chip_id, sizeof o->port.chip_id);
        break;
    case OPT_OWNER_HASH:
        if (hex(optarg, o->owner_hash, sizeof o->owner_hash) != sizeof o->owner_hash) {
            (void)fputs("stamp-agent: an owner hash is 64 hexadecimal digits\n", stderr);
            exit(2);
        }
        o->port.owner_key_hash = o->owner_hash;
        break;
    case OPT_FUSES:
        o->port.fuse_file = optarg;
        break;
    case OPT_KEY_MS:
        o->key_ms = number(optarg, 60000);
        break;
    case OPT_LINK:
        o->link = optarg;
        break;
    case OPT_FIRMWARE:
        o->firmware = optarg;
        break;
    case OPT_HELP:
        (void)fputs(usage_text, stdout);
        exit(0);
    default:
        (void)fputs("try: stamp-agent --help\n", stderr);
        exit(2);
    }
}

static void parse(int argc, char **argv, struct options *o)
{
    int id;

    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        take_option(id, o);
    }
    if (o->port.flash_file == NULL || optind != argc) {
        (void)fputs("stamp-agent: give the flash with --flash-file FILE\n"
                    "try: stamp-agent --help\n",
                    stderr);
        exit(2);
    }
}

struct terminal {
    int master;
    int slave; /* kept open, so that the master never sees a hang-up */
    char path[64];
};

/* Raw, as a serial line is: nothing is echoed or changed. */
static int terminal_open(struct terminal *t)
{
    struct termios raw;
    const char *name;

    t->slave = -1;
    t->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (t->master < 0 || grantpt(t->master) != 0 || unlockpt(t->master) != 0 ||
        (name = ptsname(t->master)) == NULL || strlen(name) >= sizeof t->path) {
        return -1;
    }
    memcpy(t->path, name, strlen(name) + 1);
    t->slave = open(t->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (t->slave < 0 || tcgetattr(t->slave, &raw) != 0) {
        return -1;
    }
    cfmakeraw(&raw);
    return tcsetattr(t->slave, TCSANOW, &raw);
}

static void terminal_close(struct terminal *t)
{
    if (t->slave >= 0) {
        (void)close(t->slave);
    }
    if (t->master >= 0) {
        (void)close(t->master);
    }
}

static void send_line(void *ctx, const uint8_t *line, size_t len)
{
    const struct terminal *t = ctx;

    while (len > 0) {
        ssize_t n = write(t->master, line, len);

        if (n < 0 && errno != EINTR) {
            return; /* a line that nobody takes is lost, as on a wire */
        }
        if (n > 0) {
            line += n;
            len -= (size_t)n;
        }
    }
}

/* Large, and so not on the stack. */
static struct stamp_posix port;
static struct stamp_device device;
static struct stamp_agent agent;
static struct stamp_strike strike;
static uint8_t strike_room[STAMP_STRIKE_BUFFER];
static struct stamp_rotate rotate;
static uint8_t rotate_room[STAMP_ROTATE_BUFFER];

static uint32_t key_delay_ms;

/* A board's crypto takes its time: linked in the place of the library's function. */
psa_status_t __real_psa_generate_key(const psa_key_attributes_t *attr, psa_key_id_t *id);
psa_status_t __wrap_psa_generate_key(const psa_key_attributes_t *attr, psa_key_id_t *id);

psa_status_t __wrap_psa_generate_key(const psa_key_attributes_t *attr, psa_key_id_t *id)
{
    struct timespec t = {key_delay_ms / 1000, key_delay_ms % 1000 * 1000000L};

    (void)nanosleep(&t, NULL);
    return __real_psa_generate_key(attr, id);
}

/* What power on does: everything in RAM begins anew. */
static void boot(struct stamp_agent *a, const struct stamp_agent_config *config)
{
    struct stamp_agent_config c = *config;

    stamp_agent_fini(a);
    port.restart = false;
    memset(strike_room, 0, sizeof strike_room);
    stamp_strike_init(&strike, strike_room, sizeof strike_room);
    memset(rotate_room, 0, sizeof rotate_room);
    stamp_rotate_init(&rotate, rotate_room, sizeof rotate_room);
    c.opened = stamp_device_open(&device, &port.port);
    stamp_agent_init(a, &c);
}

/* `unblocked` is the signal mask while waiting: the signals that end the program arrive
 * only there, so none is missed. */
static void serve(const struct terminal *t, const sigset_t *unblocked,
                  const struct stamp_agent_config *config)
{
    struct pollfd p = {.fd = t->master, .events = POLLIN};

    while (!stop) {
        uint8_t buf[256];
        ssize_t n;

        if (ppoll(&p, 1, NULL, unblocked) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return;
        }
        n = read(t->master, buf, sizeof buf);
        if (n < 0 && errno != EINTR) {
            return;
        }
        for (ssize_t i = 0; i < n; i++) {
            stamp_agent_input(&agent, buf[i]);
            if (port.restart) {
                boot(&agent, config);
            }
        }
    }
}

static void catch_signals(sigset_t *unblocked)
{
    struct sigaction action;
    sigset_t both;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigemptyset(&both);
    (void)sigaddset(&both, SIGTERM);
    (void)sigaddset(&both, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &both, unblocked);
}

static int link_terminal(const char *link_path, const char *path)
{
    if (link_path == NULL) {
        return 0;
    }
    (void)unlink(link_path);
    return symlink(path, link_path);
}

static void say_what_it_is(const struct terminal *t, enum stamp_err opened)
{
    char serial[STAMP_MAX_TEXT + 1] = "";
    size_t len = 0;

    (void)printf("%s\n", t->path);
    if (opened == STAMP_OK && stamp_get_string(&device, STAMP_BIRTH, STAMP_SERIAL, serial,
                                               sizeof serial - 1, &len) == STAMP_OK) {
        (void)printf("stamp %.*s%s\n", (int)len, serial, device.locked ? ", locked" : "");
    } else {
        (void)printf("%s; waiting\n",
                     opened == STAMP_E_BLANK ? "no stamp" : "stamp damaged");
    }
    (void)fflush(stdout);
}

static int run(const struct options *o, struct terminal *t)
{
    sigset_t unblocked;
    struct stamp_agent_config config = {
        .dev = &device,
        .firmware = o->firmware,
        .tx = send_line,
        .tx_ctx = t,
        .more = {&strike.more, &rotate.more},
    };

    if (terminal_open(t) != 0 || link_terminal(o->link, t->path) != 0) {
        (void)fprintf(stderr, "stamp-agent: cannot make a terminal: %s\n",
                      strerror(errno));
        return 1;
    }
    catch_signals(&unblocked);
    config.opened = stamp_device_open(&device, &port.port);
    stamp_strike_init(&strike, strike_room, sizeof strike_room);
    stamp_rotate_init(&rotate, rotate_room, sizeof rotate_room);
    stamp_agent_init(&agent, &config);
    say_what_it_is(t, config.opened);
    serve(t, &unblocked, &config);
    stamp_agent_fini(&agent);
    if (o->link != NULL) {
        (void)unlink(o->link);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.firmware = STAMP_AGENT_VERSION};
    struct terminal t = {.master = -1, .slave = -1};
    enum stamp_err err;
    int status;

    parse(argc, argv, &o);
    if (psa_crypto_init() != PSA_SUCCESS) {
        (void)fputs("stamp-agent: the crypto library does not start\n", stderr);
        return 1;
    }
    number_chip(&o.port);
    key_delay_ms = o.key_ms;
    stamp_posix_geometry(&o.port);
    err = stamp_posix_open(&port, &o.port);
    if (err != STAMP_OK) {
        (void)fprintf(stderr, "stamp-agent: cannot use '%s' as flash: %s\n",
                      o.port.flash_file,
                      err == STAMP_E_RANGE  ? "the geometry does not fit"
                      : err == STAMP_E_BUSY ? "another process has it"
                                            : strerror(errno));
        return 1;
    }
    status = run(&o, &t);
    terminal_close(&t);
    stamp_posix_close(&port);
    mbedtls_psa_crypto_free();
    return status;
}
