/* Publishes every line of its input without waiting for one before sending the next, and prints the outcomes.
 *
 *   publish tcp://127.0.0.1:7400 lines < FILE */
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

struct tally {
    unsigned long accepted, refused;
    int last_error;
};

/* Runs on a thread of the library. Nothing else touches the tally until sluice_close has returned. */
static void confirmed(void *context, int error, uint64_t sequence)
{
    struct tally *t = context;
    (void)sequence;
    if (error)
        t->refused++, t->last_error = error;
    else
        t->accepted++;
}

static int publish_line(struct sluice *s, const char *queue, const char *line, size_t size, struct tally *t)
{
    struct sluice_event event = { .type = "line", .content_type = "text/plain", .data = line, .size = size };
    int error;
    while ((error = sluice_publish(s, queue, &event, 10000, confirmed, t)) == SLUICE_BUSY)
        usleep(1000); /* the buffer is full; an outcome makes room */
    return error;
}

int main(int argc, char **argv)
{
    char error[256] = "usage: publish BROKER QUEUE < FILE", *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    struct tally tally = { 0 };
    struct sluice *s = argc == 3 ? sluice_connect(argv[1], NULL, error) : NULL;
    if (!s)
        return fprintf(stderr, "publish: %s\n", error), 1;
    int failed = 0;
    while (!failed && (size = getline(&line, &capacity, stdin)) > 0)
        failed = publish_line(s, argv[2], line, (size_t)size, &tally);
    if (failed) /* the call itself failed: the name is not valid, say */
        fprintf(stderr, "publish: %s\n", sluice_strerror(failed));
    free(line);
    int undecided = sluice_close(s, 15000);
    printf("%lu accepted, %lu refused%s%s\n", tally.accepted, tally.refused, tally.refused ? ": " : "",
           tally.refused ? sluice_strerror(tally.last_error) : "");
    return failed || undecided || tally.refused ? 1 : 0;
}
