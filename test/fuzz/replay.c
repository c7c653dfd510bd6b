/*
 * Runs a fuzz target once over each file in the folders named on the command line, where
 * there is no libFuzzer: so seeds and former crashes are tried in every build. Fails on
 * an empty folder, as that would test nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_MAX_LEN (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int replay_file(const char *path)
{
    uint8_t *data = NULL;
    struct stat st;
    size_t len;
    FILE *f = NULL;
    int rc = -1;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return 0;
    }
    f = fopen(path, "rb");
    /* An exact copy, so that a sanitizer sees a read past the end. */
    data = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
    if (f == NULL || data == NULL || st.st_size > (off_t)FILE_MAX_LEN) {
        goto out;
    }
    len = fread(data, 1, (size_t)st.st_size, f);
    if (len != (size_t)st.st_size) {
        goto out;
    }
    (void)LLVMFuzzerTestOneInput(data, len);
    rc = 1;
out:
    if (rc < 0) {
        (void)fprintf(stderr, "cannot read '%s'\n", path);
    }
    free(data);
    if (f != NULL) {
        (void)fclose(f);
    }
    return rc;
}

static int replay_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int count = 0;

    if (dir == NULL) {
        (void)fprintf(stderr, "cannot open '%s'\n", folder);
        return -1;
    }
    while (count >= 0 && (entry = readdir(dir)) != NULL) {
        char path[4096];
        int len = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        int done = len < (int)sizeof(path) ? replay_file(path) : -1;

        count = done < 0 ? -1 : count + done;
    }
    (void)closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);

        if (count <= 0) {
            (void)fprintf(stderr, "no inputs from '%s'\n", argv[i]);
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], count);
    }
    return argc > 1 ? 0 : 1;
}
