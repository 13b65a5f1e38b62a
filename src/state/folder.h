/* state/folder.h: builds a struct state_folder row by row. Internal to the room. */
#ifndef STATE_FOLDER_H
#define STATE_FOLDER_H

#include "state/state.h"

/* All zero is an empty one. state_folder_release(&builder.folder) drops what was built. */
struct state_folder_builder {
    struct state_folder folder;
    size_t mail_cap;
    size_t old_cap;
};

/* Copies. Mails come ascending by uid, old hashes sorted; NULL texts are "". */
void state_folder_add_mail(struct state_folder_builder *builder, const struct state_mail *mail);
void state_folder_add_old(struct state_folder_builder *builder, const uint8_t *sha256);
/* Gives back what was allocated beyond the need; the builder is empty afterwards. */
struct state_folder state_folder_finish(struct state_folder_builder *builder);

#endif
