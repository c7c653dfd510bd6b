#include "cli/registry_print.h"

#include <stdio.h>
#include <string.h>

#include "cli/print_json.h"
#include "host/registry_json.h"

/* RFC 4180 */
static void put_csv(const char *text, char end)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;

    if (quoted) {
        (void)putchar('"');
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"') {
            (void)putchar('"');
        }
        (void)putchar(*p);
    }
    if (quoted) {
        (void)putchar('"');
    }
    (void)putchar(end);
}

enum stamp_err registry_put_row(const struct stamp_registry_row *row,
                                enum registry_format format, bool first,
                                struct stamp_error *err)
{
    struct stamp_registry_text t;
    enum stamp_err rc = stamp_registry_text_of(row, &t, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (format == REGISTRY_PLAIN) {
        (void)printf("%-24s %-9s %s %6s  %s\n", row->serial,
                     stamp_registry_state_name(row->state), t.at, t.batch, row->product);
    } else if (format == REGISTRY_JSON) {
        (void)fputs(first ? "[\n" : ",\n", stdout);
        rc = cli_json_write(stamp_registry_json(row, &t), "", err);
    } else {
        put_csv(row->serial, ',');
        put_csv(stamp_registry_state_name(row->state), ',');
        put_csv(t.at, ',');
        put_csv(row->product, ',');
        put_csv(t.batch, ',');
        put_csv(t.fingerprint, ',');
        put_csv(t.certificate_serial, ',');
        put_csv(row->chip, ',');
        put_csv(row->file == NULL ? "" : row->file, ',');
        put_csv(t.certificate, '\n');
    }
    stamp_registry_text_fini(&t);
    return rc;
}

void registry_put_head(enum registry_format format)
{
    if (format == REGISTRY_PLAIN) {
        (void)printf("%-24s %-9s %-20s %6s  %s\n", "SERIAL", "STATE", "SINCE", "BATCH",
                     "PRODUCT");
    } else if (format == REGISTRY_CSV) {
        (void)puts("serial,state,since,product,batch,fingerprint,certificate_serial,"
                   "chip,file,certificate");
    }
}

void registry_put_end(enum registry_format format, bool none)
{
    if (format == REGISTRY_JSON) {
        (void)puts(none ? "[]" : "\n]");
    }
}
