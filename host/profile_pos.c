#include "host/profile_pos.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16u

__attribute__((format(printf, 5, 0))) static enum stamp_err
fail_v(const struct stampi_doc *doc, size_t line, size_t column, struct stamp_error *err,
       const char *fmt, va_list ap)
{
    char text[sizeof err->what];

    (void)vsnprintf(text, sizeof text, fmt, ap);
    return stamp_error_set(err, STAMP_E_CONFIG, 0, "%s:%zu:%zu: %s", doc->name, line + 1,
                           column + 1, text);
}

enum stamp_err stampi_doc_fail(const struct stampi_doc *doc, const yaml_mark_t *mark,
                               struct stamp_error *err, const char *fmt, ...)
{
    enum stamp_err rc;
    va_list ap;

    va_start(ap, fmt);
    rc = fail_v(doc, mark->line, mark->column, err, fmt, ap);
    va_end(ap);
    return rc;
}

const char *stampi_shown(const char *text, char out[48])
{
    size_t len = 0;

    for (; text[len] != '\0' && len < 40; len++) {
        unsigned char c = (unsigned char)text[len];

        out[len] = (char)(c < 0x20 || c == 0x7F ? '?' : c);
    }
    /* Not in the middle of a UTF-8 sequence. */
    while (text[len] != '\0' && len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80) {
        len--;
    }
    (void)snprintf(out + len, 48 - len, "%s", text[len] == '\0' ? "" : "...");
    return out;
}

const char *stampi_node_text(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* Bytes that are no UTF-8 or no YAML: libyaml gives their offset, not their place. */
static enum stamp_err reader_error(const struct stampi_doc *doc,
                                   const yaml_parser_t *parser, const char *text,
                                   size_t len, struct stamp_error *err)
{
    yaml_mark_t mark = {0, 0, 0};
    size_t at = parser->problem_offset < len ? parser->problem_offset : len;

    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            mark.column++;
        }
    }
    return stampi_doc_fail(doc, &mark, err, "not YAML: %s", parser->problem);
}

static enum stamp_err parser_error(const struct stampi_doc *doc,
                                   const yaml_parser_t *parser, const char *text,
                                   size_t len, struct stamp_error *err)
{
    if (parser->error == YAML_MEMORY_ERROR || parser->problem == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (parser->error == YAML_READER_ERROR) {
        return reader_error(doc, parser, text, len, err);
    }
    return stampi_doc_fail(doc, &parser->problem_mark, err, "not YAML: %s",
                           parser->problem);
}

struct watch {
    unsigned depth;
    unsigned documents;
    bool done;
};

static bool has_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.tag != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.tag != NULL;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.tag != NULL;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_ALIAS_EVENT:
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
    default:
        return false;
    }
}

static enum stamp_err watch_event(const struct stampi_doc *doc, const yaml_event_t *event,
                                  struct watch *w, struct stamp_error *err)
{
    const yaml_mark_t *mark = &event->start_mark;

    w->done = event->type == YAML_STREAM_END_EVENT;
    if (event->type == YAML_ALIAS_EVENT) {
        return stampi_doc_fail(doc, mark, err, "aliases are not used in a profile");
    }
    if (has_tag(event)) {
        return stampi_doc_fail(doc, mark, err, "tags are not used in a profile");
    }
    if (event->type == YAML_DOCUMENT_START_EVENT && ++w->documents > 1) {
        return stampi_doc_fail(doc, mark, err, "a second document begins in the file");
    }
    if (event->type == YAML_MAPPING_START_EVENT ||
        event->type == YAML_SEQUENCE_START_EVENT) {
        w->depth++;
    }
    if (event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT) {
        w->depth--;
    }
    if (w->depth > DEPTH_MAX) {
        return stampi_doc_fail(doc, mark, err, "nested too deep");
    }
    return STAMP_OK;
}

/* First pass over the events, where an alias still is one and has its place. */
static enum stamp_err watch_events(const struct stampi_doc *doc, const char *text,
                                   size_t len, struct stamp_error *err)
{
    struct watch w = {0, 0, false};
    enum stamp_err rc = STAMP_OK;
    yaml_parser_t parser;

    if (yaml_parser_initialize(&parser) == 0) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    while (rc == STAMP_OK && !w.done) {
        yaml_event_t event;

        if (yaml_parser_parse(&parser, &event) == 0) {
            rc = parser_error(doc, &parser, text, len, err);
            break;
        }
        rc = watch_event(doc, &event, &w, err);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return rc;
}

enum stamp_err stampi_doc_load(struct stampi_doc *doc, const void *text, size_t len,
                               const char *name, struct stamp_error *err)
{
    yaml_parser_t parser;
    enum stamp_err rc;

    memset(doc, 0, sizeof *doc);
    doc->name = name;
    rc = watch_events(doc, text, len, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (yaml_parser_initialize(&parser) == 0) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    yaml_parser_set_input_string(&parser, text, len);
    if (yaml_parser_load(&parser, &doc->yaml) == 0) {
        rc = parser_error(doc, &parser, text, len, err);
    } else {
        doc->loaded = true;
    }
    yaml_parser_delete(&parser);
    if (rc == STAMP_OK && yaml_document_get_root_node(&doc->yaml) == NULL) {
        static const yaml_mark_t start = {0, 0, 0};

        rc = stampi_doc_fail(doc, &start, err, "the profile is empty");
        stampi_doc_free(doc);
    }
    return rc;
}

void stampi_doc_free(struct stampi_doc *doc)
{
    if (doc->loaded) {
        yaml_document_delete(&doc->yaml);
        doc->loaded = false;
    }
}

static yaml_node_t *child(struct stampi_doc *doc, const yaml_node_t *map, const char *key,
                          size_t len)
{
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
         p < map->data.mapping.pairs.top; p++) {
        yaml_node_t *k = yaml_document_get_node(&doc->yaml, p->key);

        if (k->type == YAML_SCALAR_NODE && k->data.scalar.length == len &&
            memcmp(k->data.scalar.value, key, len) == 0) {
            return yaml_document_get_node(&doc->yaml, p->value);
        }
    }
    return NULL;
}

static yaml_node_t *entry(struct stampi_doc *doc, const yaml_node_t *list,
                          unsigned long index)
{
    size_t n = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);

    return index < n ? yaml_document_get_node(&doc->yaml,
                                              list->data.sequence.items.start[index])
                     : NULL;
}

/* Follow `path`; `*nearest` is the last node on the way that is there. */
static yaml_node_t *follow(struct stampi_doc *doc, const char *path,
                           yaml_node_t **nearest)
{
    yaml_node_t *node = yaml_document_get_root_node(&doc->yaml);

    *nearest = node;
    while (node != NULL && *path != '\0') {
        if (*path == '[') {
            char *end;
            unsigned long index = strtoul(path + 1, &end, 10);

            node = node->type == YAML_SEQUENCE_NODE ? entry(doc, node, index) : NULL;
            path = end + 1;
        } else {
            size_t len = strcspn(path += *path == '.', ".[");

            node = node->type == YAML_MAPPING_NODE ? child(doc, node, path, len) : NULL;
            path += len;
        }
        *nearest = node != NULL ? node : *nearest;
    }
    return node;
}

yaml_node_t *stampi_doc_find(struct stampi_doc *doc, const char *path)
{
    yaml_node_t *nearest;

    return follow(doc, path, &nearest);
}

enum stamp_err stampi_doc_fail_at(struct stampi_doc *doc, const char *path,
                                  struct stamp_error *err, const char *fmt, ...)
{
    yaml_node_t *nearest;
    enum stamp_err rc;
    va_list ap;

    (void)follow(doc, path, &nearest);
    va_start(ap, fmt);
    rc = fail_v(doc, nearest->start_mark.line, nearest->start_mark.column, err, fmt, ap);
    va_end(ap);
    return rc;
}
