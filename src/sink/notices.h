/* sink/notices.h: what a sink has to tell its owner, kept in order and told at the end of the
 * turn. So no event comes from inside a call of the sink, or from the midst of the sink's own
 * work, and the owner may do anything in an event, sink_free() included. */
#ifndef SINK_NOTICES_H
#define SINK_NOTICES_H

#include "base/err.h"
#include "sink/sink.h"

struct net_loop;
struct notices;

struct notices *notices_new(struct net_loop *loop);
/* Whom to tell. Nothing may be put in before. */
void notices_set_owner(struct notices *notices, const struct sink_events *events, void *ctx);

void notices_up(struct notices *notices);
void notices_down(struct notices *notices, const struct err *err);
void notices_sent(struct notices *notices, void *token);
/* `err` is copied; NULL for SINK_TAKEN. */
void notices_settled(struct notices *notices, void *token, enum sink_outcome outcome,
                     const struct err *err);

/* What is not told yet is never told. May be called from inside an event. */
void notices_free(struct notices *notices);

#endif
