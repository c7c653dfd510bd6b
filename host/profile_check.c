/* A document against a libcyaml schema, with the place of each mistake; see
 * profile_pos.h. */
#include <stdio.h>
#include <string.h>

#include "host/profile_pos.h"

/* A place in the document that is being checked: the key (or the entry) and its value. */
struct place {
    struct stampi_doc *doc;
    const char *key; /* for messages */
    yaml_node_t *node;
    struct stamp_error *err;
};

bool stampi_number(const char *text, uint64_t *out)
{
    unsigned base = 10;
    uint64_t value = 0;

    if (text[0] == '0' && text[1] == 'x') {
        base = 16;
        text += 2;
    } else if (text[0] == '0' && text[1] != '\0') {
        return false;
    }
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *d = strchr(digits, *text);
        unsigned digit = d == NULL ? 16u : (unsigned)(d - digits);

        digit -= d != NULL && digit >= 16u ? 6u : 0u;
        if (digit >= base || value > (UINT64_MAX - digit) / base) {
            return false;
        }
        value = value * base + digit;
    }
    *out = value;
    return true;
}

static const char *kind_of(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "a map";
    case YAML_SCALAR_NODE:
    case YAML_NO_NODE:
    default:
        return "a single value";
    }
}

static bool is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* What YAML 1.2's core schema reads as null. */
static bool is_null(const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
        if (node->type == YAML_SCALAR_NODE && is_plain(node) &&
            strcmp(stampi_node_text(node), nulls[i]) == 0) {
            return true;
        }
    }
    return false;
}

static enum stamp_err want_type(const struct place *p, yaml_node_type_t type,
                                const char *called)
{
    if (is_null(p->node)) {
        return stampi_doc_fail(p->doc, &p->node->start_mark, p->err, "'%s' has no value",
                               p->key);
    }
    if (p->node->type != type) {
        return stampi_doc_fail(p->doc, &p->node->start_mark, p->err,
                               "'%s' must be %s, not %s", p->key, called,
                               kind_of(p->node));
    }
    return STAMP_OK;
}

static enum stamp_err check_string(const struct place *p,
                                   const cyaml_schema_value_t *schema)
{
    const yaml_mark_t *mark = &p->node->start_mark;
    enum stamp_err rc = want_type(p, YAML_SCALAR_NODE, "text");
    size_t len;

    if (rc != STAMP_OK) {
        return rc;
    }
    len = p->node->data.scalar.length;
    if (len < schema->string.min) {
        return len == 0 ? stampi_doc_fail(p->doc, mark, p->err, "'%s' is empty", p->key)
                        : stampi_doc_fail(p->doc, mark, p->err,
                                          "'%s' is shorter than %u bytes", p->key,
                                          schema->string.min);
    }
    if (len > schema->string.max) {
        return stampi_doc_fail(p->doc, mark, p->err, "'%s' is longer than %u bytes",
                               p->key, schema->string.max);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = p->node->data.scalar.value[i];

        if (c < 0x20 || c == 0x7F) {
            return stampi_doc_fail(p->doc, mark, p->err, "'%s' has a control character",
                                   p->key);
        }
    }
    return STAMP_OK;
}

static enum stamp_err check_uint(const struct place *p,
                                 const cyaml_schema_value_t *schema)
{
    uint64_t most = schema->data_size >= 8 ? UINT64_MAX
                                           : (UINT64_C(1) << (8 * schema->data_size)) - 1;
    const yaml_mark_t *mark = &p->node->start_mark;
    enum stamp_err rc = want_type(p, YAML_SCALAR_NODE, "a number");
    uint64_t value;
    char shown[48];

    if (rc != STAMP_OK) {
        return rc;
    }
    if (!is_plain(p->node) || !stampi_number(stampi_node_text(p->node), &value)) {
        return stampi_doc_fail(p->doc, mark, p->err, "'%s' must be a number, not '%s'",
                               p->key, stampi_shown(stampi_node_text(p->node), shown));
    }
    if (value > most) {
        return stampi_doc_fail(p->doc, mark, p->err, "'%s' must be at most %llu", p->key,
                               (unsigned long long)most);
    }
    return STAMP_OK;
}

static enum stamp_err check_enum(const struct place *p,
                                 const cyaml_schema_value_t *schema)
{
    enum stamp_err rc = want_type(p, YAML_SCALAR_NODE, "a word");
    char words[120] = "";
    char shown[48];
    size_t at = 0;

    for (uint32_t i = 0; rc == STAMP_OK && i < schema->enumeration.count; i++) {
        const char *word = schema->enumeration.strings[i].str;

        if (strcmp(stampi_node_text(p->node), word) == 0) {
            return STAMP_OK;
        }
        if (at < sizeof words) {
            at += (size_t)snprintf(words + at, sizeof words - at, "%s%s",
                                   i == 0 ? "" : ", ", word);
        }
    }
    return rc != STAMP_OK
               ? rc
               : stampi_doc_fail(p->doc, &p->node->start_mark, p->err,
                                 "'%s' must be one of %s; '%s' is not", p->key, words,
                                 stampi_shown(stampi_node_text(p->node), shown));
}

static const cyaml_schema_field_t *field_of(const cyaml_schema_field_t *fields,
                                            const yaml_node_t *key)
{
    for (; fields->key != NULL; fields++) {
        if (strlen(fields->key) == key->data.scalar.length &&
            strcmp(fields->key, stampi_node_text(key)) == 0) {
            return fields;
        }
    }
    return NULL;
}

static enum stamp_err unknown_key(const struct place *p, const yaml_node_t *key,
                                  const cyaml_schema_field_t *fields)
{
    char list[sizeof p->err->hint] = "";
    char shown[48];
    size_t at = 0;

    for (; fields->key != NULL && at < sizeof list; fields++) {
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at == 0 ? "" : ", ",
                               fields->key);
    }
    (void)stampi_doc_fail(p->doc, &key->start_mark, p->err, "unknown key '%s'",
                          stampi_shown(stampi_node_text(key), shown));
    stamp_error_hint(p->err, "one of the keys known here: %s", list);
    return STAMP_E_CONFIG;
}

static enum stamp_err check_key(const struct place *p, const yaml_node_pair_t *pair,
                                const yaml_node_t *key)
{
    char shown[48];

    if (key->type != YAML_SCALAR_NODE) {
        return stampi_doc_fail(p->doc, &key->start_mark, p->err, "a key must be a word");
    }
    for (yaml_node_pair_t *q = p->node->data.mapping.pairs.start; q < pair; q++) {
        const yaml_node_t *other = yaml_document_get_node(&p->doc->yaml, q->key);

        if (other->data.scalar.length == key->data.scalar.length &&
            memcmp(other->data.scalar.value, key->data.scalar.value,
                   key->data.scalar.length) == 0) {
            return stampi_doc_fail(
                p->doc, &key->start_mark, p->err, "'%s' is here twice, first in line %zu",
                stampi_shown(stampi_node_text(key), shown), other->start_mark.line + 1);
        }
    }
    return STAMP_OK;
}

static enum stamp_err check_missing(const struct place *p,
                                    const cyaml_schema_field_t *fields)
{
    for (; fields->key != NULL; fields++) {
        bool found = (fields->value.flags & CYAML_FLAG_OPTIONAL) != 0;

        for (yaml_node_pair_t *q = p->node->data.mapping.pairs.start;
             !found && q < p->node->data.mapping.pairs.top; q++) {
            const yaml_node_t *key = yaml_document_get_node(&p->doc->yaml, q->key);

            found = strcmp(fields->key, stampi_node_text(key)) == 0;
        }
        if (!found) {
            return stampi_doc_fail(p->doc, &p->node->start_mark, p->err,
                                   "'%s' is missing", fields->key);
        }
    }
    return STAMP_OK;
}

/* Keys of the user's own: nothing but the keys themselves can be judged here. */
static enum stamp_err check_free_map(const struct place *p)
{
    enum stamp_err rc = want_type(p, YAML_MAPPING_NODE, "a map");

    if (rc != STAMP_OK) {
        return rc;
    }
    for (yaml_node_pair_t *q = p->node->data.mapping.pairs.start;
         rc == STAMP_OK && q < p->node->data.mapping.pairs.top; q++) {
        rc = check_key(p, q, yaml_document_get_node(&p->doc->yaml, q->key));
    }
    return rc;
}

static enum stamp_err check_leaf(const struct place *p,
                                 const cyaml_schema_value_t *schema)
{
    switch (schema->type) {
    case CYAML_STRING:
        return check_string(p, schema);
    case CYAML_UINT:
        return check_uint(p, schema);
    case CYAML_ENUM:
        return check_enum(p, schema);
    case CYAML_IGNORE:
        return check_free_map(p);
    case CYAML_INT:
    case CYAML_BOOL:
    case CYAML_FLAGS:
    case CYAML_FLOAT:
    case CYAML_MAPPING:
    case CYAML_BITFIELD:
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED:
    case CYAML__TYPE_COUNT:
    default:
        STAMP_BUG("a type that the profile's schema does not use");
    }
}

/* Maps and lists wait on this stack: a schema is not deeper, so no recursion is needed.
 */
#define OPEN_MAX 16u

struct open_node {
    struct place place;
    const cyaml_schema_value_t *schema;
    size_t next; /* pair or item */
};

struct walk {
    struct open_node open[OPEN_MAX];
    size_t n;
};

static enum stamp_err enter(struct walk *w, const struct place *p,
                            const cyaml_schema_value_t *schema)
{
    bool map = schema->type == CYAML_MAPPING;
    enum stamp_err rc;

    if (!map && schema->type != CYAML_SEQUENCE) {
        return check_leaf(p, schema);
    }
    rc = want_type(p, map ? YAML_MAPPING_NODE : YAML_SEQUENCE_NODE,
                   map ? "a map" : "a list");
    if (rc != STAMP_OK) {
        return rc;
    }
    if (!map && (size_t)(p->node->data.sequence.items.top -
                         p->node->data.sequence.items.start) > schema->sequence.max) {
        return stampi_doc_fail(p->doc, &p->node->start_mark, p->err,
                               "'%s' has more than %u entries", p->key,
                               schema->sequence.max);
    }
    if (w->n == OPEN_MAX) {
        STAMP_BUG("the profile's schema is deeper than its check");
    }
    w->open[w->n++] = (struct open_node){*p, schema, 0};
    return STAMP_OK;
}

static enum stamp_err step_map(struct walk *w, struct open_node *top)
{
    const struct place *p = &top->place;
    yaml_node_pair_t *pair = p->node->data.mapping.pairs.start + top->next;
    const cyaml_schema_field_t *field;
    yaml_node_t *key;
    enum stamp_err rc;

    if (pair >= p->node->data.mapping.pairs.top) {
        w->n--;
        return check_missing(p, top->schema->mapping.fields);
    }
    top->next++;
    key = yaml_document_get_node(&p->doc->yaml, pair->key);
    rc = check_key(p, pair, key);
    if (rc != STAMP_OK) {
        return rc;
    }
    field = field_of(top->schema->mapping.fields, key);
    if (field == NULL) {
        return unknown_key(p, key, top->schema->mapping.fields);
    }
    return enter(w,
                 &(struct place){p->doc, field->key,
                                 yaml_document_get_node(&p->doc->yaml, pair->value),
                                 p->err},
                 &field->value);
}

static enum stamp_err step_list(struct walk *w, struct open_node *top)
{
    const struct place *p = &top->place;
    yaml_node_item_t *item = p->node->data.sequence.items.start + top->next;

    if (item >= p->node->data.sequence.items.top) {
        w->n--;
        return STAMP_OK;
    }
    top->next++;
    return enter(w,
                 &(struct place){p->doc, p->key,
                                 yaml_document_get_node(&p->doc->yaml, *item), p->err},
                 top->schema->sequence.entry);
}

enum stamp_err stampi_doc_check(struct stampi_doc *doc,
                                const cyaml_schema_value_t *schema,
                                struct stamp_error *err)
{
    struct walk w = {.n = 0};
    struct place root = {doc, "the profile", yaml_document_get_root_node(&doc->yaml),
                         err};
    enum stamp_err rc = enter(&w, &root, schema);

    while (rc == STAMP_OK && w.n > 0) {
        struct open_node *top = &w.open[w.n - 1];

        rc = top->schema->type == CYAML_MAPPING ? step_map(&w, top) : step_list(&w, top);
    }
    return rc;
}
