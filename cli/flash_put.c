#include "cli/flash.h"

#include "host/exec.h"
#include "host/flashfile.h"

const char *flash_name(const struct flash_target *t)
{
    return t->board != NULL ? t->board : "the device";
}

static enum stamp_err to_board(const struct flash_target *t,
                               const struct stamp_image *img, bool *unchanged,
                               struct stamp_error *err)
{
    const struct stamp_board *board = stamp_board_find(t->board);
    STAMP_BUFFER_AUTO image = {NULL, 0};
    enum stamp_err rc =
        stamp_image_relayout(img, &board->geometry, t->root_key, &image, err);

    if (rc == STAMP_OK) {
        rc =
            stamp_flashfile_put(board, t->flash_file, &image, t->replace, unchanged, err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(err, "the flash was not changed");
    }
    return rc;
}

/* The place in flash: from the command line, or as the batch or the profile says. */
static enum stamp_err find_offset(const struct flash_target *t, uint32_t *offset,
                                  struct stamp_error *err)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    enum stamp_err rc = STAMP_OK;

    if (t->offset >= 0) {
        *offset = (uint32_t)t->offset;
        return rc;
    }
    if (t->partition != NULL) {
        *offset = t->partition->offset;
        return rc;
    }
    rc = stamp_workspace_open(t->workspace, &ws, err);
    if (rc == STAMP_OK) {
        *offset = ws->profile->partition.offset;
    } else {
        stamp_error_hint(err, "say where the partition is with --offset N");
    }
    return rc;
}

/* The geometry of the image itself, to encrypt it on the way. */
static enum stamp_err for_device(const struct stamp_image *img,
                                 const struct stamp_secret *root_key,
                                 struct stamp_buffer *out, struct stamp_error *err)
{
    struct stamp_geometry g = {.birth_size = img->birth_size,
                               .bank_size = img->bank_size,
                               .erase_size = 1,
                               .program_size = 1,
                               .erased = img->erased};

    return stamp_image_relayout(img, &g, root_key, out, err);
}

static enum stamp_err with_command(const struct flash_target *t,
                                   const struct stamp_image *img, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    struct stamp_exec how = {.command = t->exec};
    int status = 0;
    enum stamp_err rc = find_offset(t, &how.offset, err);

    if (rc == STAMP_OK) {
        rc = for_device(img, t->root_key, &image, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_exec_flash(&how, &image, &status, err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(err, "the command was not run");
        return rc;
    }
    if (status != 0) {
        rc = stamp_error_set(err, STAMP_E_DEVICE, status,
                             "the command ended with status %d", status);
        stamp_error_state(err, "what it did to the device is unknown");
    }
    return rc;
}

enum stamp_err flash_put(const struct flash_target *t, const struct stamp_image *img,
                         bool *unchanged, struct stamp_error *err)
{
    *unchanged = false;
    return t->board != NULL ? to_board(t, img, unchanged, err)
                            : with_command(t, img, err);
}
