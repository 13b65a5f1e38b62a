/* For targets that read YAML: libfyaml 0.7 never frees what it notes of a quoted text with more
 * than 64 escapes in it, which is the library's fault and no finding here. */
#ifndef FUZZ_LIBFYAML_LEAK_H
#define FUZZ_LIBFYAML_LEAK_H

const char *__lsan_default_suppressions(void);

/* Asked by LeakSanitizer for what it may leave out of its report. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml\n";
}

#endif
