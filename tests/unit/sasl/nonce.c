/* In place of libgsasl's own: the nonce of RFC 5802's example, "fyko+d2lbbFgONRv9qkxdawL", so that
 * an exchange is known beforehand. The library asks for 18 bytes and sends them in base64. */
#include <string.h>

#include <gsasl.h>

int gsasl_nonce(char *data, size_t datalen)
{
    static const char nonce[] = "\x7F\x29\x28\xF9\xDD\xA5\x6D\xB1\x60\x38\xD4\x6F\xF6\xA9\x31\x75"
                                "\xAC\x0B";
    memcpy(data, nonce, datalen < sizeof nonce ? datalen : sizeof nonce);
    return GSASL_OK;
}
