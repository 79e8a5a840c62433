/* Deliberate bugs (mutations). The simulator is compiled with SLUICE_MUTATIONS and must catch each of them.
 * Everywhere else MUTATED() is the constant false, and none of this is in the binary. */
#ifndef SLUICE_BASE_MUTATION_H
#define SLUICE_BASE_MUTATION_H

#define MUTATIONS(X)                                                                                                   \
    X(ignore_consumption) /* take deliveries of an earlier consumption of the queue */                                 \
    X(ignore_proof)       /* hand events over without proof of being heard */                                          \
    X(retry_refused)      /* the client sends a refused entry again by itself, behind later ones */                    \
    X(ignore_credit)      /* deliver past the consumer's credit */                                                     \
    X(overtake_waiters)   /* accept an entry while earlier ones wait */                                                \
    X(exceed_capacity)    /* room for a few more than there is */                                                      \
    X(break_prefix)       /* accept what continues a refused entry of its batch */                                     \
    X(plain_mark)         /* everything below the newest outcome is taken as decided */                                \
    X(skip_epoch)         /* settle by a receipt of an earlier consumer epoch */                                       \
    X(ignore_lease)       /* leases never end */                                                                       \
    X(count_release)      /* what goes back unseen counts as delivered */                                              \
    X(second_active)      /* a newcomer becomes active beside the active consumer */                                   \
    X(confirm_unsynced)   /* confirm before the disk has it */                                                         \
    X(deliver_unsynced)   /* deliver what is not on disk yet */                                                        \
    X(deliver_unmarked)   /* deliver past the mark that is on disk */                                                  \
    X(answer_unsynced)    /* answer acks however many settlements are not on disk */                                   \
    X(free_early)         /* free segments before the checkpoint that does without them is on disk */                  \
    X(reuse_early)        /* the same, and their files become spares at once */                                        \
    X(carry_nothing)      /* let what finds no place on a full disk wait for one */                                    \
    X(carry_unsynced)     /* confirm what a checkpoint carries before that is on disk */                               \
    X(forget_settled)     /* write checkpoints without the settlements of what their segments still hold */            \
    X(forget_outcomes)    /* write checkpoints without what became of producers' entries */                            \
    X(forget_hashes)      /* write checkpoints without the hashes by which what comes again is known */                \
    X(forget_kept)        /* write checkpoints without the subscriptions */                                            \
    X(forget_dead)        /* write checkpoints without what is dead */                                                 \
    X(copy_dead)          /* what dies goes to another queue, and is not settled in its own */                         \
    X(fire_early)         /* deliver delayed events before their time */                                               \
    X(ignore_expiry)      /* nothing expires */                                                                        \
    X(forget_delays)      /* write checkpoints without what is delayed */                                              \
    X(forget_attempts)    /* do not remember how deliveries failed */                                                  \
    X(recount_attempts)   /* begin to count deliveries anew after a restart */                                         \
    X(lose_expired)       /* what expires on disk is gone, where it should be kept, too */                             \
    X(forget_doomed)      /* write checkpoints without what expired and waits for room where the dead go */            \
    X(letters_to_memory)  /* a queue in memory may get the name of one where the dead of a queue on disk go */         \
    X(forget_held)        /* deliver again what waited for room among the dead when the broker ended */                \
    X(fan_out_to_one)     /* put what goes to several queues of a topic into the first of them only */                 \
    X(share_with_one)     /* at the start, find what several queues have for the first of them only */                 \
    X(reply_unsynced)     /* answer calls on queues before the disk has what they changed */                           \
    X(deliver_parked)     /* deliver events of a key while one of it is unsettled */                                   \
    X(due_beside)         /* deliver what was delayed while a later event of its key is unsettled */                   \
    X(pass_spilled)       /* deliver events of a partition or key that lie behind what is spilled of it */             \
    X(forget_spilled)     /* do not read what is spilled behind a key once that is free */                             \
    X(stand_still)        /* spill nothing, so that what stands still holds up the others */                           \
    X(await_room)         /* read what is spilled only where more may be looked at */                                  \
    X(transfer_undrained) /* hand a partition over while events of it are in flight */                                 \
    X(uneven_shares)      /* a consumer that comes gets no partition of those that others have */

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
