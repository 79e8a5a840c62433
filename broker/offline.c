/* --check and --repair. */
#include "broker/offline.h"

#include "broker/core/core.h"
#include "broker/core/durable/persist_names.h"
#include "broker/disk/files_posix.h"
#include "broker/store/log.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

static void print(void *context, const char *line)
{
    (void)context;
    puts(line);
}

static struct files *open_directory(const char *path, bool read_only)
{
    struct error e;
    struct stat info;
    struct files *files = NULL;
    if (read_only && (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)))
        error_set(&e, "%s is not a directory", path);
    else if (!read_only || files_posix_is_free(path, &e))
        files = files_posix_open(path, read_only, &e);
    if (!files)
        fprintf(stderr, "sluice-broker: %s\n", e.text);
    return files;
}

static void name_by(void *context, struct span words)
{
    queue_names_read(context, words);
}

static const char *name_of(const void *context, uint32_t queue)
{
    return queue_names_of(context, queue);
}

static int check(const char *path)
{
    struct files *files = open_directory(path, true);
    if (!files)
        return 1;
    struct queue_names *known = queue_names_new();
    bool whole = log_check(files, &(struct log_names){ known, name_by, name_of }, core_can_restore, print, NULL);
    queue_names_free(known);
    puts(whole ? "the log is whole"
               : "the log is damaged: restore the directory from a copy, or salvage what is left with "
                 "sluice-broker --repair DIR TO");
    files->ops->close(files);
    return whole ? 0 : 1;
}

static int repair(const char *path, const char *to_path)
{
    struct files *from = open_directory(path, true), *to = from ? open_directory(to_path, false) : NULL;
    uint8_t key[LOG_KEY_SIZE];
    randombytes_buf(key, sizeof key);
    bool fine = to && log_repair(from, to, key, core_can_restore, print, NULL);
    if (fine)
        printf("what is whole in %s was written to %s: start the broker with --data %s\n", path, to_path, to_path);
    if (to)
        to->ops->close(to);
    if (from)
        from->ops->close(from);
    return fine ? 0 : 1;
}

int offline_main(int argc, char **argv)
{
    bool checks = argc > 1 && strcmp(argv[1], "--check") == 0, repairs = argc > 1 && strcmp(argv[1], "--repair") == 0;
    if (checks && argc == 3)
        return check(argv[2]);
    if (repairs && argc == 4)
        return repair(argv[2], argv[3]);
    if (!checks && !repairs)
        return -1;
    fprintf(stderr, "sluice-broker: usage: sluice-broker %s\n", checks ? "--check DIR" : "--repair DIR TO");
    return 2;
}
