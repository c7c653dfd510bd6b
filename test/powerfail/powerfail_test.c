/*
 * Power fails in every erase and program, four ways; then it fails again in every erase
 * and program of the recovery. After each cut the device must find the old stamp or the
 * new one, whole, and the same one at its next boot; and in the end the action must get
 * through.
 *
 * A run is recorded once without a cut, since a library cannot know that power is about
 * to fail; its operations are then applied up to the cut.
 *
 * usage: powerfail_test [--long] [GEOMETRY]
 *        powerfail_test --replay GEOMETRY MODE ACTION CUT WAY SEED [CUT WAY SEED]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test/powerfail/scenario.h"

static const struct nor_geometry geometries[] = {
    {4096, 1, 0xFF, 4096},      {4096, 8, 0xFF, 8192},     {2048, 8, 0xFF, 4096},
    {131072, 32, 0xFF, 131072}, {262144, 4, 0xFF, 262144}, {512, 16, 0xFF, 4096},
    {4096, 8, 0x00, 4096},      {4096, 64, 0xFF, 4096},
};
#define GEOMETRIES (sizeof(geometries) / sizeof(geometries[0]))

static const char *const way_names[NOR_CUTS] = {"before", "torn", "scrambled", "after"};
static const char *const mode_names[] = {"plain", "encrypted", "plain-mapped",
                                         "encrypted-mapped"};

struct cut {
    uint32_t at;
    enum nor_cut way;
    uint32_t seed;
};

struct run {
    unsigned geometry;
    unsigned mode;
    struct scenario s;
    bool thorough;
    uint32_t n_first;
    uint32_t n_second;
    uint32_t n_completed;
};

/* The operations of one recorded run. */
struct record {
    struct nor_op *ops;
    uint32_t n;
};

static void record_take(struct record *r, const struct nor *n)
{
    r->ops = malloc(n->n_ops * sizeof(r->ops[0]) + 1);
    if (r->ops == NULL) {
        abort();
    }
    r->n = n->n_ops;
    memcpy(r->ops, n->ops, n->n_ops * sizeof(r->ops[0]));
}

static void record_free(struct record *r)
{
    free(r->ops);
    r->ops = NULL;
}

static void print_cut(const char *what, const struct cut *c)
{
    (void)fprintf(stderr, "  %s: operation %u, %s, seed %u\n", what, c->at,
                  way_names[c->way], c->seed);
}

static int fail(const struct run *r, const struct cut *first, const struct cut *second,
                const char *why)
{
    const struct nor_geometry *g = &geometries[r->geometry];

    (void)fprintf(
        stderr,
        "powerfail: %s\n  geometry %u: sectors of %u, units of %u, erased %02X\n"
        "  %s, %s\n",
        why, r->geometry, g->erase_size, g->program_size, g->erased, mode_names[r->mode],
        action_names[r->s.action]);
    print_cut("first cut", first);
    if (second != NULL) {
        print_cut("second cut, in the recovery", second);
    }
    (void)fprintf(stderr, "  try: powerfail_test --replay %u %s %s %u %s %u", r->geometry,
                  mode_names[r->mode], action_names[r->s.action], first->at,
                  way_names[first->way], first->seed);
    if (second != NULL) {
        (void)fprintf(stderr, " %u %s %u", second->at, way_names[second->way],
                      second->seed);
    }
    (void)fprintf(stderr, "\n");
    return -1;
}

static void apply_until(struct nor *n, const struct record *r, const struct cut *c)
{
    for (uint32_t i = 0; i < c->at; i++) {
        nor_apply(n, &r->ops[i], NOR_AFTER, 0);
    }
    nor_apply(n, &r->ops[c->at], c->way, c->seed);
}

/* Two boots: old or new, and the same. NULL: so it is. */
static const char *check(struct run *r, struct finding *found)
{
    const char *why;
    struct finding again;

    *found = scenario_look(&r->s, &why);
    if (why != NULL) {
        return why;
    }
    again = scenario_look(&r->s, &why);
    if (why == NULL && !finding_same(found, &again)) {
        why = "the next boot finds another stamp";
    }
    return why;
}

/* The action must get through now; records it. */
static const char *complete(struct run *r)
{
    struct finding found;
    enum stamp_err rc;
    const char *why;

    nor_record(&r->s.nor);
    rc = scenario_act(&r->s);
    r->s.nor.recording = false;
    r->n_completed++;
    if (rc != STAMP_OK) {
        return r->s.nor.broken[0] != '\0' ? r->s.nor.broken
                                          : "the action does not get through";
    }
    why = check(r, &found);
    return why == NULL && found.what != FOUND_NEW ? "the action left the old stamp" : why;
}

/* From the state after the first cut, one more in the recovery. */
static int second_cut(struct run *r, const struct nor_image *after_first,
                      const struct record *recovery, const struct cut *first,
                      const struct cut *second, bool finish)
{
    struct finding found;
    const char *why;

    nor_restore(&r->s.nor, after_first);
    apply_until(&r->s.nor, recovery, second);
    r->n_second++;
    why = check(r, &found);
    if (why == NULL && finish) {
        why = complete(r);
    }
    return why != NULL ? fail(r, first, second, why) : 0;
}

/* Which of the second cuts to try: all of them, or a few that move on with the first. */
static int second_cuts(struct run *r, const struct nor_image *after_first,
                       const struct record *recovery, const struct cut *first)
{
    uint32_t all = recovery->n * NOR_CUTS;
    uint32_t step = r->thorough || all < 8 ? 1 : all / 6;
    uint32_t start = r->thorough ? 0 : (first->at * NOR_CUTS + first->way) * 7 % step;

    for (uint32_t i = start; i < all; i += step) {
        const struct cut second = {i / NOR_CUTS, (enum nor_cut)(i % NOR_CUTS),
                                   first->seed * 31 + i};

        if (second_cut(r, after_first, recovery, first, &second,
                       r->thorough || (i / step) % 3 == 0) != 0) {
            return -1;
        }
    }
    return 0;
}

static int first_cut(struct run *r, const struct record *whole, const struct cut *first,
                     const struct cut *only_second)
{
    struct nor_image after_first = {NULL};
    struct record recovery = {NULL, 0};
    struct finding found;
    const char *why;
    int rc = 0;

    nor_restore(&r->s.nor, &r->s.before);
    apply_until(&r->s.nor, whole, first);
    r->n_first++;
    why = check(r, &found);
    nor_save(&r->s.nor, &after_first);
    if (why == NULL) {
        why = complete(r);
    }
    if (why != NULL) {
        rc = fail(r, first, NULL, why);
    } else {
        record_take(&recovery, &r->s.nor);
        if (only_second != NULL) {
            rc = only_second->at < recovery.n
                     ? second_cut(r, &after_first, &recovery, first, only_second, true)
                     : fail(r, first, only_second, "the recovery has no such operation");
        } else {
            rc = second_cuts(r, &after_first, &recovery, first);
        }
    }
    record_free(&recovery);
    nor_image_fini(&after_first);
    return rc;
}

/* One whole action, cut everywhere. */
static int cut_everywhere(struct run *r)
{
    uint32_t seeds = r->thorough ? 8 : 2; /* ways to tear and to scramble */
    struct record whole;
    int rc = 0;

    nor_record(&r->s.nor);
    if (scenario_act(&r->s) != STAMP_OK) {
        abort(); /* it worked in scenario_init() */
    }
    r->s.nor.recording = false;
    record_take(&whole, &r->s.nor);
    for (uint32_t i = 0; i < whole.n * NOR_CUTS * seeds && rc == 0; i++) {
        const struct cut first = {i / seeds / NOR_CUTS,
                                  (enum nor_cut)(i / seeds % NOR_CUTS), i + 1};

        if ((first.way == NOR_BEFORE || first.way == NOR_AFTER) && i % seeds != 0) {
            continue; /* no seed in these */
        }
        rc = first_cut(r, &whole, &first, NULL);
    }
    record_free(&whole);
    return rc;
}

static int run_geometry(const struct fixture *f, unsigned geometry, bool thorough)
{
    const struct nor_geometry *g = &geometries[geometry];
    struct run *r = calloc(1, sizeof(*r));
    int rc = 0;

    if (r == NULL) {
        abort();
    }
    r->thorough = thorough;
    r->geometry = geometry;
    for (unsigned i = 0; i < 2 * ACTIONS && rc == 0; i++) {
        enum action action = (enum action)(i % ACTIONS);
        bool encrypted = i >= ACTIONS;
        /* what is mapped and what is not changes how it is read, not how it is written */
        bool mapped = (geometry + i) % 2 == 1;

        r->mode = (encrypted ? 1u : 0u) + (mapped ? 2u : 0u);
        scenario_init(&r->s, f, g, encrypted, mapped, action);
        rc = cut_everywhere(r);
        scenario_fini(&r->s);
    }
    printf("sectors of %u, units of %u, erased %02X: %u cuts, %u cuts in the recovery, "
           "%u recoveries completed: %s\n",
           g->erase_size, g->program_size, g->erased, r->n_first, r->n_second,
           r->n_completed, rc == 0 ? "none failed" : "FAILED");
    free(r);
    return rc;
}

static int index_of(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int parse_cut(char **argv, struct cut *c)
{
    int way = index_of(way_names, NOR_CUTS, argv[1]);

    c->at = (uint32_t)strtoul(argv[0], NULL, 10);
    c->way = (enum nor_cut)way;
    c->seed = (uint32_t)strtoul(argv[2], NULL, 10);
    return way >= 0 ? 0 : -1;
}

/* The keys are new at each run, the cut is the same. */
static int replay(const struct fixture *f, int argc, char **argv)
{
    struct run *r = calloc(1, sizeof(*r));
    struct record whole;
    struct cut first;
    struct cut second;
    int mode = argc > 2 ? index_of(mode_names, 4, argv[1]) : -1;
    int action = argc > 2 ? index_of(action_names, ACTIONS, argv[2]) : -1;
    int rc = 1;

    if (r == NULL) {
        abort();
    }
    r->geometry = argc > 0 ? (unsigned)strtoul(argv[0], NULL, 10) : GEOMETRIES;
    if ((argc != 6 && argc != 9) || mode < 0 || action < 0 || r->geometry >= GEOMETRIES ||
        parse_cut(argv + 3, &first) != 0 ||
        (argc == 9 && parse_cut(argv + 6, &second) != 0)) {
        (void)fprintf(stderr,
                      "usage: powerfail_test --replay GEOMETRY MODE ACTION CUT WAY SEED "
                      "[CUT WAY SEED]\n");
        free(r);
        return 2;
    }
    r->mode = (unsigned)mode;
    scenario_init(&r->s, f, &geometries[r->geometry], (mode & 1) != 0, (mode & 2) != 0,
                  (enum action)action);
    nor_record(&r->s.nor);
    if (scenario_act(&r->s) == STAMP_OK && first.at < r->s.nor.n_ops) {
        r->s.nor.recording = false;
        record_take(&whole, &r->s.nor);
        r->thorough = true;
        rc = first_cut(r, &whole, &first, argc == 9 ? &second : NULL);
        record_free(&whole);
        printf("%s\n", rc == 0 ? "does not fail" : "fails");
    }
    scenario_fini(&r->s);
    free(r);
    return rc == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    bool thorough = argc > 1 && strcmp(argv[1], "--long") == 0;
    int at = thorough ? 2 : 1;
    struct fixture f;
    int rc = 0;

    if (psa_crypto_init() != PSA_SUCCESS) {
        (void)fprintf(stderr, "powerfail: no PSA\n");
        return 1;
    }
    fixture_init(&f, STAMP_DEVELOPMENT);
    if (argc > 1 && strcmp(argv[1], "--replay") == 0) {
        rc = replay(&f, argc - 2, argv + 2);
    } else if (at < argc) {
        unsigned geometry = (unsigned)strtoul(argv[at], NULL, 10);

        rc = geometry < GEOMETRIES ? run_geometry(&f, geometry, thorough) : 2;
    } else {
        for (unsigned i = 0; i < GEOMETRIES && rc == 0; i++) {
            rc = run_geometry(&f, i, thorough);
        }
    }
    fixture_fini(&f);
    return rc < 0 ? 1 : rc;
}
