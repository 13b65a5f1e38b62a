/* imapsim/control.h: the control interface: a line in, a line out. */
#ifndef IMAPSIM_CONTROL_H
#define IMAPSIM_CONTROL_H

struct net_loop;
struct sim;
struct sim_control;

/* The commands, for --help. */
extern const char sim_control_help[];

/* Reads commands from standard input and answers on standard output; stops the loop at its end. */
struct sim_control *sim_control_new(struct net_loop *loop, struct sim *sim);
/* NULL does nothing. */
void sim_control_free(struct sim_control *control);

#endif
