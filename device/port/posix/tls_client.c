/*
 * A TLS client whose identity is its stamp: what a device with a network does.
 *
 * The private key goes from the stamp into PSA and stays there; the TLS library only gets
 * to ask for signatures. The servers to trust come from the stamp's trust bundle, once
 * its owner's signature is checked, or from a file.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mbedtls/error.h"
#include "mbedtls/net_sockets.h"
#include "mbedtls/psa_util.h"
#include "mbedtls/ssl.h"

#include "device/device.h"
#include "device/port/posix/geometry.h"
#include "device/port/posix/posix.h"

static const char usage_text[] =
    "usage: stamp-tls-client --flash-file FILE --connect HOST:PORT [options]\n"
    "\n"
    "Opens the stamp in FILE, shakes hands with a TLS 1.2 server as this device, sends "
    "one\n"
    "line and prints what comes back.\n"
    "\n"
    "  --flash-file FILE     the flash, as for stamp-agent\n"
    "  --root-key FILE       where items rest encrypted\n"
    "  --birth-size N, --bank-size N, --erase-size N, --flash-offset N\n"
    "                        the partition (as the stamp in FILE says; 4096, 0)\n"
    "  --connect HOST:PORT   the server\n"
    "  --name NAME           the name its certificate must have (HOST)\n"
    "  --ca FILE             PEM: trust these authorities for servers; without it, the\n"
    "                        anchors of the stamp's trust bundle\n"
    "  --newest              the operational identity where there is one\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 one side is not authentic to the other.\n";

struct options {
    struct stamp_posix_config port;
    char host[256];
    const char *service;
    const char *name;
    const char *ca;
    enum stamp_which which;
};

/* What is open while it runs; all of it is freed at the end, whatever happened. */
struct client {
    struct stamp_posix posix;
    struct stamp_device device;
    psa_key_id_t key;
    mbedtls_pk_context pk;
    mbedtls_x509_crt chain;
    mbedtls_x509_crt servers;
    mbedtls_net_context socket;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    uint8_t buf[STAMP_MAX_LEN];
};

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_NOT_AUTHENTIC = 3 };

static int usage_error(const char *what)
{
    (void)fprintf(stderr, "stamp-tls-client: %s\ntry: stamp-tls-client --help\n", what);
    return STATUS_USAGE;
}

static int take_number(const char *text, uint32_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 0);

    *out = (uint32_t)v;
    return end == text || *end != '\0' || v > UINT32_MAX ? -1 : 0;
}

static int take_connect(const char *text, struct options *o)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;

    if (len == 0 || len >= sizeof o->host || colon[1] == '\0') {
        return -1;
    }
    memcpy(o->host, text, len);
    o->host[len] = '\0';
    o->service = colon + 1;
    return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"flash-file", required_argument, NULL, 'f'},
        {"root-key", required_argument, NULL, 'k'},
        {"birth-size", required_argument, NULL, 'b'},
        {"bank-size", required_argument, NULL, 'o'},
        {"erase-size", required_argument, NULL, 'e'},
        {"flash-offset", required_argument, NULL, 'F'},
        {"connect", required_argument, NULL, 'c'},
        {"name", required_argument, NULL, 'n'},
        {"ca", required_argument, NULL, 'a'},
        {"newest", no_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int bad = 0;
    int id;

    while ((id = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (id) {
        case 'f':
            o->port.flash_file = optarg;
            break;
        case 'k':
            o->port.root_key_file = optarg;
            break;
        case 'b':
            bad |= take_number(optarg, &o->port.birth_size);
            break;
        case 'o':
            bad |= take_number(optarg, &o->port.bank_size);
            break;
        case 'e':
            bad |= take_number(optarg, &o->port.erase_size);
            break;
        case 'F':
            bad |= take_number(optarg, &o->port.flash_off);
            break;
        case 'c':
            bad |= take_connect(optarg, o);
            break;
        case 'n':
            o->name = optarg;
            break;
        case 'a':
            o->ca = optarg;
            break;
        case 'w':
            o->which = STAMP_NEWEST;
            break;
        case 'h':
            (void)fputs(usage_text, stdout);
            exit(0);
        default:
            return usage_error("that is no option of it");
        }
    }
    if (bad != 0 || optind != argc) {
        return usage_error("an argument makes no sense");
    }
    if (o->port.flash_file == NULL || o->service == NULL) {
        return usage_error("give --flash-file and --connect");
    }
    o->name = o->name != NULL ? o->name : o->host;
    return 0;
}

static int failed(const char *what, int native)
{
    char text[128] = "";

    if (native != 0) {
        mbedtls_strerror(native, text, sizeof text);
    }
    (void)fprintf(stderr, "stamp-tls-client: %s%s%s\n", what, native != 0 ? ": " : "",
                  text);
    return STATUS_FAILED;
}

/* ---- the identity ---- */

/* Certificates as an item holds them: an array of DER. */
static int parse_certificates(struct stamp_cbor *c, mbedtls_x509_crt *out)
{
    uint32_t n = stamp_cbor_expect(c, STAMP_CBOR_ARRAY);

    while (n-- > 0 && c->err == STAMP_OK) {
        struct stamp_slice der =
            stamp_cbor_string(c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);

        if (c->err != STAMP_OK || mbedtls_x509_crt_parse_der(out, der.p, der.len) != 0) {
            return -1;
        }
    }
    return c->err == STAMP_OK ? 0 : -1;
}

static int open_identity(struct client *c, struct options *o)
{
    struct stamp_cbor items;
    enum stamp_err err;
    size_t len;

    stamp_posix_geometry(&o->port);
    if (stamp_posix_open(&c->posix, &o->port) != STAMP_OK) {
        return failed("cannot open the flash file", 0);
    }
    err = stamp_device_open(&c->device, &c->posix.port);
    if (err != STAMP_OK) {
        return failed(err == STAMP_E_BLANK ? "there is no stamp in the flash file"
                                           : "the stamp is damaged, or not for this key",
                      0);
    }
    if (stamp_key_load(&c->device, o->which, STAMP_DEVICE_KEY, &c->key) != STAMP_OK) {
        return failed("cannot load the device key into PSA", 0);
    }
    if (mbedtls_pk_setup_opaque(&c->pk, c->key) != 0) {
        return failed("the TLS library does not take the key", 0);
    }
    if (stamp_get(&c->device, o->which, STAMP_CERTIFICATES, c->buf, sizeof c->buf,
                  &len) != STAMP_OK) {
        return failed("cannot read the certificates", 0);
    }
    stamp_cbor_init(&items, c->buf, len);
    if (parse_certificates(&items, &c->chain) != 0) {
        return failed("cannot parse the certificates", 0);
    }
    return 0;
}

/* The bundle counts once it is the owner's whose key hash the birth stamp holds: SPEC
 * 8-4. (Firmware of a product pins that hash; see device/port.h.) */
static int trust_bundle(struct client *c)
{
    struct stamp_bundle b;
    uint8_t owner_hash[32];
    uint8_t hash[32];
    size_t len;

    if (stamp_get_string(&c->device, STAMP_BIRTH, STAMP_OWNER_KEY_HASH, owner_hash,
                         sizeof owner_hash, &len) != STAMP_OK ||
        len != sizeof owner_hash ||
        stamp_get(&c->device, STAMP_NEWEST, STAMP_TRUST_BUNDLE, c->buf, sizeof c->buf,
                  &len) != STAMP_OK ||
        stamp_bundle_decode(&b, c->buf, len) != STAMP_OK ||
        psa_hash_compute(PSA_ALG_SHA_256, b.owner.p, b.owner.len, hash, sizeof hash,
                         &len) != PSA_SUCCESS ||
        memcmp(hash, owner_hash, sizeof hash) != 0 ||
        stamp_verify_point(b.owner.p, STAMP_LABEL_BUNDLE, b.payload.p, b.payload.len,
                           b.signature.p) != STAMP_OK) {
        return failed("the stamp's trust bundle is not its owner's", 0);
    }
    for (uint8_t i = 0; i < b.n_anchors; i++) {
        if (mbedtls_x509_crt_parse_der(&c->servers, b.anchors[i].p, b.anchors[i].len) !=
            0) {
            return failed("cannot parse an anchor of the trust bundle", 0);
        }
    }
    return 0;
}

/* ---- the connection ---- */

static int set_up(struct client *c, const struct options *o)
{
    /* The stamp's key signs SHA-256 only, and this suite asks for no other. */
    static const int suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0};
    int rc = mbedtls_ssl_config_defaults(&c->config, MBEDTLS_SSL_IS_CLIENT,
                                         MBEDTLS_SSL_TRANSPORT_STREAM,
                                         MBEDTLS_SSL_PRESET_DEFAULT);

    if (rc != 0) {
        return failed("cannot set TLS up", rc);
    }
    mbedtls_ssl_conf_min_version(&c->config, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_ciphersuites(&c->config, suites);
    mbedtls_ssl_conf_rng(&c->config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_authmode(&c->config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&c->config, &c->servers, NULL);
    rc = mbedtls_ssl_conf_own_cert(&c->config, &c->chain, &c->pk);
    rc = rc != 0 ? rc : mbedtls_ssl_setup(&c->ssl, &c->config);
    rc = rc != 0 ? rc : mbedtls_ssl_set_hostname(&c->ssl, o->name);
    if (rc != 0) {
        return failed("cannot set TLS up", rc);
    }
    mbedtls_ssl_set_bio(&c->ssl, &c->socket, mbedtls_net_send, mbedtls_net_recv, NULL);
    rc = mbedtls_net_connect(&c->socket, o->host, o->service, MBEDTLS_NET_PROTO_TCP);
    return rc != 0 ? failed("cannot connect", rc) : 0;
}

static int shake_hands(struct client *c)
{
    char why[256] = "";
    int rc;

    do {
        rc = mbedtls_ssl_handshake(&c->ssl);
    } while (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE);
    if (rc == 0) {
        (void)printf("handshake done: %s, %s\n", mbedtls_ssl_get_version(&c->ssl),
                     mbedtls_ssl_get_ciphersuite(&c->ssl));
        return 0;
    }
    if (rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
        (void)mbedtls_x509_crt_verify_info(why, sizeof why, "",
                                           mbedtls_ssl_get_verify_result(&c->ssl));
        why[strcspn(why, "\n")] = '\0';
        (void)fprintf(stderr, "stamp-tls-client: the server is not trusted: %s\n", why);
        return STATUS_NOT_AUTHENTIC;
    }
    if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        (void)fputs("stamp-tls-client: the server refused this device's certificate or "
                    "handshake\n",
                    stderr);
        return STATUS_NOT_AUTHENTIC;
    }
    return failed("the handshake failed", rc);
}

static int talk(struct client *c)
{
    static const char line[] = "hello from a stamp\n";
    int rc = mbedtls_ssl_write(&c->ssl, (const unsigned char *)line, sizeof line - 1);

    if (rc != sizeof line - 1) {
        return failed("cannot send", rc);
    }
    rc = mbedtls_ssl_read(&c->ssl, c->buf, sizeof c->buf - 1);
    if (rc > 0) {
        (void)fwrite(c->buf, 1, (size_t)rc, stdout);
    } else if (rc != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY && rc != 0) {
        return failed("cannot receive", rc);
    }
    (void)mbedtls_ssl_close_notify(&c->ssl);
    return 0;
}

static int run(struct client *c, struct options *o)
{
    char serial[STAMP_MAX_TEXT + 1] = "";
    size_t len = 0;
    int status = open_identity(c, o);

    if (status != 0) {
        return status;
    }
    if (o->ca != NULL) {
        status = mbedtls_x509_crt_parse_file(&c->servers, o->ca) != 0
                     ? failed("cannot read the authorities in --ca", 0)
                     : 0;
    } else {
        status = trust_bundle(c);
    }
    if (status == 0 && stamp_get_string(&c->device, STAMP_BIRTH, STAMP_SERIAL, serial,
                                        sizeof serial - 1, &len) == STAMP_OK) {
        (void)printf("device %.*s\n", (int)len, serial);
    }
    status = status != 0 ? status : set_up(c, o);
    status = status != 0 ? status : shake_hands(c);
    return status != 0 ? status : talk(c);
}

int main(int argc, char **argv)
{
    static struct client c; /* large, and so not on the stack */
    struct options o = {.which = STAMP_BIRTH};
    int status = parse(argc, argv, &o);

    if (status != 0) {
        return status;
    }
    if (psa_crypto_init() != PSA_SUCCESS) {
        return failed("the crypto library does not start", 0);
    }
    c.key = PSA_KEY_ID_NULL;
    c.posix.fd = -1;
    mbedtls_pk_init(&c.pk);
    mbedtls_x509_crt_init(&c.chain);
    mbedtls_x509_crt_init(&c.servers);
    mbedtls_net_init(&c.socket);
    mbedtls_ssl_config_init(&c.config);
    mbedtls_ssl_init(&c.ssl);

    status = run(&c, &o);

    mbedtls_ssl_free(&c.ssl);
    mbedtls_ssl_config_free(&c.config);
    mbedtls_net_free(&c.socket);
    mbedtls_x509_crt_free(&c.servers);
    mbedtls_x509_crt_free(&c.chain);
    mbedtls_pk_free(&c.pk);
    stamp_key_unload(c.key);
    if (c.posix.fd >= 0) {
        stamp_posix_close(&c.posix);
    }
    mbedtls_psa_crypto_free();
    return status;
}
