/* oauth/form.h: how text stands in a form. Internal. */
#ifndef OAUTH_FORM_H
#define OAUTH_FORM_H

#include "base/buf.h"

/* application/x-www-form-urlencoded (RFC 6749 appendix B). Grows `out` only where it has no room.
 */
void oauth_form_encode(struct buf *out, const char *text);

#endif
