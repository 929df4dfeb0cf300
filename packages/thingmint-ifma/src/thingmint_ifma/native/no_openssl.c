/* Owns what stands in for OpenSSL when the library is linked: parts of it that the search never calls, and that share
 * a file with parts that it does, convert OpenSSL's numbers. */

#include <stdlib.h>

int BN_num_bits(const void *number);
int BN_bn2lebinpad(const void *number, unsigned char *to, int length);

int BN_num_bits(const void *number)
{
    (void)number;
    abort();
}

int BN_bn2lebinpad(const void *number, unsigned char *to, int length)
{
    (void)number;
    (void)to;
    (void)length;
    abort();
}
