/* What is done when power fails, and how to tell afterwards what is there. */
#ifndef TEST_POWERFAIL_SCENARIO_H
#define TEST_POWERFAIL_SCENARIO_H

#include "device/device.h"
#include "test/fixture/fixture.h"
#include "test/fixture/nor.h"

enum action {
    BIRTH_WRITE,
    LOCK,
    REPLACE_FIRST,
    REPLACE_NTH,
    UPDATE,
    ACTIONS,
};

enum found { FOUND_OLD, FOUND_NEW, FOUND_WRONG };

/* What a boot finds. Two boots must find the same. */
struct finding {
    enum found what;
    enum stamp_err opened;
    uint8_t newest;
    uint32_t seq;
    bool locked;
    uint64_t birth;       /* of the items of the birth stamp, 0: none */
    uint64_t operational; /* of what is newest of each item */
};

struct scenario {
    struct nor nor;
    enum action action;
    struct fixture_stamp birth;
    uint8_t operational[4][2048]; /* encoded operational stamps */
    size_t operational_len[4];
    struct finding old;
    struct finding new;
    struct nor_image before; /* the flash before the action */
};

extern const char *const action_names[ACTIONS];

/** Bring the flash to where the action begins, and learn what is old and what is new.
 * Aborts where that fails. */
void scenario_init(struct scenario *s, const struct fixture *f,
                   const struct nor_geometry *g, bool encrypted, bool mapped,
                   enum action action);
void scenario_fini(struct scenario *s);

/** Boot and do the action. Where an earlier attempt got through, it says so: then it is
 * done again as a device would (a bank is replaced once more, a birth stamp is not). */
enum stamp_err scenario_act(struct scenario *s);

/** Boot and look. `why` is told where what is found is wrong. */
struct finding scenario_look(struct scenario *s, const char **why);

bool finding_same(const struct finding *a, const struct finding *b);

#endif
