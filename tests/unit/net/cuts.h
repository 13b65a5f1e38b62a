/* What tests that cut a connection (cutter.h) behind each of its bytes have in common. */
#ifndef TEST_NET_CUTS_H
#define TEST_NET_CUTS_H

#include <stddef.h>
#include <stdint.h>

#include "cutter.h"

struct net_tls;

enum {
    CUTS_TLS_VARIES = 8, /* bytes: signatures have no fixed length */
};

/* "ended", by enum cutter_way. */
extern const char *const cuts_names[];

/* Both ends of TLS on 127.0.0.1, the client trusting the server; to be unreferenced. */
void cuts_make_tls(struct net_tls **ret_server, struct net_tls **ret_client);
/* Calls `run` for each way, with which bytes to cut behind: each `every`-th, or what CUT_EVERY in
 * the environment says, from another one on in each run and in each way. */
void cuts_each_way(size_t ways, unsigned every,
                   void (*run)(size_t way, unsigned every, unsigned from));
/* Calls `cut` for these bytes of both sides, with each kind of cut; `length` is of what goes to
 * each side when nothing is cut. Says so. */
void cuts_each_byte(const char *name, const uint64_t length[2], unsigned every, unsigned from,
                    void (*cut)(const struct cutter_cut *cut));
/* Of this process. */
unsigned cuts_open_files(void);

#endif
