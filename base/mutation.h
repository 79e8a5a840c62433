/* Deliberate bugs (mutations). The simulator is compiled with SLUICE_MUTATIONS and must catch each of them.
 * Everywhere else MUTATED() is the constant false, and none of this is in the binary. */
#ifndef SLUICE_BASE_MUTATION_H
#define SLUICE_BASE_MUTATION_H

#define MUTATIONS(X)                                                                                                   \
    X(ignore_consumption) /* accept deliveries of an earlier consumption of the queue */                               \
    X(ignore_proof)       /* hand over events without proof of being heard */                                          \
    X(number_anew)        /* keep the producer id where the numbering begins again */                                  \
    X(retry_refused)      /* the client sends a refused entry again by itself, behind later ones */                    \
    X(ignore_credit)      /* deliver past the consumer's credit */                                                     \
    X(overtake_waiters)   /* accept an entry while earlier ones wait */                                                \
    X(exceed_capacity)    /* accept a few more events than there is room for */                                        \
    X(break_prefix)       /* accept an entry that continues a refused one of its batch */                              \
    X(plain_mark)         /* treat everything below the newest outcome as decided */                                   \
    X(skip_epoch)         /* settle by a receipt of an earlier consumer epoch */                                       \
    X(ignore_lease)       /* leases never end */                                                                       \
    X(count_release)      /* count released deliveries as attempts */                                                  \
    X(second_active)      /* a new consumer becomes active beside the active one */                                    \
    X(confirm_unsynced)   /* confirm before the event is on disk */                                                    \
    X(deliver_unsynced)   /* deliver events that are not on disk yet */                                                \
    X(deliver_unmarked)   /* deliver past the mark that is on disk */                                                  \
    X(answer_unsynced)    /* answer acks, however many settlements are not on disk */                                  \
    X(free_early)         /* free segments before the checkpoint that no longer needs them is on disk */               \
    X(reuse_early)        /* likewise, and reuse their files as spares at once */                                      \
    X(carry_nothing)      /* let groups without a place on a full disk wait for one */                                 \
    X(carry_unsynced)     /* confirm what a checkpoint carries before the checkpoint is on disk */                     \
    X(forget_settled)     /* write checkpoints without the settlements of events still in their segments */            \
    X(forget_outcomes)    /* write checkpoints without the outcomes of producers' entries */                           \
    X(forget_hashes)      /* write checkpoints without the hashes for deduplication */                                 \
    X(forget_kept)        /* write checkpoints without the subscriptions */                                            \
    X(forget_dead)        /* write checkpoints without the dead events */                                              \
    X(copy_dead)          /* a dead event moves to another queue without being settled in its own */                   \
    X(fire_early)         /* deliver delayed events before their time */                                               \
    X(ignore_expiry)      /* no event expires */                                                                       \
    X(forget_delays)      /* write checkpoints without the delayed events */                                           \
    X(forget_attempts)    /* do not record how deliveries failed */                                                    \
    X(recount_attempts)   /* count deliveries from zero after a restart */                                             \
    X(lose_expired)       /* events that expire on disk are lost even if they should be kept */                        \
    X(forget_doomed)      /* write checkpoints without expired events that wait for room as dead events */             \
    X(letters_to_memory)  /* let a queue in memory take the name of the dead-letter queue of one on disk */            \
    X(forget_held)        /* after a restart, deliver again events that were held for want of room as dead events */   \
    X(fan_out_to_one)     /* put an event of a topic into the first of its queues only */                              \
    X(share_with_one)     /* at the start, restore an event shared by several queues for the first of them only */     \
    X(reply_unsynced)     /* answer calls on queues before their changes are on disk */                                \
    X(deliver_parked)     /* deliver events of a key while one of it is unsettled */                                   \
    X(due_beside)         /* deliver a delayed event while a later event of its key is unsettled */                    \
    X(pass_spilled)       /* deliver events of a partition or key that lie behind what is spilled of it */             \
    X(forget_spilled)     /* do not read what is spilled behind a key once that is free */                             \
    X(spill_nothing)      /* spill nothing, so that stalled events hold up the others */                               \
    X(await_room)         /* read spilled events only while the look-ahead has room */                                 \
    X(transfer_undrained) /* hand a partition over while events of it are in flight */                                 \
    X(uneven_shares)      /* a new consumer gets none of the partitions that others have */

enum mutation {
    MUTATION_none,
#define MUTATION_NAME(name) MUTATION_##name,
    MUTATIONS(MUTATION_NAME)
#undef MUTATION_NAME
};

#ifdef SLUICE_MUTATIONS
extern enum mutation mutation;
#    define MUTATED(name) (mutation == MUTATION_##name)
#else
#    define MUTATED(name) false
#endif

#endif
