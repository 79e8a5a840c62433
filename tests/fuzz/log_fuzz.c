/* Fuzzes the log with arbitrary bytes as records and as a log directory: no crash, no hang, and no event that is in no
 * record. The first byte says what the rest is, and whether to fix its checksums: random bytes would never pass them.
 * */
#include "broker/store/log.h"
#include "broker/store/log_format.h"
#include "tests/sim/disk.h"

#include <assert.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SEGMENT (64u << 10)

enum shape { RECORDS = 1, WITH_CHECKPOINT = 2, FIX_CHECKPOINT = 4, TORN = 8, REPAIRED = 16, OLD = 32 };

struct books {
    uint64_t accepted, settled, live;
};

static void take_run(void *context, const struct store_run *run, uint64_t bytes)
{
    struct books *b = context;
    (void)bytes;
    b->accepted += run->count;
}

static void take_settled(void *context, uint32_t queue, enum store_cause cause, uint64_t first, uint64_t count)
{
    struct books *b = context;
    (void)queue;
    (void)cause;
    (void)first;
    b->settled += count;
}

/* ------------------------------------------------------------------ the codec */

static void read_table(struct span payload, uint8_t version)
{
    const struct record r = { .type = RECORD_TABLE, .version = version, .payload = payload };
    struct table_reader table;
    struct table_item item;
    struct table_entry e;
    struct run_target t;
    bool opens = table_open(&r, &table);
    while (opens && table_next(&table, &item) == LOG_OK) {
        struct target_reader targets = targets_open(item.targets, item.target_count, item.past);
        uint32_t count = 0;
        assert(item.e.count > 0);
        for (uint64_t before = 0; target_next(&targets, &t); before = t.queue, count++)
            assert(count == 0 || t.queue > before);
        assert(count == item.target_count &&
               (count == 0 || table_entry_of(&(struct table_cursor){ 0 }, &item, t.queue, &e)));
    }
}

static void read_shared(struct span payload)
{
    const struct record r = { .type = RECORD_SHARED, .version = 1, .payload = payload };
    struct shared_record s;
    struct run_record run;
    struct run_target t;
    struct span event, lane;
    uint64_t events = 0;
    if (!shared_read(payload, &s))
        return;
    struct target_reader targets = targets_open(s.targets, s.target_count, 0);
    for (uint32_t i = 0; i < s.target_count; i++) {
        assert(target_next(&targets, &t) && record_run_of(&r, t.queue, &run));
        assert(run.first == t.first && run.queue == t.queue);
    }
    while (run_next(&run, &event, &lane))
        events++;
    assert(events == s.count);
}

static void read_payload(struct span payload)
{
    struct run_record run;
    struct settled_record s;
    struct settled_range range;
    struct span event, lane;
    uint64_t events = 0;
    uint32_t queue;
    if (run_read(payload, &run)) {
        while (run_next(&run, &event, &lane))
            events++;
        assert(events == run.count);
    }
    if (settled_read(payload, &s)) {
        while (settled_range_next(&s, &range) == LOG_OK)
            assert(range.first < range.end && range.cause <= CAUSE_REMOVED);
    }
    read_table(payload, 1);
    read_table(payload, TABLE_VERSION);
    read_shared(payload);
    forgotten_read(payload, &queue);
}

static void read_records(struct span bytes)
{
    struct group_header h;
    struct segment_header sh;
    struct record r;
    struct span rest = bytes, records;
    segment_header_read(bytes, &sh);
    for (uint32_t version = 1; version <= LOG_VERSION; version++) {
        struct segment_header in = { .version = version, .id = 1 };
        group_read(bytes, &in, 0, &h, &records);
        for (size_t at = 0; (at = group_search(bytes, at, &in, &h)) != SIZE_MAX; at++)
            assert(at < bytes.size);
    }
    while (record_next(&rest, &r) == LOG_OK)
        read_payload(r.payload);
    read_payload(bytes);
}

/* ------------------------------------------------------------------ a directory */

static size_t take_size(struct span *s)
{
    size_t size = s->size > 1 ? (size_t)s->data[0] << 8 | s->data[1] : 0;
    *s = s->size > 1 ? span_of(s->data + 2, s->size - 2) : span_of(s->data, 0);
    return size < s->size ? size : s->size;
}

static struct span take(struct span *s, size_t size)
{
    struct span taken = span_of(s->data, size);
    *s = span_of(s->data + size, s->size - size);
    return taken;
}

static void put_checkpoint(struct disk *d, struct span content, bool fix)
{
    struct buf b = { 0 };
    buf_add(&b, content.data, content.size);
    if (fix) {
        b.size = 0;
        memset(buf_reserve(&b, 32), 0, 32);
        b.size = 32;
        buf_add(&b, content.data, content.size);
        memcpy(b.data, "SLUICECP", 8);
        wire_store32(b.data + 8, LOG_VERSION);
        wire_store64(b.data + 16, content.size);
        wire_store64(b.data + 24, XXH3_64bits_withSeed(b.data + 32, content.size, XXH3_64bits(b.data, 24)));
    }
    disk_put(d, "checkpoint", buf_span(&b));
    buf_free(&b);
}

/* Writes a segment of groups whose records come from the input: a type, a size, and that many bytes. */
static void put_segment(struct disk *d, struct span s, uint32_t version, bool torn)
{
    struct buf b = { 0 };
    struct segment_header sh = { .version = version, .id = 1, .key = { 1, 2, 3 } };
    size_t head = group_header_size(version);
    uint64_t number = 0, chain = 0;
    segment_header_write(buf_reserve(&b, SEGMENT_HEADER_SIZE), &sh);
    b.size = SEGMENT_HEADER_SIZE;
    while (s.size > 3 && b.size < SEGMENT / 2) {
        size_t start = b.size, group = 1 + s.data[0] % 4;
        memset(buf_reserve(&b, head), 0, head);
        b.size += head;
        for (; group && s.size > 3; group--) {
            enum record_type type = (enum record_type)(s.data[0] >> 2 & 15);
            size_t mark = record_begin(&b, type);
            if (type == RECORD_TABLE && s.data[0] >> 6)
                b.data[b.size - RECORD_HEADER_SIZE + 5] = TABLE_VERSION;
            size_t size = s.data[1] < s.size - 2 ? s.data[1] : s.size - 2;
            s = span_of(s.data + 2, s.size - 2);
            struct span payload = take(&s, size);
            buf_add(&b, payload.data, payload.size);
            record_end(&b, mark);
        }
        struct group_header h = { .number = number + 1, .durable = number };
        number++;
        struct span records = span_of(b.data + start + head, b.size - start - head);
        group_header_write(b.data + start, &h, records, &sh, chain);
        chain = h.chain;
    }
    if (torn)
        buf_add(&b, s.data, s.size);
    disk_put(d, "0000000000000001.log", buf_span(&b));
    buf_free(&b);
}

static void put_raw(struct disk *d, struct span s)
{
    disk_put(d, "0000000000000001.log", take(&s, take_size(&s)));
    disk_put(d, "0000000000000002.log", s);
}

static void count_live(void *context, uint64_t first, uint64_t end)
{
    ((struct books *)context)->live += end - first;
}

/* Every live event must be loaded, or the log must report a failure. */
static void read_all(struct store *log, struct disk *d, struct books *b)
{
    uint64_t random = 1, bytes, loaded = 0;
    struct store_completion done;
    bool failed = false;
    for (uint32_t queue = 0; queue < 64 && !failed; queue++) {
        uint64_t before = b->live, from = 0;
        log_each_live(log, queue, count_live, b, &bytes);
        for (bool more = b->live > before; more && !failed;) {
            more = false;
            log->ops->load(log, queue, from, 1u << 20, 1);
            for (int i = 0; i < 8; i++) {
                log->ops->flush(log, (mono_t){ i * MONO_MS });
                disk_settle(d, &random);
            }
            while (log->ops->poll(log, &done)) {
                failed |= done.status == STORE_FAILED;
                for (size_t k = 0; done.kind == STORE_LOADED && k < done.count; k++, loaded++, more = true) {
                    assert(done.events[k].sequence >= from);
                    from = done.events[k].sequence + 1;
                    log->ops->release(log, queue, done.events[k].locator);
                }
            }
        }
        assert(failed || loaded == b->live);
    }
}

static void open_it(struct disk *d, bool trusted)
{
    struct log_config config;
    struct error e = { "" };
    struct books b = { 0 };
    const struct log_replay replay = { .context = &b, .run = take_run, .settled = take_settled };
    struct files *files = disk_open(d);
    log_config_defaults(&config);
    config.segment_size = SEGMENT;
    struct store *log = log_open(&config, files, &replay, &e);
    assert(log || e.text[0]);
    if (log && trusted) {
        log_validate(log);
        read_all(log, d, &b);
        assert(b.live <= b.accepted - b.settled);
    }
    if (log)
        log->ops->close(log);
    files->ops->close(files);
}

static void say_nothing(void *context, const char *line)
{
    (void)context;
    assert(line[0]);
}

static void check_and_repair(struct disk *d)
{
    struct disk *to = disk_new();
    struct files *files = disk_open(d), *target = disk_open(to);
    log_check(files, NULL, NULL, say_nothing, NULL);
    bool fine = log_repair(files, target, (const uint8_t[LOG_KEY_SIZE]){ 4 }, NULL, say_nothing, NULL);
    files->ops->close(files);
    target->ops->close(target);
    if (fine)
        open_it(to, false);
    disk_free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    uint8_t shape = data[0];
    struct span s = span_of(data + 1, size - 1);
    read_records(s);
    struct disk *d = disk_new();
    if (shape & WITH_CHECKPOINT)
        put_checkpoint(d, take(&s, take_size(&s)), shape & FIX_CHECKPOINT);
    if (shape & RECORDS)
        put_segment(d, s, shape & OLD ? 1 : LOG_VERSION, shape & TORN);
    else
        put_raw(d, s);
    if (shape & REPAIRED) /* only for some inputs, because it is slow */
        check_and_repair(d);
    open_it(d, !(shape & WITH_CHECKPOINT));
    disk_free(d);
    return 0;
}
