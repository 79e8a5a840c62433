/* Opens the data directory and recovers the log and the core from it. */
#include "broker/data.h"

#include "base/clock.h"
#include "base/log.h"
#include "broker/disk/files_posix.h"
#include "broker/incarnation.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#define KEY_FILE "receipt.key"

/* Reads the key of receipts. It is drawn once, so that receipts from before a restart still settle their events. */
static bool read_key(struct files *files, uint8_t key[16], struct error *e)
{
    size_t got = 0;
    int why = files->ops->read(files, KEY_FILE, 0, key, 16, &got);
    if (why && why != ENOENT)
        return error_set(e, "cannot read %s in the data directory: %s", KEY_FILE, strerror(why));
    if (!why && got == 16)
        return true;
    if (!why)
        log_write(LOG_WARN, "store",
                  "%s was truncated, so it is made anew: receipts from before this start settle nothing", KEY_FILE);
    struct file_op op = { .kind = FILE_REPLACE, .name = KEY_FILE };
    randombytes_buf(key, 16);
    buf_add(&op.data, key, 16);
    why = files->ops->apply(files, &op);
    buf_free(&op.data);
    return why == 0 ? true : error_set(e, "cannot write %s to the data directory: %s", KEY_FILE, strerror(why));
}

static enum log_sync sync_of(const char *text)
{
    return strcmp(text, "none") == 0       ? LOG_SYNC_NONE
           : strcmp(text, "interval") == 0 ? LOG_SYNC_INTERVAL
                                           : LOG_SYNC_GROUP;
}

bool data_open(struct data *d, const struct broker_options *o, struct core_config *config, struct error *e)
{
    *d = (struct data){ 0 };
    if (!o->data) {
        config->epoch_bits = 10; /* the incarnation is in milliseconds: 1024 epochs for each one of uptime are enough */
        return incarnation_raise(NULL, &config->incarnation, e);
    }
    if (!broker_options_check(o, e))
        return false;
    d->files = files_posix_open(o->data, false, e);
    config->confirm_synced = sync_of(o->sync) == LOG_SYNC_GROUP;
    return d->files && incarnation_raise(o->data, &config->incarnation, e) &&
           read_key(d->files, config->receipt_key, e);
}

static void add_size(void *context, const char *name, uint64_t size)
{
    (void)name;
    *(uint64_t *)context += size;
}

/* The default budget is 80 % of what is free and of what the directory has already: without the latter each start
 * would allow less than the one before. */
static bool find_budget(const struct data *d, const struct broker_options *o, uint64_t *budget, struct error *e)
{
    uint64_t own = 0, least = log_least_budget(o->segment_size);
    *budget = o->disk_budget;
    if (*budget)
        return true;
    int why = d->files->ops->list(d->files, add_size, &own);
    *budget = (d->files->ops->room(d->files) + own) / 10 * 8;
    *budget = *budget < least ? least : *budget;
    return why == 0 || error_set(e, "cannot list the data directory: %s", strerror(why));
}

/* A mistyped directory shows here: it has no events. */
static void say_opened(const char *directory, const struct log_info *info)
{
    log_write(LOG_INFO, "store",
              "the data directory %s has %" PRIu64 " bytes of events; its files take %" PRIu64 " of at most %" PRIu64
              " bytes (disk_budget)",
              directory, info->live_bytes, info->disk_bytes, info->disk_budget);
}

bool data_recover(struct data *d, const struct broker_options *o, struct core *core, struct error *e)
{
    if (!d->files)
        return true;
    struct log_config config;
    struct log_info info;
    struct log_replay replay = core_replay(core);
    log_config_defaults(&config);
    randombytes_buf(config.key, sizeof config.key);
    if (!find_budget(d, o, &config.disk_budget, e))
        return false;
    config.segment_size = o->segment_size;
    config.sync = sync_of(o->sync);
    config.sync_interval_ms = o->sync_interval;
    d->log = log_open(&config, d->files, &replay, e);
    if (!d->log)
        return false;
    log_info(d->log, &info);
    say_opened(o->data, &info);
    if (info.torn)
        log_write(LOG_WARN, "store",
                  "an unclean stop left a torn tail in the log, which is cut off: with sync: group nothing in it was "
                  "confirmed; with sync: interval or none it may have held confirmed events");
    if (!core_open_disk(core, d->log, clock_now(), e))
        return false;
    log_set_owner(d->log, &(struct log_owner){ core, core_snapshot });
    return true;
}

int data_fd(const struct data *d)
{
    return d->files ? d->files->ops->fd(d->files) : -1;
}

void data_close(struct data *d)
{
    if (d->log)
        d->log->ops->close(d->log);
    if (d->files)
        d->files->ops->close(d->files);
    *d = (struct data){ 0 };
}
