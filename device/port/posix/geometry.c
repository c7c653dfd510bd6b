#include "device/port/posix/geometry.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/part.h"

void stamp_posix_geometry(struct stamp_posix_config *config)
{
    uint8_t raw[STAMP_HEADER_SIZE];
    struct stamp_header h;
    int fd = open(config->flash_file, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return;
    }
    if (pread(fd, raw, sizeof raw, (off_t)config->flash_off) == (ssize_t)sizeof raw &&
        stamp_header_decode(raw, &h) == STAMP_OK) {
        config->birth_size = config->birth_size != 0 ? config->birth_size : h.birth_size;
        config->bank_size = config->bank_size != 0 ? config->bank_size : h.bank_size;
    }
    (void)close(fd);
}
