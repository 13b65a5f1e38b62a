/* programs/collector_fences.h: what the collector needs of the machine while it collects. */
#ifndef PROGRAMS_COLLECTOR_FENCES_H
#define PROGRAMS_COLLECTOR_FENCES_H

#include "conf/conf.h"

/* Puts up the fences (fence/fence.h): from now on it may write below the directory of `state`
 * (NULL: nowhere), and read certificates and what names are looked up with. What the kernel lacks
 * is logged, and is no reason not to collect; so is a configuration that it may write. Before there
 * are threads. What nsswitch.conf names for host names is loaded before, as it could not be
 * afterwards. */
void collector_fences_up(const struct conf *conf, const char *state);

#endif
