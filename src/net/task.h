/* net/task.h: work to be done at the end of a turn of the loop, as an embedded list node. */
#ifndef NET_TASK_H
#define NET_TASK_H

struct net_loop;

/* The end of a turn has three parts, in this order: input that waits in our own memory is handed
 * out, then comes the work others asked for, then all that was written meanwhile goes out. */
enum net_phase {
    NET_PHASE_INPUT,
    NET_PHASE_DEFERRED,
    NET_PHASE_OUTPUT,
    NET_PHASE_COUNT,
};

struct net_task {
    struct net_task *prev, *next; /* both NULL while not scheduled */
    void (*run)(void *owner);
    void *owner;
};

void net_task_init(struct net_task *task, void (*run)(void *owner), void *owner);
/* Runs once at the end of this turn; from inside the same phase, at the end of the next turn,
 * which then comes without waiting. Twice is once. */
void net_task_schedule(struct net_loop *loop, enum net_phase phase, struct net_task *task);
void net_task_cancel(struct net_task *task);

#endif
