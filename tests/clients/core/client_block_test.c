/* Blocks of entries that become a frame where they lie, and those that are copied. Frames are of 512 bytes here, so
 * that some words are worth a frame. */
#include "clients/core/client_records.h"
#include "tests/clients/core/script.h"

#include <stdio.h>

#define LONG_WORDS                                                                                                     \
    "one.............................. two.............................. three............................"

static struct script *attached(void **state)
{
    struct script *s = *state;
    script_frames(s, 512);
    attach(s);
    return s;
}

/* The frame that holds the n-th undecided entry to orders; NULL: it is in a block. */
static const struct frame *frame_of(struct script *s, uint32_t n)
{
    struct outlet *o = outlet_of(s->client, span_str("orders"));
    assert_true(n < o->sent.count);
    return record_at(&o->sent, n)->block->frame;
}

static void queue_up(struct script *s, const char *queue, const char *word, uint32_t wait_ms)
{
    enum reason why;
    struct span event = span_str(word);
    assert_true(client_publish(s->client, span_str(queue), &event, 1, wait_ms, script_cookie('a'), s->now, &why));
}

static void queue_up_long(struct script *s, const char *queue, uint32_t wait_ms)
{
    queue_up(s, queue, "one..............................", wait_ms);
    queue_up(s, queue, "two..............................", wait_ms);
    queue_up(s, queue, "three............................", wait_ms);
}

static void entries_worth_a_frame_are_kept_in_the_frame_that_was_sent(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 700, LONG_WORDS);
    assert_string_equal(trace(s), "publish orders 1 one..............................(700) "
                                  "+two..............................(700) +three............................(700)");
    assert_non_null(frame_of(s, 0));
    assert_ptr_equal(frame_of(s, 0), frame_of(s, 2));
    publish(s, "orders", 0, "four");
    assert_string_equal(trace(s), "publish orders 4 four");
    assert_null(frame_of(s, 3));
    confirm(s, "orders", 1, 4, 1);
    assert_string_equal(trace(s), "outcome a 0..2 accepted 1; outcome a 0 accepted 4");
}

static void small_entries_are_copied_into_the_next_frame(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 0, "one two");
    assert_null(frame_of(s, 0));
}

static void a_kept_frame_outlives_the_link_and_is_sent_again_in_a_new_session(void **state)
{
    struct script *s = attached(state);
    s->deaf = true;
    publish(s, "orders", 60000, LONG_WORDS);
    publish(s, "orders", 60000, "four");
    s->silent = true;
    until_asked(s);
    refuse_attach(s, REASON_unknown_session, "");
    s->deaf = s->silent = false;
    s->producer_known = true;
    until_asked(s);
    hello(s);
    trace(s);
    accept_attach(s);
    const char *text = trace(s);
    assert_non_null(strstr(text, "publish orders 1 one..............................("));
    assert_non_null(strstr(text, " +two..............................("));
    assert_non_null(strstr(text, " four("));
    confirm(s, "orders", 1, 4, 1);
    assert_string_equal(trace(s), "outcome a 0..2 accepted 1; outcome a 0 accepted 4");
}

static void acks_and_seen_outcomes_go_behind_the_block_in_its_frame(void **state)
{
    struct script *s = attached(state);
    consume(s, "mail");
    give_turn(s, "mail", TURN_ACTIVE, 3);
    credit(s, "mail", 5);
    deliver(s, "mail", 3, 1, "letter");
    publish(s, "orders", 0, "zero");
    confirm(s, "orders", 1, 1, 1);
    trace(s);
    uint64_t frames = s->received;
    queue_up_long(s, "orders", 0);
    settle(s, "mail", 3, SETTLE_ACK, 1, 1);
    assert_string_equal(trace(s), "publish orders 2 " LONG_WORDS "; ack mail e3 1; seen orders 1");
    assert_int_equal(s->received, frames + 1);
    assert_non_null(frame_of(s, 0));
}

static void an_entry_with_another_wait_is_copied_with_its_own_time(void **state)
{
    struct script *s = attached(state);
    queue_up_long(s, "orders", 0);
    queue_up(s, "orders", "four", 900);
    flush(s);
    assert_string_equal(trace(s), "publish orders 1 " LONG_WORDS " four(900)");
    assert_null(frame_of(s, 0));
}

/* A block of three entries when the window has room for two. */
static void see_the_third_wait_for_the_window(struct script *s)
{
    attach(s);
    queue_up_long(s, "orders", 60000);
    flush(s);
    assert_null(strstr(trace(s), "three"));
    frame_add_window(&s->out, 4, 1u << 20);
    say(s);
    assert_non_null(strstr(trace(s), "publish orders 3 three"));
}

static void entries_beyond_the_window_stay(void **state)
{
    struct script *s = *state;
    script_frames(s, 512);
    s->window_events = 2;
    see_the_third_wait_for_the_window(s);
}

static void bytes_of_the_window_hold_a_block_back_too(void **state)
{
    struct script *s = *state;
    script_frames(s, 512);
    s->window_events = 3;
    s->window_bytes = 70;
    see_the_third_wait_for_the_window(s);
}

static void entries_given_up_before_they_were_sent_are_not_in_the_frame(void **state)
{
    struct script *s = *state;
    script_frames(s, 512);
    queue_up(s, "orders", "early", 10); /* away: they wait */
    queue_up_long(s, "orders", 60000);
    until_asked(s);
    pass(s, 100);
    assert_non_null(strstr(trace(s), "outcome a 0 unavailable"));
    hello(s);
    accept_attach(s);
    const char *text = trace(s);
    assert_null(strstr(text, "early"));
    assert_non_null(strstr(text, "publish orders 1 one"));
}

static void destinations_that_take_turns_share_a_block_and_are_copied(void **state)
{
    struct script *s = attached(state);
    for (int i = 0; i < 4; i++) {
        queue_up(s, "orders", "a...............", 0);
        queue_up(s, "mail", "b...............", 0);
    }
    flush(s);
    assert_string_equal(trace(s),
                        "publish orders 1 a............... a............... a............... a...............; "
                        "publish mail 1 b............... b............... b............... b...............");
    assert_null(frame_of(s, 0));
}

static void a_block_worth_a_frame_is_not_shared_with_another_destination(void **state)
{
    struct script *s = attached(state);
    queue_up_long(s, "orders", 0);
    queue_up(s, "mail", "letter", 0);
    flush(s);
    assert_string_equal(trace(s), "publish orders 1 " LONG_WORDS "; publish mail 1 letter");
    assert_non_null(frame_of(s, 0));
}

static void each_frame_of_one_publish_is_kept_as_it_was_sent(void **state)
{
    struct script *s = attached(state);
    for (int i = 0; i < 10; i++)
        queue_up_long(s, "orders", 0);
    uint64_t frames = s->received;
    flush(s);
    assert_true(s->received >= frames + 3);
    assert_non_null(frame_of(s, 0));
    assert_non_null(frame_of(s, 15));
    assert_ptr_not_equal(frame_of(s, 0), frame_of(s, 15));
    confirm(s, "orders", 1, 30, 1);
    assert_true(client_is_quiet(s->client));
}

static void terms_and_identities_are_sent_without_a_copy_too(void **state)
{
    struct script *s = attached(state);
    enum reason why;
    struct span event = span_str("one...............................................................");
    uint8_t hashes[1][EVENT_HASH_SIZE] = { { 7 } };
    struct client_terms terms = { .delay_ms = 5000 };
    assert_true(client_publish_on(s->client, span_str("orders"), &event, hashes, &terms, 1, 0, script_cookie('a'),
                                  s->now, &why));
    flush(s);
    assert_non_null(frame_of(s, 0));
    struct record *r = record_at(&outlet_of(s->client, span_str("orders"))->sent, 0);
    struct buf again = { 0 };
    struct open_body open = frame_begin_publish(&again, span_str("orders"), 1, 0);
    frame_add_entry_again(&again, record_content(r), 0, 0);
    frame_end(&again, open);
    struct wire_reader bodies = wire_open(buf_span(&again));
    struct body b;
    struct entry e;
    assert_int_equal(frame_next(&bodies, &b), FRAME_OK);
    assert_int_equal(publish_next(&b, &e), FRAME_OK);
    assert_int_equal(e.delay_ms, 5000);
    assert_int_equal(e.dedup.size, EVENT_HASH_SIZE);
    assert_memory_equal(e.dedup.data, hashes[0], EVENT_HASH_SIZE);
    assert_true(span_equal(e.event, event));
    buf_free(&again);
}

/* Small events that wait for long do not keep the memory of an earlier large event or burst. */
static void a_small_entry_does_not_keep_the_memory_of_a_large_one(void **state)
{
    struct script *s = attached(state);
    char large[60001];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    for (int i = 0; i < 8; i++) {
        publish(s, "orders", 0, large);
        publish(s, "mail", 60000, "letter");
    }
    const struct outlet *o = outlet_of(s->client, span_str("mail"));
    size_t kept = 0;
    for (uint32_t i = 0; i < o->sent.count; i++) {
        const struct block *b = record_at(&o->sent, i)->block;
        kept += b == s->client->open_block ? 0 : b->bytes.capacity;
    }
    assert_int_equal(o->sent.count, 8);
    assert_in_range(kept, 1, 8 * 512);
}

/* A frame is kept as long as any entry of its block, so little else is put into it. */
static void a_block_is_not_kept_in_a_frame_of_others(void **state)
{
    struct script *s = *state;
    script_frames(s, 8192);
    attach(s);
    for (int i = 0; i < 12; i++)
        queue_up_long(s, "orders", 0);
    for (int i = 0; i < 200; i++) {
        char queue[16];
        snprintf(queue, sizeof queue, "q%d", i);
        queue_up(s, queue, "letter", 0);
    }
    flush(s);
    assert_non_null(frame_of(s, 0));
    assert_in_range(frame_of(s, 0)->size, 1200, 3200);
    confirm(s, "orders", 1, 36, 1);
    for (int i = 0; i < 200; i++) {
        char queue[16];
        snprintf(queue, sizeof queue, "q%d", i);
        confirm(s, queue, 1, 1, 1);
    }
    assert_true(client_is_quiet(s->client));
}

static void the_last_entry_of_a_frame_does_not_keep_it_for_long(void **state)
{
    struct script *s = attached(state);
    for (int i = 0; i < 10; i++)
        queue_up_long(s, "orders", 60000);
    flush(s);
    uint32_t count = 0;
    while (frame_of(s, count) == frame_of(s, 0))
        count++;
    assert_true(count >= 9);
    const struct frame *second = frame_of(s, count);
    confirm(s, "orders", 1, count - 1, 1);
    pass(s, 900);
    assert_non_null(frame_of(s, 0));
    struct span says = record_content(record_at(&outlet_of(s->client, span_str("orders"))->sent, 0));
    char before[64];
    assert_in_range(says.size, 1, sizeof before);
    memcpy(before, says.data, says.size);
    pass(s, 200);
    assert_null(frame_of(s, 0));
    assert_ptr_equal(frame_of(s, 1), second);
    struct span after = record_content(record_at(&outlet_of(s->client, span_str("orders"))->sent, 0));
    assert_true(span_equal(after, span_of(before, says.size)));
    confirm(s, "orders", count, 31 - count, count);
    assert_true(client_is_quiet(s->client));
}

static void entries_moved_out_of_their_frame_are_sent_again_in_a_new_session(void **state)
{
    struct script *s = attached(state);
    char word[16], expected[64];
    for (int i = 1; i <= 150; i++) {
        snprintf(word, sizeof word, "w%d", i);
        queue_up(s, "orders", word, 60000);
    }
    flush(s);
    uint32_t count = 0;
    while (frame_of(s, count) == frame_of(s, 0))
        count++;
    assert_in_range(count, 24, 120);
    confirm(s, "orders", 1, count - 3, 1);
    pass(s, 1100);
    assert_null(frame_of(s, 0));
    assert_null(frame_of(s, 2));
    assert_non_null(frame_of(s, 3));
    s->silent = true;
    until_asked(s);
    refuse_attach(s, REASON_unknown_session, "");
    s->silent = false;
    s->producer_known = true;
    until_asked(s);
    hello(s);
    trace(s);
    accept_attach(s);
    const char *text = trace(s);
    snprintf(expected, sizeof expected, "publish orders %u w%u(", count - 2, count - 2);
    assert_non_null(strstr(text, expected));
    for (uint32_t i = count - 1; i <= count + 1; i++) {
        snprintf(expected, sizeof expected, ") w%u(", i);
        assert_non_null(text = strstr(text, expected));
    }
    confirm(s, "orders", count - 2, 153 - count, count - 2);
    assert_true(client_is_quiet(s->client));
}

/* Another frame would count as sent, and be unknown if the session were lost meanwhile. */
static void entries_beyond_the_links_room_stay(void **state)
{
    struct script *s = *state;
    script_frames(s, 512);
    s->client->limits.frames = 1;
    queue_up_long(s, "orders", 60000);
    queue_up_long(s, "mail", 60000);
    queue_up(s, "sales", "four", 60000);
    attach(s);
    assert_int_equal(s->client->stats.frames_out, 1);
    assert_int_equal(s->client->unsent_events, 4);
    say(s); /* it was received */
    assert_int_equal(s->client->stats.frames_out, 2);
    say(s);
    assert_int_equal(s->client->unsent_events, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scripted(entries_worth_a_frame_are_kept_in_the_frame_that_was_sent),
        scripted(small_entries_are_copied_into_the_next_frame),
        scripted(a_kept_frame_outlives_the_link_and_is_sent_again_in_a_new_session),
        scripted(acks_and_seen_outcomes_go_behind_the_block_in_its_frame),
        scripted(an_entry_with_another_wait_is_copied_with_its_own_time),
        scripted(entries_beyond_the_links_room_stay),
        scripted(entries_beyond_the_window_stay),
        scripted(bytes_of_the_window_hold_a_block_back_too),
        scripted(entries_given_up_before_they_were_sent_are_not_in_the_frame),
        scripted(destinations_that_take_turns_share_a_block_and_are_copied),
        scripted(a_block_worth_a_frame_is_not_shared_with_another_destination),
        scripted(each_frame_of_one_publish_is_kept_as_it_was_sent),
        scripted(terms_and_identities_are_sent_without_a_copy_too),
        scripted(a_small_entry_does_not_keep_the_memory_of_a_large_one),
        scripted(a_block_is_not_kept_in_a_frame_of_others),
        scripted(the_last_entry_of_a_frame_does_not_keep_it_for_long),
        scripted(entries_moved_out_of_their_frame_are_sent_again_in_a_new_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
