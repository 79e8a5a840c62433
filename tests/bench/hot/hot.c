#include "tests/bench/hot/hot.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    unsigned long (*run)(void);
} cases[] = {
    { "frame-write", frame_write_case },   { "frame-read", frame_read_case }, { "event-encode", event_encode_case },
    { "event-decode", event_decode_case }, { "queue", queue_case },           { "log", log_case },
    { "http-publish", http_publish_case }, { "http-batch", http_batch_case }, { "http-protobuf", http_protobuf_case },
    { "http-take", http_take_case },
};

void hot_expect(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "bench_hot: %s\n", what);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(argv[1], cases[i].name) == 0)
            return printf("{\"events\":%lu}\n", cases[i].run()) > 0 ? 0 : 1;
    }
    fprintf(stderr, "usage: bench_hot CASE\n");
    return 2;
}
