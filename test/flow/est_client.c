/*
 * An EST client for tests, on OpenSSL alone and none of our code: what no ready one can
 * do (proof of possession of a TLS 1.3 connection; bodies of every style; what is not
 * EST at all).
 *
 * usage: est_client [OPTION]... HOST:PORT
 *   --ca F --cert F --key F   --tls 1.2|1.3   --op PATH (simpleenroll)
 *   --new-key F    sign the request with this key; made where the file is not there
 *   --like F       subject and subjectAltName of this certificate; --serial S: this one
 *   --link good|bad|none   --style line|wrapped|pem|bare   --auth VALUE   --body F
 *   --times N      the same on one connection   --out F: the certificate, PEM
 *
 * Prints "STATUS 200" and the text of an error; exits 0 where there was an answer.
 */
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *ca, *cert, *key, *op = "simpleenroll", *new_key, *like, *serial, *out;
static const char *version = "1.3", *link_how = "none", *style = "line", *auth,
                  *body_file;
static int times = 1;

static void die(const char *what)
{
    (void)fprintf(stderr, "est_client: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static EVP_PKEY *get_key(const char *path)
{
    FILE *f = fopen(path, "r");
    EVP_PKEY *k;

    if (f != NULL) {
        k = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        (void)fclose(f);
        return k;
    }
    k = EVP_EC_gen("P-256");
    f = fopen(path, "w");
    if (k == NULL || f == NULL ||
        PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL) != 1) {
        die("cannot make a key");
    }
    (void)fclose(f);
    return k;
}

static X509 *get_cert(const char *path)
{
    FILE *f = fopen(path, "r");
    X509 *c = f == NULL ? NULL : PEM_read_X509(f, NULL, NULL, NULL);

    if (c == NULL) {
        die("cannot read a certificate");
    }
    (void)fclose(f);
    return c;
}

/* RFC 7030 3.5, RFC 9266 */
static void binding(SSL *ssl, char *text)
{
    unsigned char b[64];
    size_t len = 32;

    if (SSL_version(ssl) == TLS1_3_VERSION) {
        if (SSL_export_keying_material(ssl, b, len, "EXPORTER-Channel-Binding", 24,
                                       (const unsigned char *)"", 0, 1) != 1) {
            die("no exporter");
        }
    } else {
        len = SSL_get_finished(ssl, b, sizeof b);
    }
    if (strcmp(link_how, "bad") == 0) {
        b[0] ^= 1;
    }
    (void)EVP_EncodeBlock((unsigned char *)text, b, (int)len);
}

static void add_names(X509_REQ *req)
{
    X509_NAME *name = X509_NAME_new();

    if (like != NULL) {
        X509 *c = get_cert(like);
        int at = X509_get_ext_by_NID(c, NID_subject_alt_name, -1);
        STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();

        (void)X509_REQ_set_subject_name(req, X509_get_subject_name(c));
        if (at >= 0) {
            (void)sk_X509_EXTENSION_push(list, X509_get_ext(c, at));
            (void)X509_REQ_add_extensions(req, list);
        }
        sk_X509_EXTENSION_free(list);
        X509_free(c);
    } else if (serial != NULL) {
        (void)X509_NAME_add_entry_by_txt(name, "serialNumber", MBSTRING_UTF8,
                                         (const unsigned char *)serial, -1, -1, 0);
        (void)X509_REQ_set_subject_name(req, name);
    }
    X509_NAME_free(name);
}

static unsigned char *request(SSL *ssl, int *len)
{
    X509_REQ *req = X509_REQ_new();
    EVP_PKEY *k = get_key(new_key);
    unsigned char *der = NULL;
    char text[128];

    (void)X509_REQ_set_version(req, 0);
    add_names(req);
    (void)X509_REQ_set_pubkey(req, k);
    if (strcmp(link_how, "none") != 0) {
        binding(ssl, text);
        (void)X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, MBSTRING_ASC,
                                        (const unsigned char *)text, -1);
    }
    if (X509_REQ_sign(req, k, EVP_sha256()) == 0) {
        die("cannot sign a request");
    }
    *len = i2d_X509_REQ(req, &der);
    X509_REQ_free(req);
    EVP_PKEY_free(k);
    return der;
}

static size_t put(char *to, const char *text)
{
    memcpy(to, text, strlen(text));
    return strlen(text);
}

static size_t encode(const unsigned char *der, int len, char *to)
{
    size_t n = 0;
    int step = strcmp(style, "line") == 0 || strcmp(style, "bare") == 0 ? len : 48;

    if (strcmp(style, "pem") == 0) {
        n += put(to, "-----BEGIN CERTIFICATE REQUEST-----\n");
    }
    for (int at = 0; at < len; at += step) {
        n += (size_t)EVP_EncodeBlock((unsigned char *)to + n, der + at,
                                     len - at < step ? len - at : step);
        if (strcmp(style, "bare") != 0) {
            to[n++] = '\n';
        }
    }
    if (strcmp(style, "pem") == 0) {
        n += put(to + n, "-----END CERTIFICATE REQUEST-----\n");
    }
    return n;
}

static int connect_to(char *where)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *a;
    char *colon = strrchr(where, ':');
    int fd;

    if (colon == NULL) {
        die("HOST:PORT is missing");
    }
    *colon = '\0';
    if (getaddrinfo(where, colon + 1, &hints, &a) != 0) {
        die("no such host");
    }
    fd = socket(a->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        die("cannot connect");
    }
    freeaddrinfo(a);
    return fd;
}

static SSL *handshake(int fd)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int v = strcmp(version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL *ssl;

    (void)SSL_CTX_set_min_proto_version(ctx, v);
    (void)SSL_CTX_set_max_proto_version(ctx, v);
    if (ca != NULL && SSL_CTX_load_verify_locations(ctx, ca, NULL) == 1) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    if (cert != NULL && (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
                         SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)) {
        die("cannot use the certificate");
    }
    ssl = SSL_new(ctx);
    (void)SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1) {
        die("the handshake fails");
    }
    SSL_CTX_free(ctx);
    return ssl;
}

static void take_certificate(char *text)
{
    BIO *mem = BIO_push(BIO_new(BIO_f_base64()), BIO_new_mem_buf(text, -1));
    PKCS7 *p7;
    FILE *f = fopen(out, "w");

    if (strchr(text, '\n') != NULL && strchr(text, '\n') - text > 76) {
        BIO_set_flags(mem, BIO_FLAGS_BASE64_NO_NL);
    }
    p7 = d2i_PKCS7_bio(mem, NULL);
    if (p7 == NULL || f == NULL || sk_X509_num(p7->d.sign->cert) != 1) {
        die("no certs-only answer with one certificate");
    }
    (void)PEM_write_X509(f, sk_X509_value(p7->d.sign->cert, 0));
    (void)fclose(f);
    PKCS7_free(p7);
    BIO_free_all(mem);
}

static void answer(SSL *ssl)
{
    static char text[65536];
    size_t n = 0;
    char *head_end = NULL;
    char *length;
    size_t want = sizeof text - 1;

    while (n < want) {
        int got = SSL_read(ssl, text + n, (int)(sizeof text - 1 - n));

        if (got <= 0) {
            break;
        }
        n += (size_t)got;
        text[n] = '\0';
        head_end = strstr(text, "\r\n\r\n");
        length = strstr(text, "Content-Length: ");
        if (head_end != NULL && length != NULL && length < head_end) {
            want = (size_t)(head_end + 4 - text) + strtoul(length + 16, NULL, 10);
        }
    }
    if (head_end == NULL) {
        die("no answer");
    }
    (void)printf("STATUS %.3s\n", text + 9);
    if (strncmp(text + 9, "200", 3) != 0) {
        (void)printf("%s", text);
    } else if (out != NULL) {
        take_certificate(head_end + 4);
    } else {
        (void)printf("%s", head_end + 4);
    }
}

static void ask(SSL *ssl)
{
    static char body[65536];
    static char text[80000];
    size_t len = 0;
    int n;
    bool get = strstr(op, "cacerts") != NULL || strstr(op, "csrattrs") != NULL;

    if (body_file != NULL) {
        FILE *f = fopen(body_file, "r");

        len = f == NULL ? 0 : fread(body, 1, sizeof body, f);
        if (f != NULL) {
            (void)fclose(f);
        }
    } else if (!get) {
        int der_len;
        unsigned char *der = request(ssl, &der_len);

        len = encode(der, der_len, body);
        OPENSSL_free(der);
    }
    n = snprintf(text, sizeof text,
                 "%s /.well-known/est/%s HTTP/1.1\r\nHost: localhost\r\n%s%s%s"
                 "Content-Type: application/pkcs10\r\nContent-Length: %zu\r\n\r\n",
                 get ? "GET" : "POST", op,
                 auth == NULL ? "" : "Authorization: ", auth == NULL ? "" : auth,
                 auth == NULL ? "" : "\r\n", len);
    memcpy(text + n, body, len);
    if (SSL_write(ssl, text, n + (int)len) <= 0) {
        die("cannot send");
    }
    answer(ssl);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        const char **value;
    } options[] = {{"--ca", &ca},       {"--cert", &cert},     {"--key", &key},
                   {"--tls", &version}, {"--op", &op},         {"--new-key", &new_key},
                   {"--like", &like},   {"--serial", &serial}, {"--link", &link_how},
                   {"--style", &style}, {"--auth", &auth},     {"--body", &body_file},
                   {"--out", &out}};
    SSL *ssl;
    int i;

    for (i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--times") == 0) {
            times = (int)strtol(argv[i + 1], NULL, 10);
            continue;
        }
        for (size_t k = 0; k < sizeof options / sizeof options[0]; k++) {
            if (strcmp(argv[i], options[k].name) == 0) {
                *options[k].value = argv[i + 1];
            }
        }
    }
    if (i >= argc) {
        die("HOST:PORT is missing");
    }
    ssl = handshake(connect_to(argv[i]));
    for (int k = 0; k < times; k++) {
        ask(ssl);
    }
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    return 0;
}
