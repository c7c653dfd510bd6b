/*
 * What a token alone takes for a unit: one signature with the key of a label, and one
 * count, that is an object made and the one before it destroyed. Plain PKCS #11 calls,
 * one session, nothing else.
 *
 * usage: token_loop MODULE TOKEN PIN-FILE KEY-LABEL N
 * prints: microseconds a signature, microseconds a count
 */
#include <p11-kit/p11-kit.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 64, PIN_MAX = 64, N_MAX = 1000000 };

static CK_FUNCTION_LIST *f;
static CK_SESSION_HANDLE session;

static void must(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        (void)fprintf(stderr, "token_loop: %s: %s\n", what, p11_kit_strerror(rv));
        exit(1);
    }
}

static double now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void log_in(const char *token, const char *pin_file)
{
    CK_SLOT_ID slots[SLOTS];
    CK_ULONG n = SLOTS;
    char pin[PIN_MAX];
    FILE *file = fopen(pin_file, "r");

    if (file == NULL || fgets(pin, sizeof pin, file) == NULL) {
        (void)fprintf(stderr, "token_loop: no PIN in '%s'\n", pin_file);
        exit(1);
    }
    (void)fclose(file);
    pin[strcspn(pin, "\n")] = '\0';
    must(f->C_GetSlotList(CK_TRUE, slots, &n), "slots");
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;

        must(f->C_GetTokenInfo(slots[i], &info), "token");
        if (strncmp((const char *)info.label, token, strlen(token)) == 0) {
            must(f->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                  NULL, &session),
                 "session");
            must(f->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)), "login");
            return;
        }
    }
    (void)fprintf(stderr, "token_loop: there is no token '%s'\n", token);
    exit(1);
}

static double signatures(const char *label, int n)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    char *name = strdup(label);
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},
                        {CKA_LABEL, name, strlen(label)}};
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG found = 0;
    uint8_t digest[32] = {1};
    double start;

    must(f->C_FindObjectsInit(session, t, 2), "find");
    must(f->C_FindObjects(session, &key, 1, &found), "find");
    must(f->C_FindObjectsFinal(session), "find");
    must(found == 1 ? CKR_OK : CKR_KEY_HANDLE_INVALID, label);
    start = now_us();
    for (int i = 0; i < n; i++) {
        uint8_t sig[64];
        CK_ULONG len = sizeof sig;

        digest[1] = (uint8_t)i;
        must(f->C_SignInit(session, &ecdsa, key), "sign");
        must(f->C_Sign(session, digest, sizeof digest, sig, &len), "sign");
    }
    free(name);
    return (now_us() - start) / n;
}

static double counts(int n)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    char label[] = "bench count";
    uint8_t value[4] = {0};
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},
                        {CKA_TOKEN, &yes, sizeof yes},
                        {CKA_PRIVATE, &yes, sizeof yes},
                        {CKA_LABEL, label, sizeof label - 1},
                        {CKA_VALUE, value, sizeof value}};
    CK_OBJECT_HANDLE old = CK_INVALID_HANDLE;
    double start = now_us();

    for (int i = 0; i < n; i++) {
        CK_OBJECT_HANDLE made;

        value[3] = (uint8_t)i;
        must(f->C_CreateObject(session, t, 5, &made), "count");
        if (old != CK_INVALID_HANDLE) {
            must(f->C_DestroyObject(session, old), "count");
        }
        old = made;
    }
    must(f->C_DestroyObject(session, old), "count");
    return (now_us() - start) / n;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    long n = argc == 6 ? strtol(argv[5], &end, 10) : 0;
    double sign;

    if (n < 1 || n > N_MAX || *end != '\0') {
        (void)fprintf(stderr, "usage: token_loop MODULE TOKEN PIN-FILE KEY-LABEL N\n");
        return 2;
    }
    f = p11_kit_module_load(argv[1], 0);
    must(f == NULL ? CKR_GENERAL_ERROR : p11_kit_module_initialize(f), argv[1]);
    log_in(argv[2], argv[3]);
    sign = signatures(argv[4], (int)n);
    (void)printf("%.1f %.1f\n", sign, counts((int)n));
    (void)p11_kit_module_finalize(f);
    p11_kit_module_release(f);
    return 0;
}
