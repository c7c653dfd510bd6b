/* A device on a NOR flash in RAM, and stamps for it: for the unit tests of core and
 * device. */
#ifndef TEST_UNIT_RIG_RIG_H
#define TEST_UNIT_RIG_RIG_H

/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/device.h"
#include "test/fixture/fixture.h"
#include "test/fixture/nor.h"

struct rig {
    struct nor nor;
    struct stamp_device dev;
    struct fixture_stamp birth;
    struct nor_image image;
};

/** The owner of every rig; made once by rig_group_setup(), which begins PSA too. */
extern struct fixture rig_owner;
int rig_group_setup(void **state);
int rig_group_teardown(void **state);

/* The ways a flash may be: read or mapped, plain or encrypted. Loops run over all of
 * them. */
#define RIG_MODES 4u

/** A blank device, opened. */
void rig_init(struct rig *r, unsigned mode);

/** A device with a birth stamp (options as in fixture_birth()). */
void rig_born(struct rig *r, unsigned mode, const struct fixture_options *options);

void rig_fini(struct rig *r);

/** Boot again. */
enum stamp_err rig_open(struct rig *r);

/** Remember what is in flash; say whether it still is. */
void rig_mark(struct rig *r);
void rig_assert_untouched(struct rig *r);

/** An item's value as it is in an encoded stamp. */
struct stamp_slice rig_item(const void *stamp, size_t len, uint32_t key);

/** The device gives the item's value from where it is asked for. */
void rig_assert_item(const struct rig *r, enum stamp_which which, uint32_t key,
                     struct stamp_slice expected);

/** Every item of the encoded stamp is in the region. */
void rig_assert_stamp(const struct rig *r, enum stamp_which which, const void *stamp,
                      size_t len);

/** An operational stamp: key, certificates and a claim state [number, false]. */
size_t rig_operational(const struct rig *r, uint8_t number, uint8_t *out, size_t size);

/** Put that into the spare bank. */
void rig_rotate(struct rig *r, uint8_t number);

#endif
