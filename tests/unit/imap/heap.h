/* How much of the heap is in use. malloc() itself keeps a little of what one has freed, so many
 * things are to be measured at a time. */
#ifndef TEST_IMAP_HEAP_H
#define TEST_IMAP_HEAP_H

#include <malloc.h>
#include <stddef.h>

/* Under AddressSanitizer, whose malloc() knows no mallinfo2(). */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

static inline size_t heap_used(void)
{
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
                                                   : mallinfo2().uordblks;
}

#endif
